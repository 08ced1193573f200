"""A sweep: cells planned before any is run, answered from the store where they can be, launched where they must be."""

from __future__ import annotations

import hashlib
import heapq
import json
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from w2sweep import cells
from w2sweep.cells import Label
from w2sweep.door import Request
from w2sweep.identity import closure
from w2sweep.progress import Watch
from w2sweep.runtime import How
from w2sweep.setting import Cell
from w2sweep.store import Store
from w2sweep.values import ConfigError, Impossible

AXES = ("task", "ladder", "weak", "strong", "method", "seed")
"""What tables have columns for."""
NEUTRAL = ("sweep", "runtime", "tracking", "store", "cache", "impossible", "data_root")
"""What changes no result."""


def say(line: str) -> None:
    """Tells the user, on stderr."""
    print(f"w2sweep: {line}", file=sys.stderr, flush=True)


@dataclass(frozen=True, eq=False)
class Planned:
    """A point of the grid: what its configuration asks for. Raises ConfigError where that is impossible."""

    overrides: tuple[str, ...]
    request: Request

    def __post_init__(self) -> None:
        _ = self.cell  # what is wrong with it must show before anything runs

    @cached_property
    def cell(self) -> Cell | None:
        """None: there is nothing to run."""
        return None if self.skipped else self.request.cell

    @cached_property
    def skipped(self) -> str | None:
        """Why there is nothing to run."""
        if not self.request.setting.comparable:
            return "weak is not below strong"
        try:
            _ = self.request.cell
        except Impossible as impossible:
            if self.request.impossible == "skip":
                return str(impossible)
            raise Impossible(f"{impossible}; impossible=skip leaves such cells out") from impossible
        return None

    @cached_property
    def label(self) -> Label:
        """What tells it from the other cells."""
        r = self.request
        variant = ",".join(sorted(o for o in self.overrides if _matters(o) and _key(o) not in AXES))
        return Label(r.task.name, r.task.family, r.ladder.name, r.weak, r.strong, r.method.name, r.seed, variant)

    @cached_property
    def folder(self) -> str:
        """Its folder's name in the sweep's."""
        return folder_name(self.overrides)


class Sweep:
    """Planned cells, their folder, and the store that they share."""

    def __init__(self, planned: Sequence[Planned], folder: Path):
        self.planned, self.folder = planned, folder
        request = planned[0].request
        self.name, self.tracking = request.sweep or folder.name, request.tracking
        with _expecting_to_write():
            self.store = open_store(request, self.name)

    def run(self, launch: Callable[[Sequence[Planned]], object]) -> int:
        """Runs what is missing with `launch`, reports, and returns the exit code: 1 where a cell has no result.

        `launch` calls `run_cell` for each of its cells, in this or in other processes. What it raises means that one
        of those died, which costs the cells it was running and those it had still before it.
        """
        with _expecting_to_write():
            self._write_plan()
        left = [p for p in self.planned if not self._answered(p)]
        self._announce(left)
        if left:
            for p in left:
                cells.clear(self.folder / p.folder)
            self._launch(left, launch)
        return self._conclude(track=bool(left))

    @cached_property
    def stages(self) -> dict[str, str]:
        """All distinct stages: their names in the store, and what people call them."""
        compared = (stage for p in self.planned if p.cell for stage in cells.roles(p.cell).values())
        return {stage.name: str(stage) for stage in closure(tuple(compared))}

    def _write_plan(self) -> None:
        plan = {
            "name": self.name,
            "command": shlex.join(["w2sweep", *sys.argv[1:]]),
            "started": self.store.since,
            "cells": [{"dir": p.folder, "overrides": list(p.overrides)} for p in self.planned],
            "stages": self.stages,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        cells.write_json(self.folder / "sweep.json", plan)

    def _answered(self, p: Planned) -> bool:
        """Whether what it says is there, or could be written down without running anything."""
        folder = self.folder / p.folder
        if p.cell is None:
            cells.skip(str(p.skipped), p.label, folder)
            return True
        if not all(map(self.store.done, cells.roles(p.cell).values())):
            return False
        cell = (p.cell, p.label, self.store, folder)
        return cells.current(*cell) or cells.run(*cell)

    def _announce(self, left: Sequence[Planned]) -> None:
        for reason, n in Counter(p.skipped for p in self.planned if p.skipped).items():
            say(f"{_count(n, 'cell')} skipped: {reason}")
        there = sum(p.cell is not None for p in self.planned) - len(left)
        say(f"{self.folder}: {_count(len(left), 'cell')} to run, {there} answered from {self.store.root}")

    def _launch(self, left: Sequence[Planned], launch: Callable[[Sequence[Planned]], object]) -> None:
        since = self.store.since if self.store.mode == "force" else 0.0
        try:
            with Watch(self.stages, self.store.root, since):
                launch(self._ordered(left))
        except Exception as death:
            say(f"a worker died ({type(death).__name__}: {str(death).partition('. ')[0]:.120})")
        for p in left:  # a worker may have died between its last stage and its cell's file
            if self._state(p) == "lost":
                self._answered(p)

    def _ordered(self, left: Sequence[Planned]) -> list[Planned]:
        return [left[i] for i in by_new_work([self._missing(p) for p in left])]

    def _missing(self, p: Planned) -> set[str]:
        compared = tuple(cells.roles(p.cell).values()) if p.cell else ()
        return {stage.name for stage in closure(compared, known=self.store.done)}

    def _state(self, p: Planned) -> str:
        there = (name for name in ("cell", "failure") if (self.folder / p.folder / f"{name}.json").exists())
        return next(there, "lost")

    def _conclude(self, track: bool) -> int:
        finished, failed, lost = (
            [p for p in self.planned if p.cell and self._state(p) == state] for state in ("cell", "failure", "lost")
        )
        if finished and len(self.planned) > 1:
            self._report(track)
        else:
            self._tell(finished, failed)
        if failed:
            say(f"{_count(len(failed), 'cell')} failed; tracebacks are in {self.folder}/*/failure.json")
        if lost:
            say(f"{_count(len(lost), 'cell')} without a result: run the same command again, which goes on from here")
        return 1 if failed or lost else 0

    def _report(self, track: bool) -> None:
        from w2sweep.report import report, show

        made = report(self.folder)
        show(made)
        if track and self.tracking:
            self.tracking.summary(sweep=self.name, rows=made.rows, figures=made.figures, page=made.page)

    def _tell(self, finished: Sequence[Planned], failed: Sequence[Planned]) -> None:
        for p in finished:
            print(f"{_sentence(self._read(p, 'cell'))} -> {self.folder / p.folder}")
        for reason, n in Counter(self._read(p, "failure")["reason"] for p in failed).items():
            say(f"{_count(n, 'cell')}: {reason}")

    def _read(self, p: Planned, name: str) -> dict[str, Any]:
        return json.loads((self.folder / p.folder / f"{name}.json").read_text("utf-8"))


def run_cell(p: Planned, sweep_folder: Path) -> bool:
    """One launched cell, in whatever process: writes its result or its failure into the sweep's folder."""
    plan = json.loads((sweep_folder / "sweep.json").read_text("utf-8"))
    store = open_store(p.request, plan["name"], since=plan["started"])
    assert p.cell is not None
    return cells.run(p.cell, p.label, store, sweep_folder / p.folder)


def open_store(request: Request, sweep: str, since: float | None = None) -> Store:
    """The store, with what it hands to the stages it runs."""
    return Store(request.store, How(request.runtime, request.tracking, sweep), request.cache, since)


@contextmanager
def _expecting_to_write() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = "store=FOLDER and hydra.sweep.dir=FOLDER name other places"
        raise ConfigError(f"cannot write to {error.filename}: {error.strerror}; {where}") from error


def by_new_work(work: Sequence[Set[str]]) -> list[int]:
    """The order in which to start cells, by the names of the stages that each one still needs: whatever brings the
    most that no cell before it does. Cells that run side by side then seldom wait for each other, and what many wait
    for begins early."""
    queue = [(-len(stages), i) for i, stages in enumerate(work)]
    heapq.heapify(queue)
    order, begun = [], set[str]()
    while queue:
        bound, i = heapq.heappop(queue)
        new = work[i] - begun
        if len(new) < -bound:  # others came first; what is new only ever shrinks, so that nobody was overlooked
            heapq.heappush(queue, (-len(new), i))
        else:
            order.append(i)
            begun |= new
    return order


def folder_name(overrides: Sequence[str]) -> str:
    """A cell's folder, by the overrides that change results: a rerun finds it again."""
    name = ",".join(sorted(filter(_matters, overrides))) or "defaults"
    safe = re.sub(r"[^\w.,=+~@-]+", "_", name, flags=re.ASCII)
    if safe == name and len(name) <= 200:
        return name
    return f"{safe[:180]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _matters(override: str) -> bool:
    return re.split(r"[.@/]", _key(override))[0] not in NEUTRAL


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _sentence(cell: dict[str, Any]) -> str:
    pgr = f"{cell['pgr']:z.2f}" if cell["pgr"] is not None else f"undefined ({cell['pgr_undefined']})"
    accuracies = ", ".join(f"{k} {cell[f'{k}_accuracy']:.3f}" for k in ("weak", "student", "ceiling"))
    return f"{cell['task']}, {cell['strong']} <- {cell['weak']}, {cell['method']}: {accuracies}, PGR {pgr}"
