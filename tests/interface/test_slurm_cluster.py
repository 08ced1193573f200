"""A sweep on a real Slurm, with all that happens to jobs there; and what its commands say of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import cluster, lacking, slurm
from commands import QUIET, cells, environment, plan

from w2sweep.engine.queue import LiveJob, live_jobs
from w2sweep.engine.store import Store
from w2sweep.interface import status_command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(lacking() is not None, reason=str(lacking())),
]
RESOURCES = """{
  data: {types: [Splits, Text], cpus: 1, pack: 8},
  pretraining: {types: [Adapt], cpus: 1, pack: 8},
  finetuning: {cpus: 2}}"""
SWEEP = ["task=pretend", "task.lasting=ceiling", "weak=nano", "strong=micro,mini,small"]
ON_SLURM = [
    *("hydra/launcher=stages_slurm", "hydra.launcher.partition=low"),
    f"hydra.launcher.resources={' '.join(RESOURCES.split())}",
    "hydra.launcher.signal_delay_s=60",
]


@pytest.fixture
def node(folder: Path) -> Iterator[str]:
    with cluster(folder / "slurm", cpus=12) as name:
        yield name


def swept(folder: Path) -> str:
    """What `w2sweep` says, which submits the sweep and ends."""
    words = [*QUIET, *SWEEP, "sweep=mine", *ON_SLURM]
    done = subprocess.run(
        [sys.executable, "-m", "w2sweep", *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def eventually(holds: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, slurm("squeue") + status()
        time.sleep(0.2)


def status() -> str:
    """What `w2sweep-status` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "w2sweep.interface.status_command", "outputs/sweeps/mine"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def jobs(folder: Path, name: str) -> list[LiveJob]:
    live = live_jobs(folder / "outputs" / "store")
    return [job for job in live if job.name.startswith(name)]


def events(folder: Path, event: str) -> Counter[str]:
    """Stage -> how often this happened to it."""
    entries = Store(folder / "outputs" / "store", mode="read-only").journal()
    return Counter(entry["what"] for entry in entries if entry["event"] == event)


def test_a_sweep_on_slurm_loses_nothing_whatever_happens_to_its_jobs(folder: Path, node: str):
    said = swept(folder)
    assert "13 stages submitted in 9 jobs, and a report: 1-10" in said
    ceilings = ["ceiling micro, pretend", "ceiling mini, pretend", "ceiling small, pretend"]
    eventually(lambda: len(events(folder, "start") & Counter(ceilings)) == 3)
    eventually(lambda: sum(events(folder, "commit").values()) == 10)
    assert "queued   jobs 10 (1 report): Dependency" in status()

    # one is requeued by hand, one is cancelled, and then a more important job takes all CPUs
    requeued, _, cancelled = (jobs(folder, name)[0] for name in ceilings)
    slurm("scontrol", "requeue", requeued.id)
    slurm("scancel", cancelled.id)
    eventually(lambda: not jobs(folder, ceilings[2]))
    slurm("sbatch", "--partition=high", "--cpus-per-task=12", "--output=/dev/null", "--wrap=true")
    eventually(lambda: events(folder, "interrupted") >= Counter(ceilings))
    (folder / "outputs/store/enough").touch()
    eventually(lambda: not jobs(folder, ""))  # the report too is over

    assert len(cells(folder, "mine")) == 2
    assert "1 missing" in status()
    said = swept(folder)  # given again, it submits what is missing
    assert "1 stages submitted in 1 jobs, and a report" in said
    eventually(lambda: not jobs(folder, ""))
    assert len(cells(folder, "mine")) == 3
    assert (folder / "outputs/sweeps/mine/report/index.html").exists()

    started, interrupted = events(folder, "start"), events(folder, "interrupted")
    assert set(interrupted) == set(ceilings)
    assert started - interrupted == events(folder, "commit")  # nothing was run twice
    assert sum(events(folder, "commit").values()) == len(plan(folder, "mine")["stages"]) == 13
    assert not events(folder, "failed")
    assert status_command.main(["outputs/sweeps/mine"]) == 0
