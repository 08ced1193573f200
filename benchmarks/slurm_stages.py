"""What a sweep holds of a cluster: as stages, each with resources of its own, and as whole cells.

    python benchmarks/slurm_stages.py outputs/slurm
    python benchmarks/slurm_stages.py outputs/slurm -- -cn quickstart seed=0

Runs one sweep twice, with two stores, on a private Slurm of one node (it needs Slurm's programs and
root, see tests/cluster.py): by `hydra/launcher=stages_slurm` with three classes of resources, and
by `hydra/launcher=submitit_slurm`, where each cell has those of the largest class. The words behind
`--` choose another sweep.

The node says that it has four CPUs, whatever there are; a job has one process of one thread. For
each run it prints, in seconds:

    wall        from the first job's beginning to the last one's end
    allocated   jobs, each with how long it ran; and CPUs, each with how long a job had it
    working     of these, while the job had a stage in hand (journal); and how much that is
    idle        the rest: beginning (imports), waiting, comparing, ending
    waiting     of that, at least: between the first and the last stage that a process had in hand,
                while it had none
    stages      how many were run, and distinct ones

and what a stage costs beside itself: the median of what a job of one stage is allocated and not
working, and of how long a job is not begun after the last one ended that it waited for.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from cluster import cluster, lacking, slurm  # noqa: E402

from w2sweep.engine.store import Store  # noqa: E402

SWEEP = ["task=sentiment", "weak=nano", "strong=micro,tiny", "method=naive,confidence", "seed=0"]
CPUS = 4
CLASSES = (
    "{data: {types: [Splits, Text], cpus: 1, pack: 8}, "
    "small: {up_to: 2e3, cpus: 1, minutes: 60}, large: {cpus: 2, minutes: 120}}"
)
AS_STAGES = [
    *("hydra/launcher=stages_slurm", "hydra.launcher.partition=low"),
    f"hydra.launcher.resources={CLASSES}",
]
AS_CELLS = [
    *("hydra/launcher=submitit_slurm", "hydra.launcher.partition=low"),
    *("hydra.launcher.cpus_per_task=2", "hydra.launcher.timeout_min=240"),
]
SACCT = "#!/bin/sh\necho 'JobID|State|NodeList'\n"
"""Who asks for accounts gets none, and looks for results instead."""


@dataclass(frozen=True)
class Allocation:
    """What one job had."""

    id: str
    cpus: int
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Run:
    """What one way of running the sweep took."""

    folder: Path
    jobs: Sequence[Allocation]
    entries: Sequence[dict]
    """Of the store's journal."""

    @property
    def wall(self) -> float:
        return max(job.end for job in self.jobs) - min(job.start for job in self.jobs)

    @property
    def allocated(self) -> tuple[float, float]:
        """Seconds of jobs, and of CPUs."""
        return sum(job.seconds for job in self.jobs), sum(j.seconds * j.cpus for j in self.jobs)

    @property
    def worked(self) -> tuple[float, float]:
        """The same, of the time with a stage in hand."""
        jobs = {job.id: job for job in self.jobs}
        widest = max(job.cpus for job in self.jobs)  # of the cells, which are all alike
        seconds = cpu_seconds = 0.0
        for pid, its in self.by_process.items():
            job = jobs.get(self.job_of.get(pid, ""))
            seconds += its
            cpu_seconds += its * (job.cpus if job else widest)
        return seconds, cpu_seconds

    @cached_property
    def by_process(self) -> dict[int, float]:
        """Process -> seconds in which it had a stage in hand."""
        found: dict[int, float] = defaultdict(float)
        for entry in self.entries:
            if entry["event"] in ("commit", "interrupted", "failed"):
                found[entry["pid"]] += entry["seconds"]
        return found

    @property
    def waiting(self) -> float:
        """Seconds of processes between their first and their last stage, without one in hand."""
        first: dict[int, float] = {}
        last: dict[int, float] = {}
        for entry in self.entries:
            first.setdefault(entry["pid"], entry["time"] - entry["seconds"])
            last[entry["pid"]] = entry["time"]
        return sum(last[pid] - first[pid] - its for pid, its in self.by_process.items())

    @cached_property
    def job_of(self) -> dict[int, str]:
        """Process -> job; of stages alone, whose jobs say so."""
        owners = self.folder.glob("outputs/sweeps/mine/jobs/*/owner.json")
        return {json.loads(file.read_text())["pid"]: file.parent.name for file in owners}

    @property
    def stages(self) -> tuple[int, int]:
        """How many were run, and distinct ones."""
        started = [entry["stage"] for entry in self.entries if entry["event"] == "start"]
        return len(started), len(set(started))

    def overhead(self) -> str:
        """What a stage costs beside itself."""
        jobs = {job.id: job for job in self.jobs}
        beside = [
            jobs[id].seconds - self.by_process[pid]
            for pid, id in self.job_of.items()
            if pid in self.by_process
        ]
        late = [late for job in self.jobs if (late := self._late(job, jobs)) is not None]
        medians = f"{statistics.median(beside):.1f} s beside its stages, and begins "
        medians += f"{statistics.median(late):.1f} s after what it waited for"
        return f"a job is allocated {medians} (medians of {len(beside)} and {len(late)} jobs)"

    def _late(self, job: Allocation, jobs: Mapping[str, Allocation]) -> float | None:
        script = self.folder / "outputs/sweeps/mine/jobs" / job.id / f"{job.id}_submission.sh"
        asked = re.search(r"--dependency=\w+:([\d:]+)", script.read_text())
        return job.start - max(jobs[id].end for id in asked[1].split(":")) if asked else None

    def line(self, name: str) -> str:
        jobs, cpus = self.allocated
        worked, worked_cpus = self.worked
        return (
            f"{name:8}{len(self.jobs):6}{self.wall:8.0f}{jobs:10.0f}{cpus:10.0f}{worked:10.0f}"
            f"{worked_cpus:10.0f}{jobs - worked:8.0f}{cpus - worked_cpus:8.0f}"
            f"{self.waiting:9.0f}{worked_cpus / cpus:8.0%}{self.stages[0]:8}{self.stages[1]:9}"
        )


TITLES = (
    f"{'':8}{'jobs':>6}{'wall':>8}{'allocated':>10}{'CPU s':>10}{'working':>10}{'CPU s':>10}"
    f"{'idle':>8}{'CPU s':>8}{'waiting':>9}{'used':>8}{'stages':>8}{'distinct':>9}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sweep", nargs="*", default=SWEEP, help="words of w2sweep, behind --")
    given = parser.parse_args()
    if why := lacking():
        sys.exit(why)
    folder = given.folder.absolute()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "sacct").write_text(SACCT)
    (folder / "bin" / "sacct").chmod(0o755)
    runs = {}
    for name, launcher in (("stages", AS_STAGES), ("cells", AS_CELLS)):
        with cluster(folder / f"slurm_{name}", CPUS):
            runs[name] = run(folder / name, [*given.sweep, *launcher])
    print(TITLES)
    for name, its in runs.items():
        print(its.line(name))
    print(runs["stages"].overhead())


def run(folder: Path, words: Sequence[str]) -> Run:
    """Runs the sweep in a folder of its own, on the cluster that is up."""
    folder.mkdir(parents=True)
    path = f"{folder.parent}/bin{os.pathsep}{os.environ['PATH']}"
    mine = {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "PATH": path}
    command = [sys.executable, "-m", "w2sweep", "tracking=none", "sweep=mine", *words]
    with (folder / "log").open("w") as log:
        subprocess.run(
            command, cwd=folder, env={**os.environ, **mine}, stdout=log, stderr=log, check=True
        )
    while slurm("squeue", "--noheader").strip():
        time.sleep(1)
    entries = Store(folder / "outputs" / "store", mode="read-only").journal()
    return Run(folder, allocations(), entries)


def allocations() -> list[Allocation]:
    """Of all jobs that have ended, from the controller's memory."""
    found = []
    for line in slurm("scontrol", "--oneliner", "show", "job").splitlines():
        told = dict(re.findall(r"(\w+)=(\S*)", line))
        start, end = (clock(told[key]) for key in ("StartTime", "EndTime"))
        found.append(Allocation(told["JobId"], int(told["NumCPUs"]), start, end))
    return found


def clock(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


if __name__ == "__main__":
    main()
