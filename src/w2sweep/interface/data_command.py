"""`w2sweep-data`: what the data of tasks are. Rows, groups, balance, what was left out and why,
and examples."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from hydra.types import RunMode
from omegaconf.errors import MissingMandatoryValue

from w2sweep.analyses import task_data
from w2sweep.building import build
from w2sweep.experiment.shift import Shift
from w2sweep.experiment.splits import Sizes
from w2sweep.interface.composer import plain
from w2sweep.interface.composing import Cells, opened
from w2sweep.interface.console import answering, tell_version
from w2sweep.interface.explaining import mendable, one_line
from w2sweep.tasks.task import Task

NAME = "w2sweep-data"
DESCRIPTION = """\
What the data of tasks are: rows, groups, balance, what was left out and why, and examples.

From the Hugging Face hub, from a folder with the same data, and from a file of your own:
  w2sweep-data sst2
  w2sweep-data sst2 wic data_root=FOLDER
  w2sweep-data csv task.path=my.csv task.classes=[no,yes]
A line for every task: what the folder has, or which datasets the hub has, at which revision:
  w2sweep-data --all data_root=FOLDER
  w2sweep-data --all"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Exits with 2 where a task that was named cannot be shown."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    names = [word for word in asked.words if "=" not in word]
    overrides = [word for word in asked.words if "=" in word]
    if not (names or asked.all):
        parser.error("expected the name of a task, or --all")
    with answering(NAME):
        for line in table(known(), overrides) if asked.all else pages(names, overrides):
            print(line, flush=True)


def known() -> list[str]:
    """The names of all tasks."""
    return sorted(opened().get_group_options("task"))


def pages(names: Sequence[str], overrides: Sequence[str]) -> Iterator[str]:
    """All about each of these tasks. Raises ConfigError, or an error of Hydra's, where one cannot
    be shown."""
    for name in names:
        yield from task_data.page(*composed(name, overrides))


def table(names: Sequence[str], overrides: Sequence[str]) -> Iterator[str]:
    """A line for each of these tasks, as Markdown, whatever is wrong with its data."""
    yield from task_data.table_head()
    for name in names:
        yield _line(name, overrides)
    if not any(word.startswith("data_root=") for word in overrides):
        yield "\nRows are counted where data_root=FOLDER is given, and by w2sweep-data TASK."


def composed(name: str, overrides: Sequence[str]) -> tuple[Task, Sizes, int, Shift]:
    """A task, its sizes, the seed of its splits, and how they are shifted. Raises ConfigError, or
    an error of Hydra's, where the configuration is wrong."""
    loader = opened()
    root = loader.load_configuration("config", [], RunMode.MULTIRUN)
    config = Cells(loader, root, [f"task={name}", *overrides]).first().config
    task = build(plain(config.task), "task")
    sizes = build(plain(config.sizes), "sizes")
    shift = build(plain(config.shift), "shift")
    return task, sizes, config.seed, shift


def _line(name: str, overrides: Sequence[str]) -> str:
    try:
        return task_data.table_line(name, *composed(name, overrides))
    except MissingMandatoryValue:
        return task_data.unread_line(name, "a file of your own: task.path=FILE")
    except Exception as error:  # one broken source is one line, whatever is wrong with it
        kind = "" if mendable(error) else f"{type(error).__name__}: "
        return task_data.unread_line(name, kind + one_line(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        NAME, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "words", nargs="*", metavar="TASK | KEY=VALUE", help="tasks, and overrides as of w2sweep"
    )
    parser.add_argument("--all", action="store_true", help="every task, as a table")
    tell_version(parser)
    return parser
