"""A sweep: cells planned before any is run, answered from the store where they can be, launched
where they must be."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

from w2sweep.engine.devices import device, gains_from_bf16
from w2sweep.engine.files import read_json, write_json
from w2sweep.engine.job import Circumstances
from w2sweep.engine.progress import Watch
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import closure
from w2sweep.engine.store import Store
from w2sweep.experiment.stages import Labels
from w2sweep.results import cell as records
from w2sweep.results.cell import Failed, Result, SkippedCell
from w2sweep.sweep import comparison
from w2sweep.sweep.plan import Planned, by_new_work
from w2sweep.sweep.request import Request
from w2sweep.values import ConfigError

PLAN = "sweep.json"

Launch = Callable[[Sequence[Planned]], object]
"""Calls `run_cell` for each of these cells, in this or in other processes. What it raises means
that one of those died, which costs the cells it was running and those it had still before it."""
Report = Callable[["Sweep", bool], object]
"""Tells of a finished sweep; the flag says whether anything was run for it."""


class Sweep:
    """Planned cells, their folder, and the store that they share.

    Raises ConfigError where the folder or the store cannot be written to.

    Args:
        planned: the cells.
        folder: where they are to be found.
        say: tells the user a line.
        timed: whether the folder is called by the time alone. Then it is this sweep's own, and the
            second one of the same second has another.
    """

    def __init__(
        self,
        planned: Sequence[Planned],
        folder: Path,
        say: Callable[[str], object],
        timed: bool = False,
    ):
        self.planned, self.say = planned, say
        request = planned[0].request
        self.tracking, self.runtime = request.tracking, _as_before(request.runtime, folder)
        with _expecting_to_write():
            self.store = _store(request, Circumstances(self.runtime, request.tracking))
            self.folder = _claimed(folder) if timed else folder
        self.name = request.sweep or self.folder.name

    def run(self, launch: Launch, report: Report) -> int:
        """Runs what is missing, reports, and returns the exit code: 1 where a cell has no
        result. Raises ConfigError where this machine cannot do what the runtime asks for."""
        with _expecting_to_write():
            self._write_plan()
        left = [p for p in self.planned if not self._answered(p)]
        if left:
            self.runtime = settled(self.runtime)
            self._write_plan()
        self._announce(left)
        for p in left:
            records.clear(self.folder / p.folder)
        if left:
            self._launch(left, launch)
        return self._conclude(report, ran=bool(left))

    @cached_property
    def stages(self) -> dict[str, str]:
        """All distinct stages: their names in the store, and what people call them."""
        compared = [stage for p in self.planned for stage in _compared(p)]
        return {stage.name: str(stage) for stage in closure(tuple(compared))}

    def _write_plan(self) -> None:
        plan = {
            "name": self.name,
            "command": shlex.join(["w2sweep", *sys.argv[1:]]),
            "started": self.store.since,
            "bf16": self.runtime.bf16,
            "cells": [{"dir": p.folder, "overrides": list(p.overrides)} for p in self.planned],
            "stages": self.stages,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / PLAN, plan)

    def _answered(self, p: Planned) -> bool:
        """Whether a cell's record is there, or could be written without running anything."""
        folder = self.folder / p.folder
        if p.cell is None:
            records.clear(folder)
            SkippedCell(**asdict(p.place), skipped=str(p.skipped)).write(folder)
            return True
        if not all(map(self.store.done, _compared(p))):
            return False
        cell = (p.cell, p.place, self.store, folder)
        return comparison.current(*cell) or comparison.run(*cell)

    def _announce(self, left: Sequence[Planned]) -> None:
        for reason, n in Counter(p.skipped for p in self.planned if p.skipped).items():
            self.say(f"{_count(n, 'cell')} skipped: {reason}")
        there = sum(p.cell is not None for p in self.planned) - len(left)
        to_run = _count(len(left), "cell")
        self.say(f"{self.folder}: {to_run} to run, {there} answered from {self.store.root}")

    def _launch(self, left: Sequence[Planned], launch: Launch) -> None:
        since = self.store.since if self.store.mode == "force" else 0.0
        try:
            with Watch(self.stages, self.store.root, since):
                launch(self._ordered(left))
        except Exception as death:
            reason = str(death).partition(". ")[0]
            self.say(f"a worker died ({type(death).__name__}: {reason:.120})")
        for p in left:  # a worker may have died between its last stage and its cell's file
            if records.read(self.folder / p.folder) is None:
                self._answered(p)

    def _ordered(self, left: Sequence[Planned]) -> list[Planned]:
        return [left[i] for i in by_new_work([self._missing(p) for p in left])]

    def _missing(self, p: Planned) -> set[str]:
        missing = closure(tuple(_compared(p)), known=self.store.done)
        return {stage.name for stage in missing}

    def _conclude(self, report: Report, ran: bool) -> int:
        found = [records.read(self.folder / p.folder) for p in self.planned]
        finished = [record for record in found if isinstance(record, Result)]
        failed = [record for record in found if isinstance(record, Failed)]
        lost = found.count(None)
        if finished and len(self.planned) > 1:
            report(self, ran)
        else:
            self._tell(finished, failed)
        if failed:
            cells = _count(len(failed), "cell")
            self.say(f"{cells} failed; tracebacks are in {self.folder}/*/{Failed.FILE}")
        if lost:
            cells = _count(lost, "cell")
            self.say(
                f"{cells} without a result: run the same command again, which goes on from here"
            )
        return 1 if failed or lost else 0

    def _tell(self, finished: Sequence[Result], failed: Sequence[Failed]) -> None:
        for result in finished:
            [folder] = [self.folder / p.folder for p in self.planned if p.cell]
            print(f"{_sentence(result)} -> {folder}")
        for reason, n in Counter(record.reason for record in failed).items():
            self.say(f"{_count(n, 'cell')}: {reason}")


def run_cell(p: Planned, sweep_folder: Path) -> bool:
    """Runs one launched cell, in whatever process, and writes its result or its failure into the
    sweep's folder. Returns whether there is a result."""
    plan = read_json(sweep_folder / PLAN)
    circumstances = Circumstances(
        runtime=replace(p.request.runtime, bf16=plan["bf16"]),
        tracking=p.request.tracking,
        sweep=plan["name"],
        planned=frozenset(plan["stages"]),
    )
    store = _store(p.request, circumstances, since=plan["started"])
    assert p.cell is not None
    return comparison.run(p.cell, p.place, store, sweep_folder / p.folder)


def open_store(request: Request, name: str) -> Store:
    """The store that a request names, for work that is no sweep."""
    return _store(request, Circumstances(settled(request.runtime), request.tracking, name))


def settled(runtime: Runtime) -> Runtime:
    """With bf16 decided, by the machine that starts the sweep. Raises ConfigError where a GPU is
    asked for and there is none."""
    if runtime.bf16 != "auto" and runtime.accelerator != "gpu":
        return runtime
    found = device(runtime.accelerator)
    if runtime.bf16 != "auto":
        return runtime
    return replace(runtime, bf16="yes" if gains_from_bf16(found) else "no")


def _claimed(folder: Path) -> Path:
    """A new folder of this name, or with a number behind it where there is one already."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for n in itertools.count(1):
        own = folder if n == 1 else folder.with_name(f"{folder.name}-{n}")
        with suppress(FileExistsError):
            own.mkdir()
            return own
    raise AssertionError("numbers have no end")


def _as_before(runtime: Runtime, folder: Path) -> Runtime:
    """With bf16 as an earlier run of this sweep decided it, maybe on another machine."""
    if runtime.bf16 != "auto":
        return runtime
    try:
        return replace(runtime, bf16=read_json(folder / PLAN)["bf16"])
    except (OSError, ValueError, KeyError):
        return runtime


def _store(request: Request, circumstances: Circumstances, since: float | None = None) -> Store:
    return Store(request.store, circumstances, request.cache, since)


def _compared(p: Planned) -> list[Labels]:
    return list(p.cell.compared.values()) if p.cell else []


@contextmanager
def _expecting_to_write() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot write to {error.filename}: {error.strerror}; "
            "store=FOLDER and hydra.sweep.dir=FOLDER name other places"
        ) from error


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _sentence(r: Result) -> str:
    pgr = f"undefined ({r.pgr_undefined})" if r.pgr is None else f"{r.pgr:z.2f}"
    roles = {"weak": "supervisor", "student": "student", "ceiling": "ceiling"}
    accuracies = ", ".join(f"{name} {r.accuracy(role):.3f}" for name, role in roles.items())
    return f"{r.task}, {r.strong} <- {r.weak}, {r.method}: {accuracies}, PGR {pgr}"
