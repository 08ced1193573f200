"""How far a sweep is, by looks at its store: what is done, what runs, what has failed, and how long
the rest takes."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from w2sweep.engine import record
from w2sweep.engine.failures import StageFailed, failures_in
from w2sweep.engine.leases import Held, held
from w2sweep.engine.owners import Owner
from w2sweep.engine.paces import Loads, Paces, unknown
from w2sweep.engine.progress import StageProgress, said
from w2sweep.engine.remaining import UnderWay, time_left
from w2sweep.engine.stage import Stage, public_name
from w2sweep.engine.store import Store
from w2sweep.engine.working import begun, place

MOST_GUESSED = 0.5
"""The share of the seconds to come that may be of classes of which no stage has run, where they are
told by the work of other classes. Small models take long for little work: where one of 2,000
parameters alone had run, stages of 100,000 were said to take a hundred times what they took."""
TIMED = 20
"""Stages of one class and size, found at one look, of which it is read how long they took."""


@dataclass(frozen=True)
class AtWork:
    """A stage in somebody's hands."""

    stage: Stage[Any]
    by: Held
    said: StageProgress | None
    since: float
    """When it began, as far as can be told."""

    @property
    def elsewhere(self) -> bool:
        """Whether that is a worker of another machine."""
        return not self.by.owner.here


class Standing:
    """Where the stages of a sweep are. A look takes as long as there are stages left, however large
    the store is.

    Args:
        stages: of the sweep, inputs before their readers.
        store: where they are.
        workers: how many there are; None: as many as there ever were at work at once.
        loads: what stages have to do.
    """

    def __init__(
        self,
        stages: Sequence[Stage[Any]],
        store: Store,
        workers: int | None = None,
        loads: Loads = unknown,
    ):
        self.stages = {stage.name: stage for stage in stages}
        self._root, self._workers = store.root, workers
        self._since = store.since if store.mode == "force" else 0.0
        self._failed_since = 0.0 if store.mode == "cached" else store.since
        self._most_together = store.circumstances.runtime.most_together
        self._paces, self._most = Paces(loads), 1
        self._first_seen: dict[str, float] = {}
        self.done = set[str]()
        """Names."""
        self.failed: dict[str, StageFailed] = {}
        """By name."""
        self.running: list[list[AtWork]] = []
        """What each worker is at that is at work."""
        self.left: float | None = None
        """Seconds until the last stage that can be run is there; None where nobody can say, for no
        stage is known that computes anything, or none like most of those to come."""

    def look(self) -> None:
        """Looks again: at the places of what is not done yet, and at what is worked on."""
        left = self.stages.keys() - self.done
        found = {name for name in left if self._is_done(name)}
        self.done |= found
        self._time(found)
        kinds = sorted({name.partition("/")[0] for name in left - found})
        at_work = [running for kind in kinds for running in self._at_work(kind)]
        self.running = _by_worker(at_work)
        failed = dict(its for kind in kinds for its in self._failed_of(kind))
        running = {its.stage.name for its in at_work}
        self.failed = {name: why for name, why in failed.items() if name not in running}
        self.left = self._time_left()

    def _is_done(self, name: str) -> bool:
        try:
            found = os.stat(f"{self._root}/{name}")  # noqa: PTH116 (Path takes ten times as long)
        except FileNotFoundError:
            return False
        return not self._since or found.st_mtime >= self._since

    def _failed_of(self, kind: str) -> Iterator[tuple[str, StageFailed]]:
        for name, why in failures_in(self._root / kind, self._failed_since):
            if name in self.stages and name not in self.done:
                yield name, why

    def _at_work(self, kind: str) -> Iterator[AtWork]:
        """What runs of a class, in the order of the keys."""
        folder = self._root / kind
        for key in dict.fromkeys(key for key, _ in begun(folder)):
            name = f"{kind}/{key}"
            counts = name in self.stages and name not in self.done
            if counts and (holder := held(folder, key)):
                told = said(place(folder, key, holder.number))
                seen = self._first_seen.setdefault(name, time.time())
                since = min(seen, told.started) if told and told.started else seen
                yield AtWork(self.stages[name], holder, told, since)

    def _time(self, found: set[str]) -> None:
        """Reads how long some of the stages took that were found."""
        seen = Counter[object]()
        for stage in map(self.stages.__getitem__, sorted(found)):
            kind = (type(stage), stage.size)
            seen[kind] += 1
            took = _took(self._root / stage.name) if seen[kind] <= TIMED else None
            if took is not None:
                self._paces.add(stage, took)

    def _time_left(self) -> float | None:
        now, ahead = time.time(), self._ahead()
        at_work = list(chain.from_iterable(self.running))
        paces = self._paces.copy()
        for running in at_work:
            whole = _projected(running, now)
            if whole is not None and not self._paces.knows(running.stage):
                paces.add(running.stage, whole)
        takes = {name: paces.seconds(stage) for name, stage in ahead.items()}
        coming = takes.keys() - {running.stage.name for running in at_work}
        if any(takes[name] is None for name in coming):
            return None
        for name in coming:
            if (by := ahead[name].delivered_by) and by.name in ahead:
                takes[name] = 0.0
        if _guessed([ahead[name] for name in coming], takes, paces.classes) > MOST_GUESSED:
            return None
        calls = [_under_way(call, takes, now) for call in self.running]
        return time_left(
            stages=list(ahead.values()),
            under_way=calls,
            takes=lambda stage: takes[stage.name] or 0.0,
            workers=self._workers_for(calls),
            at_most=self._most_together,
        )

    def _ahead(self) -> dict[str, Stage[Any]]:
        """What is not there and can come: that failed, and whatever reads it, cannot."""
        ahead, out = dict[str, Stage[Any]](), set(self.failed)
        for name, stage in self.stages.items():
            if name in out or any(of.name in out for of in stage.reads):
                out.add(name)
            elif name not in self.done:
                ahead[name] = stage
        return ahead

    def _workers_for(self, calls: Sequence[UnderWay]) -> int:
        """How many there are, with those of other machines that are at work on the same."""
        self._most = max(self._most, len(calls))
        if self._workers is None:
            return self._most
        return self._workers + sum(call[0].elsewhere for call in self.running)


def _guessed(
    stages: Iterable[Stage[Any]], takes: Mapping[str, float | None], known: Collection[str]
) -> float:
    """The share of the seconds that is of other classes than the known ones."""
    all_of_them = of_others = 0.0
    for stage in stages:
        seconds = takes[stage.name] or 0.0
        all_of_them += seconds
        of_others += 0.0 if public_name(type(stage)) in known else seconds
    return of_others / all_of_them if all_of_them else 0.0


def _took(folder: Path) -> float | None:
    """How long a stage ran, as its record says; None where it did not, for another delivered its
    result."""
    told = record.read(folder)
    try:
        return None if "delivered_by" in told["computed"] else float(told["seconds"])
    except (KeyError, TypeError, ValueError):
        return None


def _by_worker(at_work: Sequence[AtWork]) -> list[list[AtWork]]:
    calls: dict[Owner, list[AtWork]] = defaultdict(list)
    for running in at_work:
        calls[running.by.owner].append(running)
    return list(calls.values())


def _projected(running: AtWork, now: float) -> float | None:
    """What a stage will have taken, as far as it says; of several that are run together, its
    share."""
    left = running.said and running.said.left(now)
    if running.said is None or left is None:
        return None
    return (now - running.since + left) / running.said.together


def _under_way(call: Sequence[AtWork], takes: Mapping[str, float | None], now: float) -> UnderWay:
    """What a worker is at. Its stages end together, where it runs several."""
    left = max(_left(running, takes[running.stage.name], len(call), now) for running in call)
    return UnderWay([running.stage for running in call], left)


def _left(running: AtWork, share: float | None, together: int, now: float) -> float:
    """Seconds until a stage is there that runs with others: by its own speed while it counts steps;
    else by what such stages take; else as many as it has taken."""
    told, elapsed = running.said, now - running.since
    by_itself = told.left(now) if told and told.step < told.steps else None
    if by_itself is not None:
        return by_itself
    return elapsed if share is None else max(0.0, share * together - elapsed)
