"""`w2sweep-stage`: makes sure of single stages of a sweep's cells. It is what jobs of a cluster
run."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from w2sweep.engine.failures import MachineFailed, Missing, StageFailed
from w2sweep.engine.handover import FAILED, INTERRUPTED, LACKING
from w2sweep.engine.owners import Owner, end_with
from w2sweep.engine.stage import Stage, closure
from w2sweep.engine.store import Store
from w2sweep.interface.asking import Parser
from w2sweep.interface.composing import CONF, planned_by, sweeps, use_folders
from w2sweep.interface.console import answering, say, tell_version
from w2sweep.interface.explaining import one_line
from w2sweep.sweep.comparison import needed
from w2sweep.sweep.joining import joined
from w2sweep.sweep.plan import Planned
from w2sweep.sweep.request import Request
from w2sweep.sweep.sweep import open_store
from w2sweep.values import ConfigError

NAME = "w2sweep-stage"
DESCRIPTION = """Makes sure of stages of a sweep: of those that --only names, of inputs that are
there already, or else of all that the cells need. The words are those of w2sweep; what stands in
front of the first --cell holds for all cells.

  w2sweep-stage -cn quickstart seed=0 --list
  w2sweep-stage -cn quickstart seed=0 --only Finetune/0123456789abcdef
  w2sweep-stage -cn quickstart --sweep outputs/sweeps/quickstart --cell seed=0 --only STAGE STAGE
      --cell seed=1 --only STAGE"""
EXIT_CODES = """Exit code: 0: all of them are there. 1: one has failed, which the store remembers.
2: the configuration is wrong. 3: what one reads is not there, and nothing was run for it.
4: interrupted, by a signal or by a fault of the machine (a full disk, its memory): the same command
goes on from the checkpoint. With several reasons the first of 4, 1, 3 is told. One that cannot be
run does not stop the others."""
CELL = "--cell"
STAGE = re.compile(r"[\w.]+/[0-9a-f]{16}")
"""What stages are called in a store."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns, or exits with, what EXIT_CODES says."""
    # As w2sweep does.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    signal.signal(signal.SIGTERM, _interrupt)
    use_folders()
    with answering(NAME, lambda error: one_line(error, sweeps()), INTERRUPTED):
        asked = _asked(arguments)
        if asked.with_parent:
            end_with(Owner.of(os.getppid()))
        wanted = list(_wanted(asked))
        return _list(wanted) if asked.list else _ensure(wanted)
    raise AssertionError("either returns or exits")


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Interrupts once: a cluster sends the signal to each process, and the job's own process sends
    it on, while this one gives back its lease."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


@dataclass(frozen=True)
class CellWords:
    """What is said of one cell, or of one grid."""

    overrides: list[str]
    only: list[str]
    """The names of the stages that are meant; none: all."""


@dataclass(frozen=True)
class Asked:
    """The words of the command."""

    config: str
    folder: str
    more: str | None
    sweep: Path | None
    list: bool
    with_parent: bool
    cells: tuple[CellWords, ...]


Wanted = tuple[Store, tuple[Stage, ...]]
"""Stages, and the store that is to have them."""


def _asked(arguments: Sequence[str] | None) -> Asked:
    common, *groups = _split(sys.argv[1:] if arguments is None else arguments)
    words = _parser().parse_intermixed_args(common)
    own = [_cell_parser().parse_intermixed_args(group) for group in groups or [[]]]
    return Asked(
        config=words.config_name,
        folder=words.config_path,
        more=words.config_dir,
        sweep=words.sweep,
        list=words.list,
        with_parent=words.with_parent,
        cells=tuple(_together(words, cell) for cell in own),
    )


def _split(words: Sequence[str]) -> list[list[str]]:
    """What stands in front of the first `--cell`, and then what belongs to each of them."""
    groups: list[list[str]] = [[]]
    for word in words:
        if word == CELL:
            groups.append([])
        else:
            groups[-1].append(word)
    return groups


def _together(common: argparse.Namespace, own: argparse.Namespace) -> CellWords:
    """Overrides may stand behind `--only` too."""
    words = [*common.overrides, *common.only, *own.overrides, *own.only]
    only = [word for word in words if STAGE.fullmatch(word)]
    return CellWords([word for word in words if not STAGE.fullmatch(word)], only)


def _parser() -> argparse.ArgumentParser:
    parser = _cell_parser(
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=True,
    )
    says = "begins a cell, or a grid, with overrides and stages of its own"
    parser.add_argument(CELL, action="store_true", help=says)
    for flags, metavar, default, says in (
        (("-cn", "--config-name"), "NAME", "config", "a sweep's file, as of w2sweep"),
        (("-cp", "--config-path"), "DIR", CONF, "as of w2sweep"),
        (("-cd", "--config-dir"), "DIR", None, "as of w2sweep"),
    ):
        parser.add_argument(*flags, metavar=metavar, default=default, help=says)
    says = "be a worker of the sweep in this folder: with its name, its precision, its failures"
    parser.add_argument("--sweep", type=Path, metavar="FOLDER", help=says)
    says = "show the stages, inputs first: whether they are there, how large, what they are"
    parser.add_argument("--list", action="store_true", help=says)
    says = "end when the process that started this one ends"
    parser.add_argument("--with-parent", action="store_true", help=says)
    tell_version(parser)
    return parser


def _cell_parser(**options: Any) -> argparse.ArgumentParser:
    parser = Parser(NAME, allow_abbrev=False, **{"add_help": False, **options})
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as of w2sweep")
    says = "names of stages, as Finetune/0123456789abcdef"
    several: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    parser.add_argument("--only", **several, metavar="STAGE", help=says)
    return parser


def _wanted(asked: Asked) -> list[Wanted]:
    """What is asked for, by the stores that are to have it: cells that are run alike share one.
    Raises ConfigError where a stage is none of its cell's."""
    requests: dict[Hashable, Request] = {}
    stages: dict[Hashable, dict[str, Stage]] = {}
    for words in asked.cells:
        planned = planned_by(asked.config, words.overrides, asked.folder, asked.more)
        for request, stage in _chosen(planned, words.only):
            alike = (request.store, request.cache, request.runtime, request.tracking)
            requests.setdefault(alike, request)
            stages.setdefault(alike, {}).setdefault(stage.name, stage)
    stores = {alike: _store(request, asked.sweep) for alike, request in requests.items()}
    return [(stores[alike], tuple(named.values())) for alike, named in stages.items()]


def _store(request: Request, sweep: Path | None) -> Store:
    return joined(request, sweep) if sweep else open_store(request, request.sweep or NAME)


def _chosen(planned: Sequence[Planned], only: Sequence[str]) -> list[tuple[Request, Stage]]:
    """The stages that are meant of some cells', inputs first; each with the request of the first
    cell that needs it."""
    found: dict[str, tuple[Request, Stage]] = {}
    for p in planned:
        for stage in closure(tuple(needed(p.cell))) if p.cell else []:
            found.setdefault(stage.name, (p.request, stage))
    for name in only:
        if name not in found:
            raise ConfigError(
                f"--only: {name} is none of the {len(found)} stages of these cells: the same "
                "command with --list in place of --only shows them"
            )
    return [chosen for name, chosen in found.items() if name in only or not only]


def _ensure(wanted: Sequence[Wanted]) -> int:
    """Runs what is missing. Returns the exit code."""
    wrong: list[StageFailed | Missing] = []
    try:
        for store, stages in wanted:
            missing = [str(stage) for stage in stages if not store.done(stage)]
            say(NAME, f"{len(missing)} of {len(stages)} to run: {', '.join(missing)}")
            wrong += store.ensure_only(*stages)
    except (OSError, MemoryError) as error:  # of the store itself
        say(NAME, f"{type(error).__name__}: {' '.join(str(error).split())}")
        return INTERRUPTED
    for error in wrong:
        say(NAME, str(error))
    return _code(wrong)


def _code(wrong: Sequence[StageFailed | Missing]) -> int:
    if any(isinstance(error, MachineFailed) for error in wrong):
        return INTERRUPTED
    if any(isinstance(error, StageFailed) for error in wrong):
        return FAILED
    return LACKING if wrong else 0


def _list(wanted: Sequence[Wanted]) -> int:
    for store, stages in wanted:
        for stage in stages:
            there = "done" if store.done(stage) else "missing"
            print(f"{stage.name:32} {there:7} {_size(stage.size):>8}  {stage}")
    return 0


def _size(parameters: int) -> str:
    return f"{parameters:.3g}" if parameters else "-"


if __name__ == "__main__":
    sys.exit(main())
