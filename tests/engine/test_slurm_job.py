"""What runs in a job of Slurm: how it is stopped, when it is queued again, what its command sees.

There is no Slurm here: the process is started as a job's script starts it, and `scontrol` is a
script that says in which state the job is and notes what it is asked for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import environment

from w2sweep.engine.leases import claim, held
from w2sweep.engine.owners import Machine, Owner
from w2sweep.engine.slurm_job import OWNER, StagesCommand

KEY = "0123456789abcdef"
STAGE = f"Finetune/{KEY}"
SCONTROL = """#!/bin/sh
echo "$@" >> {folder}/asked
[ "$2" = show ] && echo "JobId=7 JobState=$(cat {folder}/state) Reason=None"
exit 0
"""
HOLDING = """
import signal, sys, time
from pathlib import Path
from w2sweep.engine.leases import claim
signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    with claim(Path({folder!r}), {key!r}, 600.0):
        Path({begun!r}).touch()
        time.sleep({seconds})
except KeyboardInterrupt:
    sys.exit(4)
"""


class Job:
    """A job that Slurm has begun."""

    def __init__(self, folder: Path):
        self.folder, self.store = folder, folder / "store"
        (folder / "bin").mkdir()
        (self.store / "Finetune").mkdir(parents=True)
        (folder / "bin" / "scontrol").write_text(SCONTROL.format(folder=folder))
        (folder / "bin" / "scontrol").chmod(0o755)
        self.is_in("RUNNING")

    def is_in(self, state: str) -> None:
        (self.folder / "state").write_text(state)

    def begins(self, *command: str, stages: tuple[str, ...] = (STAGE,), faults: int = 3) -> None:
        from submitit.helpers import DelayedSubmission

        if not self.pickle.exists():
            todo = StagesCommand(command, str(self.store), stages, faults)
            delayed = DelayedSubmission(todo)
            delayed.set_timeout(timeout_min=60, max_num_timeout=3)
            self.pickle.parent.mkdir(exist_ok=True)
            delayed.dump(self.pickle)
        variables = {"SUBMITIT_EXECUTOR": "slurm", "SLURM_JOB_ID": "7", "SLURM_PROCID": "0"}
        path = f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}"
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "submitit.core._submit", str(self.folder / "%j")],
                env={**environment(), **variables, "PATH": path},
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pickle(self) -> Path:
        return self.folder / "7" / "7_submitted.pkl"

    def ends(self) -> tuple[int, str]:
        """Its exit code, and what it said."""
        return self.process.wait(60), (self.folder / "log").read_text()

    @property
    def requeued(self) -> int:
        """How often it was asked to be queued again."""
        asked = self.folder / "asked"
        lines = asked.read_text().splitlines() if asked.exists() else []
        return lines.count("requeue 7")

    def holding(self, seconds: float = 300.0) -> list[str]:
        """A command that has the stage's lease for so long, and then ends well."""
        values = {"folder": str(self.store / "Finetune"), "key": KEY, "seconds": seconds}
        code = HOLDING.format(**values, begun=str(self.folder / "begun"))
        return [sys.executable, "-c", code]

    def holds(self) -> bool:
        return held(self.store / "Finetune", KEY) is not None


@pytest.fixture
def job(tmp_path: Path):
    made = Job(tmp_path)
    yield made
    if hasattr(made, "process") and made.process.poll() is None:
        os.killpg(made.process.pid, signal.SIGKILL)
        made.process.wait()


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_job_that_is_done_ends_well(job: Job):
    job.begins("true")
    code, said = job.ends()
    assert (code, job.requeued) == (0, 0), said


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_job_without_results_fails_so_that_what_waits_for_it_does_not_begin(job: Job, code: int):
    job.begins("sh", "-c", f"exit {code}")
    assert job.ends()[0] == 1
    assert job.requeued == 0


def test_of_several_stages_one_that_is_there_lets_the_next_begin(job: Job):
    (job.store / "Finetune" / KEY).mkdir()
    job.begins("sh", "-c", "exit 1", stages=(STAGE, "Finetune/" + "f" * 16))
    assert job.ends()[0] == 0


def test_sigterm_first_stops_the_command_gives_its_lease_back_and_queues_the_job_again(job: Job):
    """As Slurm begins most pre-emptions; submitit itself lets it pass, and would wait."""
    job.begins(*job.holding())
    eventually(job.holds)
    os.killpg(job.process.pid, signal.SIGTERM)  # Slurm sends it to each process of the job
    code, said = job.ends()
    assert (code != 0, job.requeued, job.holds()) == (True, 1, False), said


def test_its_own_signal_does_not_kill_the_command_before_it_is_stopped(job: Job):
    """SIGUSR2 reaches the command too, whose default is death without a word."""
    job.begins(*job.holding(seconds=1.5))
    eventually(job.holds)
    (command,) = children(job.process.pid)
    os.kill(command, signal.SIGUSR2)
    os.kill(command, signal.SIGUSR1)
    assert job.ends()[0] == 0


def test_at_the_end_of_its_time_it_is_stopped_and_queued_again(job: Job):
    job.begins(*job.holding())
    eventually(job.holds)
    os.killpg(job.process.pid, signal.SIGUSR2)
    _, said = job.ends()
    assert (job.requeued, job.holds()) == (1, False), said
    (job.folder / "begun").unlink()
    job.begins()  # Slurm begins it again, and it goes on
    eventually((job.folder / "begun").exists)


@pytest.mark.parametrize("state", ["CANCELLED", "COMPLETING", "PENDING"])
def test_what_was_cancelled_or_is_queued_already_is_not_queued_again(job: Job, state: str):
    job.begins(*job.holding())
    eventually(job.holds)
    job.is_in(state)
    os.killpg(job.process.pid, signal.SIGTERM)
    _, said = job.ends()
    assert (job.requeued, job.holds()) == (0, False), said


def test_a_killed_command_is_interrupted_and_its_lease_free_on_every_machine(job: Job):
    job.begins(*job.holding())
    eventually(job.holds)
    (lease,) = (job.store / "Finetune").glob(".leases/*/*.1")
    (command,) = children(job.process.pid)
    os.kill(command, signal.SIGKILL)
    job.ends()
    assert (job.requeued, lease.stat().st_mtime) == (1, 0.0)


def test_a_fault_of_the_machine_is_tried_again_but_not_for_ever(job: Job):
    for _ in range(2):
        job.begins("sh", "-c", "exit 4", faults=2)
        job.ends()
    assert job.requeued == 2
    job.begins()
    code, said = job.ends()
    assert (code, job.requeued) == (1, 2)
    assert "again and again" in said


def test_a_job_whose_node_died_does_not_wait_for_its_own_lease(job: Job):
    """On another machine nobody could tell that the owner is dead, for ten minutes."""
    folder = job.store / "Finetune"
    claim(folder, KEY, 600.0)  # and never opened: its owner is gone
    (lease,) = folder.glob(".leases/*/*.1")
    elsewhere = Owner(Machine("node7", boot="another"), 4242, "1")
    lease.write_text(json.dumps(elsewhere.plain))
    assert claim(folder, KEY, 600.0) is None
    (job.folder / "7").mkdir()
    (job.folder / "7" / OWNER).write_text(json.dumps(elsewhere.plain))
    job.begins(*job.holding(seconds=0.1))
    code, said = job.ends()
    assert code == 0, said
    assert "gave back the lease of node7 4242" in said


def test_the_command_knows_nothing_of_the_job(job: Job):
    """torchrun and Lightning would take themselves for tasks of the job."""
    job.begins("sh", "-c", f"env > {job.folder}/env")
    job.ends()
    names = [line.partition("=")[0] for line in (job.folder / "env").read_text().splitlines()]
    assert [name for name in names if name.startswith(("SLURM_", "SUBMITIT_"))] == []


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
