"""Launchers: what is lost when one of their processes dies, and what is left of them when the sweep
does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import (
    QUIET,
    cells,
    environment,
    eventually,
    executed,
    journal,
    of_sweep,
    read,
    started,
    w2sweep,
)

LAUNCHERS = {
    "stages_local": [
        "hydra/launcher=stages_local",
        "hydra.launcher.n_jobs=2",
        "hydra.launcher.preload=[]",
    ],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=2"],
}


@contextmanager
def begun(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A sweep whose workers are in the middle of a stage that takes minutes."""
    with started(folder, *arguments) as sweep:
        try:
            assert eventually(lambda: (folder / "outputs/store/executed").exists())
            yield sweep
        finally:
            for process in of_sweep(folder):
                os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_what_a_killed_worker_leaves_is_done_by_others(folder, launcher, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    grid = ["task=pretend", "task.deadly=student", "seed=0,1,2", "runtime.accelerator=auto"]
    said = w2sweep(folder, *grid, *LAUNCHERS[launcher], "sweep=deadly").stderr
    assert "a worker died (" in said
    assert len(cells(folder, "deadly")) == 3
    again = len(executed(folder)) - len(set(executed(folder)))
    if launcher == "stages_local":
        assert "(was killed by SIGKILL) at student small <- nano, pretend: begun again" in said
        assert again == 0
    else:
        assert "without a result: started again, from where they were" in said
    if launcher == "submitit_local":  # whose other jobs know nothing of it
        assert "1 cell without a result: started again" in said
        assert again == 0
    assert again <= 1  # joblib ends all workers: what the other one was at is begun again

    records = [read(file) for file in folder.glob("outputs/store/Finetune/*/stage.json")]
    assert {record["computed"]["gpus"] for record in records} <= {"0", "1"}


@pytest.mark.parametrize(
    ("launcher", "end"),
    [
        ("stages_local", signal.SIGTERM),
        ("stages_local", signal.SIGKILL),
        ("joblib", signal.SIGKILL),
        ("submitit_local", signal.SIGKILL),
    ],
)
def test_no_worker_outlives_its_launcher(folder, launcher, end):
    grid = ["task=pretend", "task.lasting=ceiling", "seed=0,1,2", *LAUNCHERS[launcher]]
    with begun(folder, *grid, "sweep=told") as sweep:
        sweep.send_signal(end)
        said = sweep.communicate(timeout=30)[1]
        if end == signal.SIGTERM:
            assert sweep.returncode == 130
            assert "interrupted: run the same command again" in said
        assert eventually(lambda: not of_sweep(folder), seconds=30)


def test_the_end_of_a_jobs_time_is_no_failure_of_its_stage(folder):
    """submitit tells by a signal, whose handler raises an error in the middle of the stage."""
    once = [*LAUNCHERS["submitit_local"], "+hydra.launcher.max_num_timeout=0"]
    grid = ["task=pretend", "task.lasting=supervisor", *once, "sweep=over"]
    with begun(folder, *grid) as sweep:
        [worker] = [p for p in of_sweep(folder) if b"core._submit" in command_of(p)]
        os.kill(worker, signal.SIGUSR2)
        assert eventually(lambda: "supervisor nano, pretend" in journal(folder, "interrupted"))
        # it is started again, for its inputs are there now
        assert eventually(lambda: len(executed(folder)) == 2)
        sweep.terminate()
        said = sweep.communicate(timeout=30)[1]
    assert "a worker died (UncompletedJobError" in said
    assert "1 cell without a result: started again" in said
    assert journal(folder, "failed") == []
    assert not list(folder.glob("outputs/s*/**/fail*.json"))


def command_of(process: int) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()


@pytest.mark.parametrize("launcher", ["stages_local", "submitit_local"])
def test_ctrl_c_is_told_once(folder, launcher):
    grid = ["task=pretend", "task.lasting=ceiling", "seed=0,1", *LAUNCHERS[launcher]]
    with begun(folder, *grid, "sweep=told") as sweep:
        os.killpg(sweep.pid, signal.SIGINT)  # as a terminal does
        said = sweep.communicate(timeout=90)[1]
    assert sweep.returncode == 130
    assert "Traceback" not in said
    assert len(said.splitlines()) < 6
    assert not list((folder / "outputs/sweeps/told").glob("*/failure.json"))


def test_a_stage_that_kills_each_of_its_workers_costs_only_the_cells_that_need_it(folder):
    grid = ["task=pretend", 'task.deadly="",always', "seed=0,1", *LAUNCHERS["stages_local"]]
    said = w2sweep(folder, *grid, "sweep=deadly", code=1).stderr
    assert "2 cells failed" in said
    failures = cells(folder, "deadly", "failure.json")
    assert (len(cells(folder, "deadly")), len(failures)) == (2, 2)
    for failure in failures:
        assert "its worker was killed by SIGKILL, 2 times without a new" in failure["reason"]


def test_two_sweeps_at_once_share_their_stages_and_a_killed_one_keeps_its_cells(folder):
    lasting = ["task=pretend", 'task.lasting="",student', "seed=0,1", *LAUNCHERS["stages_local"]]
    with begun(folder, *lasting, "sweep=first") as sweep:
        assert eventually(lambda: len(cells(folder, "first")) == 2)
        call = [sys.executable, "-m", "w2sweep", *QUIET, *lasting, "sweep=second"]
        options = {"cwd": folder, "env": environment(), "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(call, **options) as second:
            assert eventually(lambda: len(cells(folder, "second")) == 2)
            sweep.kill()  # the other one goes on with what it was at
            sweep.wait()
            (folder / "outputs/store/enough").touch()
            second.communicate(timeout=60)
    assert second.returncode == 0
    assert (len(cells(folder, "first")), len(cells(folder, "second"))) == (2, 4)
