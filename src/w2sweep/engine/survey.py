"""How far a sweep is, from its store and the queue of a cluster alone. What else is in the store
costs no time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from w2sweep.engine import working
from w2sweep.engine.failures import FAILED, StageFailed
from w2sweep.engine.files import read_json
from w2sweep.engine.leases import holder
from w2sweep.engine.owners import Owner
from w2sweep.engine.progress import clock
from w2sweep.engine.queue import LiveJob, at_work


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


@dataclass(frozen=True)
class _Look:
    """At the stages of one type."""

    folder: Path
    keys: set[str]
    since: float

    @cached_property
    def done(self) -> set[str]:
        """The names of those that have a result."""
        names = {f"{self.folder.name}/{key}" for key in self.keys}
        return {name for name in names if (self.folder.parent / name).is_dir()}

    def running(self) -> Iterator[tuple[str, Owner, Mapping[str, object]]]:
        """Name, who has it, and what it says of itself."""
        begun = dict.fromkeys(key for key, _ in working.begun(self.folder))
        for key in begun.keys() & self.keys:
            if found := holder(self.folder, key):
                number, owner, _ = found
                said = _said(working.place(self.folder, key, number))
                yield f"{self.folder.name}/{key}", owner, said

    def failed(self) -> Iterator[tuple[str, StageFailed]]:
        """Name, and why."""
        for file in (self.folder / FAILED).glob("[!.]*.json"):
            if file.stem in self.keys:
                with suppress(OSError, ValueError, TypeError):
                    if file.stat().st_mtime >= self.since:
                        yield f"{self.folder.name}/{file.stem}", StageFailed(**read_json(file))


def _said(work: Path) -> Mapping[str, object]:
    try:
        said = read_json(work / "progress.json")
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}
