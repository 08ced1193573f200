"""The jobs of Slurm that are at work on a store, or will be: which stages they are for.

Each submitted job has a file `jobs/.slurm/<id>.json` in the store, which says what it is for; the
cluster says whether it still lives. So two sweeps that share stages share their jobs.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import sleep

from w2sweep.engine.files import read_json, write_json
from w2sweep.engine.leases import claim
from w2sweep.values import ConfigError

SUBMITTING = "slurm"
"""The key of the lease that a submitting process holds."""
LEASE_S = 60.0
STATES = "%A|%T|%r|%j"
"""What squeue is to print of a job: id, state, why it waits, name."""
DEPENDING = "Dependency"
"""Why a job waits that others have to end for."""


@dataclass(frozen=True)
class SubmittedJob:
    """What a job is for."""

    id: str
    name: str
    sweep: str
    rule: str
    stages: tuple[str, ...]
    """Their names; none: it reports."""
    log: str
    """The file with all that it says."""


@dataclass(frozen=True)
class LiveJob(SubmittedJob):
    """A job that waits, or runs."""

    state: str
    """In the words of Slurm: PENDING, RUNNING, ..."""
    reason: str
    """Why it waits: Dependency, Resources, Priority, ..."""

    @property
    def runs(self) -> bool:
        """Whether it has begun."""
        return self.state != "PENDING"


def register(store: Path, job: SubmittedJob) -> None:
    """Remembers what a job is for."""
    folder = _folder(store)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{job.id}.json", asdict(job))


def live_jobs(store: Path) -> list[LiveJob]:
    """The jobs of this store that wait or run, in the order of their ids. Raises ConfigError where
    the cluster does not answer."""
    if not _folder(store).is_dir() or shutil.which("squeue") is None:
        return []
    found = []
    for id, (state, reason, name) in sorted(_queue().items()):
        job = _registered(store, id)
        if job and job.name == name:  # else a job of this number in another cluster
            found.append(LiveJob(**vars(job), state=state, reason=reason))
    return found


def last_jobs(store: Path) -> dict[str, SubmittedJob]:
    """Name of a stage -> the last job that was submitted for it, whatever became of it."""
    ids = sorted(
        (file.stem for file in _folder(store).glob("*.json")), key=lambda id: (len(id), id)
    )
    jobs = [job for id in ids if (job := _registered(store, id))]
    return {stage: job for job in jobs for stage in job.stages}


def at_work(jobs: Sequence[LiveJob]) -> Mapping[str, str]:
    """Name of a stage -> id of the job that is for it."""
    return {stage: job.id for job in jobs for stage in job.stages}


@contextmanager
def submitting(store: Path) -> Iterator[None]:
    """Nobody else submits jobs for this store meanwhile: a second command would not see the
    first's."""
    _folder(store).mkdir(parents=True, exist_ok=True)
    while (lease := claim(_folder(store), SUBMITTING, LEASE_S)) is None:
        sleep(0.5)
    with lease:
        yield
        lease.tidy()


def _folder(store: Path) -> Path:
    return store / "jobs" / ".slurm"


def _registered(store: Path, id: str) -> SubmittedJob | None:
    try:
        said = read_json(_folder(store) / f"{id}.json")
        return SubmittedJob(**{**said, "stages": tuple(said["stages"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _queue() -> dict[str, tuple[str, str, str]]:
    """Id -> state, reason, name of all jobs that wait or run."""
    command = ["squeue", "--noheader", "--all", f"--format={STATES}"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        raise ConfigError(f"squeue does not answer: {' '.join(asked.stderr.split())}")
    lines = [line.split("|", 3) for line in asked.stdout.splitlines()]
    return {id.strip(): (state, reason, name) for id, state, reason, name in lines}
