"""How far a sweep is, from its store and the queue of a cluster alone: each folder of the store is
listed once, however many stages it has."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from w2sweep.engine.failures import StageFailed
from w2sweep.engine.files import read_json
from w2sweep.engine.leases import RELEASED
from w2sweep.engine.owners import Owner
from w2sweep.engine.progress import clock
from w2sweep.engine.queue import LiveJob, at_work

FAILURE = ".failed.json"
LEASE = re.compile(r"\.(\w+)\.lease\.(\d+)")


@dataclass(frozen=True)
class Running:
    """A stage that a worker has in hand."""

    name: str
    owner: Owner
    job: str | None
    """The job of a cluster that is for it."""
    said: Mapping[str, object]
    """What it says of itself (`progress.json`); many say nothing."""

    def __str__(self) -> str:
        by = f"{self.owner}, job {self.job}" if self.job else str(self.owner)
        try:
            step, steps = int(str(self.said["step"])), int(str(self.said["steps"]))
            rate = float(str(self.said["rate"]))
        except (KeyError, ValueError):
            return by
        left = f", {clock((steps - step) / rate)} left" if rate else ""
        return f"{step}/{steps}{left}, {by}"


@dataclass(frozen=True)
class Survey:
    """Where each stage of a sweep is, by name."""

    done: frozenset[str]
    running: Mapping[str, Running]
    queued: Mapping[str, str]
    """Stages whose job waits, or has only just begun -> its id."""
    failed: Mapping[str, StageFailed]
    nobodys: frozenset[str]
    """Missing, and no job is for them; other workers may come to them."""


def survey(
    stages: Collection[str], store: Path, since: float, jobs: Sequence[LiveJob] = ()
) -> Survey:
    """Looks at a store.

    Args:
        stages: names of the sweep's stages.
        store: its folder.
        since: when the sweep was started; what failed before then is tried again.
        jobs: those of a cluster that live.
    """
    kinds: dict[str, set[str]] = defaultdict(set)
    for name in stages:
        kind, _, key = name.partition("/")
        kinds[kind].add(key)
    looks = [_Look(store / kind, keys, since) for kind, keys in kinds.items()]
    done = frozenset(name for look in looks for name in look.done)
    for_them = at_work(jobs)
    running = {
        name: Running(name, owner, for_them.get(name), said)
        for look in looks
        for name, owner, said in look.running()
        if name not in done
    }
    failed = {name: failure for look in looks for name, failure in look.failed()}
    queued = {name: id for name, id in for_them.items() if name in set(stages) - done}
    waiting = {name: id for name, id in queued.items() if name not in running}
    rest = set(stages) - done - running.keys() - waiting.keys() - failed.keys()
    return Survey(done, running, waiting, _without(failed, running, waiting), frozenset(rest))


def _without(failed: Mapping[str, StageFailed], *others: Mapping[str, object]) -> dict:
    """Those that nobody tries again."""
    again = set[str]().union(*others)
    return {name: failure for name, failure in failed.items() if name not in again}


@dataclass
class _Look:
    """At the stages of one type."""

    folder: Path
    keys: set[str]
    since: float
    done: set[str] = field(default_factory=set)
    _failures: list[str] = field(default_factory=list)
    _leases: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            names = [entry.name for entry in self.folder.iterdir()]
        except FileNotFoundError:
            return
        for name in names:
            if name in self.keys:
                self.done.add(f"{self.folder.name}/{name}")
            elif name.endswith(FAILURE) and name.removesuffix(FAILURE) in self.keys:
                self._failures.append(name.removesuffix(FAILURE))
            elif (lease := LEASE.fullmatch(name)) and lease[1] in self.keys:
                self._leases[lease[1]] = max(self._leases.get(lease[1], 0), int(lease[2]))

    def running(self) -> Iterator[tuple[str, Owner, Mapping[str, object]]]:
        """Name, who has it, and what it says of itself."""
        for key, number in self._leases.items():
            lease = self.folder / f".{key}.lease.{number}"
            try:
                held, owner = lease.stat().st_mtime != RELEASED, Owner.told(read_json(lease))
            except (OSError, ValueError):
                continue
            if held and not owner.dead:
                yield f"{self.folder.name}/{key}", owner, self._said(key, number)

    def failed(self) -> Iterator[tuple[str, StageFailed]]:
        """Name, and why."""
        for key in self._failures:
            file = self.folder / f"{key}{FAILURE}"
            try:
                if file.stat().st_mtime >= self.since:
                    yield f"{self.folder.name}/{key}", StageFailed(**read_json(file))
            except (OSError, ValueError, TypeError):
                continue

    def _said(self, key: str, number: int) -> Mapping[str, object]:
        try:
            said = read_json(self.folder / f".{key}.{number}" / "progress.json")
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}
