"""`w2sweep-data`: what the data of a task are. Rows, groups, balance, what was left out and why, and examples."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from w2sweep.building import build
from w2sweep.experiment.splits import Sizes
from w2sweep.experiment.splitting import split
from w2sweep.interface.command import ROOT
from w2sweep.interface.explaining import mendable, one_line
from w2sweep.tasks.example import Example
from w2sweep.tasks.source import Source
from w2sweep.tasks.task import Task

DESCRIPTION = """What the data of tasks are: rows, groups, balance, what was left out and why, and examples.

  w2sweep-data sst2                                        from the Hugging Face hub
  w2sweep-data sst2 wic data_root=FOLDER                   from a folder with the same data
  w2sweep-data csv task.path=my.csv task.classes=[no,yes]  a file of your own
  w2sweep-data --all data_root=FOLDER                      a line a task: what is there, and what is in it
  w2sweep-data --all                                       which datasets the hub has, and at which revision"""

EXAMPLES = 3
"""Shown of each class."""

COLUMNS = (
    "task", "rows", "points", "groups", "classes", "left out", "used", "characters (median)", "seconds", "source"
)  # fmt: skip

WIDTH = 240
"""Characters shown of a text: its end, where the question is."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Exits with 2 where a task that was named cannot be shown."""
    parser = argparse.ArgumentParser(
        "w2sweep-data",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words", nargs="*", metavar="TASK | KEY=VALUE", help="tasks, and overrides as of w2sweep"
    )
    parser.add_argument("--all", action="store_true", help="every task, as a table")
    asked = parser.parse_args(arguments)
    overrides = [word for word in asked.words if "=" in word]
    names = [word for word in asked.words if "=" not in word]
    if not (names or asked.all):
        parser.error("expected the name of a task, or --all")
    try:
        for line in table(known(), overrides) if asked.all else pages(names, overrides):
            print(line, flush=True)
    except BrokenPipeError:  # of `| head`, and not to be said again when Python closes the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if not mendable(error):
            raise
        print(f"w2sweep-data: {one_line(error)}", file=sys.stderr)
        sys.exit(2)


def pages(names: Sequence[str], overrides: Sequence[str]) -> Iterator[str]:
    """All about each of these tasks."""
    for name in names:
        task, sizes, seed = composed(name, overrides)
        splits, manifest = split(task.examples(), sizes, seed)
        yield from _page(task, splits, manifest)


def known() -> list[str]:
    """The names of all tasks."""
    return sorted(f.stem for f in (ROOT / "conf" / "task").glob("*.yaml"))


def table(names: Sequence[str], overrides: Sequence[str]) -> Iterator[str]:
    """A line a task, as Markdown. Of datasets on the hub only whether they are there: nothing is downloaded."""
    local = any(word.startswith("data_root=") for word in overrides)
    yield _row(*COLUMNS)
    yield _row(*["---"] * len(COLUMNS))
    for name in names:
        try:
            yield _checked(name, overrides)
        except MissingMandatoryValue:
            yield _row(name, *[""] * (len(COLUMNS) - 2), "a file of your own: task.path=FILE")
        except Exception as error:  # one broken source is one line, whatever is wrong with it
            kind = "" if mendable(error) else f"{type(error).__name__}: "
            yield _row(name, *[""] * (len(COLUMNS) - 2), kind + one_line(error))
    if not local:
        yield "\nRows are counted where data_root=FOLDER is given, and by w2sweep-data TASK."


def _checked(name: str, overrides: Sequence[str]) -> str:
    task, sizes, seed = composed(name, overrides)
    where, start = origin(task), time.perf_counter()
    if where.startswith("hub: "):
        return _row(name, *[""] * (len(COLUMNS) - 2), where)
    _, manifest = split(task.examples(), sizes, seed)
    return _line(name, rows(task, manifest), manifest, time.perf_counter() - start, where)


def composed(name: str, overrides: Sequence[str]) -> tuple[Task, Sizes, int]:
    """A task, its sizes and the seed of its splits, from the configuration."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", [f"task={name}", *overrides])
    nodes = {
        key: OmegaConf.to_container(config[key], resolve=True, throw_on_missing=True)
        for key in ("task", "sizes")
    }
    return build(nodes["task"], "task"), build(nodes["sizes"], "sizes"), config.seed


def origin(task: Task) -> str:
    """Where the data of a task come from. Raises ConfigError where they are not there."""
    source = getattr(task, "source", None)
    return source.where() if isinstance(source, Source) else "made here"


def rows(task: Task, manifest: dict[str, Any]) -> int:
    """Rows of the source; points of a task that has none."""
    source = getattr(task, "source", None)
    return sum(1 for _ in source.rows()) if isinstance(source, Source) else manifest["offered"]["n"]


def _line(name: str, n_rows: int, manifest: dict[str, Any], seconds: float, where: str) -> str:
    offered, dropped, splits = manifest["offered"], manifest["dropped"], manifest["splits"]
    used = " + ".join(f"{s['n']:,}" for s in splits.values())
    return _row(
        name, f"{n_rows:,}", f"{offered['n']:,}", f"{offered['groups']:,}", _shares(offered["classes"]),
        f"{sum(dropped.values()):,}", used, f"{offered['chars']['median']:,.0f}", f"{seconds:.1f}", where,
    )  # fmt: skip


def _page(task: Task, splits: dict[str, list[Example]], manifest: dict[str, Any]) -> Iterator[str]:
    offered = manifest["offered"]
    yield f"\n# {task.name}\n\n{rows(task, manifest):,} rows, {origin(task)}\n"
    yield _row(
        "", "asked", "points", "groups", "classes", "characters: shortest", "median", "longest"
    )
    yield _row(*["---"] * 8)
    for name, s in {"all": {**offered, "asked": ""}, **manifest["splits"]}.items():
        chars = (f"{s['chars'][key]:,.0f}" for key in ("min", "median", "max"))
        yield _row(
            name, f"{s['asked']}", f"{s['n']:,}", f"{s['groups']:,}", _shares(s["classes"]), *chars
        )
    yield (
        "\nLeft out: "
        + ("; ".join(f"{n:,} {reason}" for reason, n in manifest["dropped"].items()) or "nothing")
        + "."
    )
    yield from _examples(splits["supervisor"])


def _examples(examples: Sequence[Example]) -> Iterator[str]:
    """The first ones of each class; of completions the first ones."""
    classes = sorted({e.label for e in examples if isinstance(e.label, int)})
    for c in classes or [None]:
        yield f"\nClass {c}:" if c is not None else "\nExamples:"
        for e in [e for e in examples if c is None or e.label == c][:EXAMPLES]:
            answer = f" ->{e.label}" if isinstance(e.label, str) else ""
            yield "\n".join(
                f"  {'-' if n == 0 else '|'} {_end(view)}{answer}" for n, view in enumerate(e.views)
            )


def _end(text: str) -> str:
    text = " / ".join(text.split("\n"))
    return text if len(text) <= WIDTH else "..." + text[-WIDTH:]


def _shares(classes: dict[str, int]) -> str:
    total = sum(classes.values())
    return " : ".join(f"{n / total:.0%}" for n in classes.values()) or "completions"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
