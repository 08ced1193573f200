"""How far a sweep is, from its store and the queue of a cluster alone. A look takes as long as the
sweep has stages, however large the store is."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from w2sweep.engine import working
from w2sweep.engine.failures import StageFailed, failures_in
from w2sweep.engine.leases import holder
from w2sweep.engine.owners import Owner
from w2sweep.engine.progress import StageProgress, said
from w2sweep.engine.queue import LiveJob, at_work


@dataclass(frozen=True)
class Running:
    """A stage that a worker has in hand."""

    name: str
    owner: Owner
    job: str | None
    """The job of a cluster that is for it."""
    said: StageProgress | None
    """What it says of itself; many say nothing."""

    def __str__(self) -> str:
        by = f"{self.owner}, job {self.job}" if self.job else str(self.owner)
        return f"{self.said}, {by}" if self.said else by


@dataclass(frozen=True)
class Survey:
    """Where each stage of a sweep is, by name."""

    done: frozenset[str]
    running: Mapping[str, Running]
    queued: Mapping[str, str]
    """Stages whose job waits, or has only just begun -> its id."""
    failed: Mapping[str, StageFailed]
    missing: frozenset[str]
    """No worker has them in hand and no job is for them; workers may come to them."""


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
    names = set(stages)
    done = frozenset(name for name in names if (store / name).is_dir())
    job_of = {name: id for name, id in at_work(jobs).items() if name in names - done}
    kinds = sorted({name.partition("/")[0] for name in names - done})
    begun = [running for kind in kinds for running in _running(store / kind, job_of)]
    running = {its.name: its for its in begun if its.name in names - done}
    queued = {name: id for name, id in job_of.items() if name not in running}
    under_way = done | running.keys() | queued.keys()
    failures = [failed for kind in kinds for failed in failures_in(store / kind, since)]
    failed = {name: why for name, why in failures if name in names - under_way}
    return Survey(done, running, queued, failed, frozenset(names - under_way - failed.keys()))


def _running(folder: Path, job_of: Mapping[str, str]) -> Iterator[Running]:
    """What workers have in hand of a type of stage, whose folder in the store this is."""
    for key in dict.fromkeys(key for key, _ in working.begun(folder)):
        if found := holder(folder, key):
            number, owner, _ = found
            name = f"{folder.name}/{key}"
            work = working.place(folder, key, number)
            yield Running(name, owner, job_of.get(name), said(work))
