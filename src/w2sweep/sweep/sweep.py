"""A sweep: cells planned before any is run, answered from the store where they can be, launched
where they must be."""

from __future__ import annotations

import itertools
import os
import shlex
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from w2sweep.engine.devices import check_devices, device, gains_from_bf16
from w2sweep.engine.environment import environment
from w2sweep.engine.failures import Interrupted, interruptions_apart
from w2sweep.engine.files import sweep_up, write_json, write_text
from w2sweep.engine.job import Circumstances
from w2sweep.engine.owners import Owner
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Stage, closure, read_whole
from w2sweep.engine.store import Store
from w2sweep.engine.tracker import Tracker
from w2sweep.engine.watch import Watch
from w2sweep.experiment.reach import check_reach
from w2sweep.results import cell as records
from w2sweep.results.cell import Failed, Result, SkippedCell
from w2sweep.sweep import comparison
from w2sweep.sweep.estimates import load
from w2sweep.sweep.joining import (
    JOB,
    PLAN,
    as_before,
    end_with_launcher,
    joined,
    kept,
    store_of,
    take_gpus,
)
from w2sweep.sweep.plan import Planned
from w2sweep.sweep.request import Request
from w2sweep.sweep.sentences import sentence
from w2sweep.sweep.starts import Launch, Starts
from w2sweep.sweep.tracked import Account
from w2sweep.values import ConfigError

CONFIG = "config.yaml"
"""In a sweep's folder: what its first cell is made of."""
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
        config: what its first cell is made of, in full, as YAML; the others differ from it by
            their overrides.
        onlooker: whether this is no start of the sweep, but a look at one that others run: then
            what was finished, or has failed, since that was started counts.
    """

    def __init__(
        self,
        planned: Sequence[Planned],
        folder: Path,
        say: Callable[[str], object],
        timed: bool = False,
        onlooker: bool = False,
        config: str = "",
    ):
        self.planned, self.say, self._config = planned, say, config
        self._kept = kept(folder) if onlooker else {}
        since = self._kept.get("started", 0.0) if onlooker else None
        request = planned[0].request
        self.tracking, self.runtime = request.tracking, as_before(request.runtime, folder)
        with _expecting_to_write():
            circumstances = Circumstances(self.runtime, request.tracking)
            self.store = store_of(request, circumstances, since)
            self.folder = _claimed(folder) if timed else folder
        self.name = request.sweep or self.folder.name
        self._news = False

    def run(self, launch: Launch, report: Report, workers: int | None = None) -> int:
        """Runs what is missing, reports, and returns the exit code: 1 where a cell has no
        result. Raises ConfigError where this machine cannot do what the runtime asks for, or,
        where it runs the stages itself, has no way to their models.

        Args:
            launch: runs cells.
            report: tells of the finished sweep.
            workers: how many run stages at once; None: that is for a cluster to say.
        """
        left = self.begin()
        if left and workers is not None:
            check_reach(closure(tuple(self._needed), known=self.store.done))
        if left:
            self._launch(left, launch, workers)
        return self.conclude(report, ran=bool(left))

    def begin(self) -> list[Planned]:
        """Writes the plan, and the records of all cells whose stages are there. Returns the cells
        that are left. Raises ConfigError as `run` does."""
        if self.tracking:
            self.tracking.check()
        with _expecting_to_write():
            self._sweep_up()
            self._write_plan()
            if self.tracking:
                self._account(self.tracking).prepare(self.planned)
        left = [p for p in self.planned if not self._answered(p)]
        if left:
            self.runtime = settled(self.runtime)
            self._write_plan()
        self._announce(left)
        for p in left:
            records.clear(self.folder / p.folder)
        return left

    def look(self, report: Report) -> int:
        """Reports on what others run, as far as it is, and returns the exit code."""
        self.record_failures(self.begin())
        return self.conclude(report, ran=self._news)

    def record_failures(self, left: Sequence[Planned]) -> None:
        """Writes the failures of those cells of which a stage has failed, in whatever process."""
        for p in left:
            assert p.cell is not None
            comparison.fail(p.cell, p.place, self.store, self.folder / p.folder)

    def _sweep_up(self) -> None:
        """Removes what was half written by processes that were killed."""
        sweep_up(self.folder)
        if self.store.mode != "read-only":
            self.store.sweep_up(self._stages)

    @cached_property
    def _stages(self) -> list[Stage]:
        """All distinct ones."""
        return closure(tuple(self._needed))

    @property
    def _needed(self) -> list[Stage]:
        """Those that the cells compare, of all cells."""
        return [s for p in self.planned if p.cell for s in comparison.needed(p.cell)]

    @cached_property
    def stages(self) -> dict[str, str]:
        """All distinct stages: their names in the store, and what people call them."""
        return {stage.name: str(stage) for stage in self._stages}

    def _write_plan(self) -> None:
        plan = {
            "name": self.name,
            "command": shlex.join(["w2sweep", *sys.argv[1:]]),
            "started": self.store.since,
            "bf16": self.runtime.bf16,
            "launcher": Owner.this().plain,
            "job": os.environ.get(JOB),
            "host": socket.gethostname(),
            "environment": environment(),
            "store": str(self.store.root),
            "cells": list(map(_entry, self.planned)),
            "stages": self.stages,
            "read_whole": sorted(read_whole(self._stages)),
            **self._kept,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / PLAN, plan)
        if self._config:
            write_text(self.folder / CONFIG, self._config)

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
        if comparison.current(*cell):
            return True
        self._news = True
        return comparison.answer(*cell)

    def _announce(self, left: Sequence[Planned]) -> None:
        reasons = Counter(p.skipped for p in self.planned if p.skipped)
        for reason, n in reasons.items():
            self.say(f"{_count(n, 'cell')} skipped: {reason}")
        there = sum(p.cell is not None for p in self.planned) - len(left)
        to_run = _count(len(left), "cell")
        self.say(f"{self.folder}: {to_run} to run, {there} answered from {self.store.root}")

    def _launch(self, left: Sequence[Planned], launch: Launch, workers: int | None) -> None:
        """Has the cells run that are left."""
        starts = Starts(launch, self.store, self._stages, self._settled, self.say)
        with Watch(self._stages, self.store, workers, load):
            starts.run(left)

    def _settled(self, p: Planned) -> bool:
        """Whether a cell has a record. A worker may have died between the last stage of a cell and
        its file."""
        return self._record(p) is not None or self._answered(p)

    def _record(self, p: Planned) -> records.Record | None:
        try:
            return records.read(self.folder / p.folder)
        except Exception:  # whatever is wrong with its files, they are no result
            return None

    def conclude(self, report: Report, ran: bool) -> int:
        """Reports, with whether anything was run, and returns the exit code."""
        found = [self._record(p) for p in self.planned]
        shown = self._show(found) if self.tracking else 0
        finished = [record for record in found if isinstance(record, Result)]
        failed = [record for record in found if isinstance(record, Failed)]
        lost = found.count(None)
        with _expecting_to_write():
            self._write_plan()  # another command may have planned under this name meanwhile
        if finished and (len(self.planned) > 1 or (self.folder / "report").exists()):
            report(self, ran or bool(shown))
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

    def _show(self, found: Sequence[records.Record | None]) -> int:
        """Shows the tracker what it was not shown before. Returns how many runs that were."""
        assert self.tracking is not None
        ended = zip(self.planned, found, strict=True)
        finished = [(p, record) for p, record in ended if isinstance(record, Result)]
        return self._account(self.tracking).settle(self._stages, self.store, finished)

    def _account(self, tracker: Tracker) -> Account:
        return Account(tracker, self.name, self.folder, self.say)

    def _tell(self, finished: Sequence[Result], failed: Sequence[Failed]) -> None:
        for result in finished:
            [folder] = [self.folder / p.folder for p in self.planned if p.cell]
            print(f"{sentence(result)} -> {folder}")
        for reason, n in Counter(record.reason for record in failed).items():
            self.say(f"{_count(n, 'cell')}: {reason}")


def run_cell(p: Planned, sweep_folder: Path) -> bool:
    """Runs one launched cell, in whatever process, and writes its result or its failure into the
    sweep's folder. Returns whether there is a result; there is neither where it was
    interrupted."""
    end_with_launcher(sweep_folder)
    take_gpus(p.request.runtime, sweep_folder)
    store = joined(p.request, sweep_folder)
    assert p.cell is not None
    try:
        with interruptions_apart():
            return comparison.run(p.cell, p.place, store, sweep_folder / p.folder)
    except Interrupted as interrupted:  # the launcher's own error, for the launcher
        raise interrupted.error from None


def open_store(request: Request, name: str) -> Store:
    """The store that a request names, for work that is no sweep."""
    return store_of(request, Circumstances(settled(request.runtime), request.tracking, name))


def settled(runtime: Runtime) -> Runtime:
    """With bf16 decided, by the machine that starts the sweep. Raises ConfigError where a GPU is
    asked for and there is none, or more of them than there are."""
    check_devices(runtime.accelerator, runtime.devices)
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


def _entry(p: Planned) -> dict[str, object]:
    """What the plan says of a cell."""
    return {"dir": p.folder, "overrides": list(p.overrides), "digest": p.digest}


def _compared(p: Planned) -> list[Stage[Any]]:
    return p.cell.stages if p.cell else []


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
