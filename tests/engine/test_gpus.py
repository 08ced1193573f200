"""GPUs of one machine: each worker has one of its own, whatever dies. None is needed to see it."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from w2sweep.engine import gpus
from w2sweep.engine.gpus import VARIABLE, visible
from w2sweep.engine.stage import Job, Stage
from w2sweep.engine.store import Store
from w2sweep.engine.workers import ensure_in_processes

LISTED = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-aaaa)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-22222222-bbbb)
"""
DIVIDED = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-11111111-aaaa)
  MIG 1g.5gb      Device  0: (UUID: MIG-33333333-cccc)
  MIG 1g.5gb      Device  1: (UUID: MIG-44444444-dddd)
"""


@pytest.fixture(autouse=True)
def _own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


@contextmanager
def worker(number: int = 1) -> Iterator[tuple[BaseProcess, str]]:
    """A process that took its GPUs and lives on, and what it sees now."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_take, args=(there, number))
    process.start()
    try:
        yield process, here.recv()
    finally:
        process.kill()
        process.join()


def _take(told: Connection, number: int) -> None:
    gpus.take("auto", number)
    gpus.take("auto", number)  # who has its own takes no second one
    told.send(os.environ[VARIABLE])
    time.sleep(60)


def test_workers_have_different_gpus_and_one_that_died_leaves_its_own(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv(VARIABLE, "4,7")
    with worker() as (_, first), worker() as (killed, second):
        assert (first, second) == ("4", "7")
        killed.kill()
        killed.join()
        with worker() as (_, third):
            assert third == "7"


def test_more_workers_than_gpus_share_them_evenly(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "0,1")
    with worker() as (_, a), worker() as (_, b), worker() as (_, c), worker() as (_, d):
        assert Counter([a, b, c, d]) == {"0": 2, "1": 2}


def test_a_worker_may_take_several_and_the_next_one_what_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(VARIABLE, "0,1,2")
    with worker(2) as (_, two), worker() as (_, one):
        assert (two, one) == ("0,1", "2")
    with worker() as (_, one), worker(2) as (_, two):
        assert (one, two) == ("0", "1,2")
    with worker(3) as (_, three):
        assert three == "0,1,2"


@pytest.mark.parametrize("seen", ["", "3", "-1", "NoDevFiles"])
def test_of_one_gpu_or_none_nothing_is_taken(monkeypatch: pytest.MonkeyPatch, seen: str):
    monkeypatch.setenv(VARIABLE, seen)
    with worker() as (_, first), worker() as (_, second):
        assert first == second == seen


def test_what_computes_on_the_cpu_takes_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv(VARIABLE, "0,1")
    gpus.take("cpu")
    assert visible() == ["0", "1"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "seen"),
    [("0, 1", ["0", "1"]), ("0,-1,1", ["0"]), ("GPU-1,GPU-2", ["GPU-1", "GPU-2"]), ("", [])],
)
def test_what_the_variable_says_is_what_is_there(
    monkeypatch: pytest.MonkeyPatch, said: str, seen: list[str]
):
    monkeypatch.setenv(VARIABLE, said)
    assert visible() == seen


@pytest.mark.parametrize(
    ("listed", "seen"),
    [
        (LISTED, ["GPU-11111111-aaaa", "GPU-22222222-bbbb"]),
        (DIVIDED, ["MIG-33333333-cccc", "MIG-44444444-dddd"]),
        ("No devices were found\n", []),
    ],
    ids=["whole", "divided", "none"],
)
def test_otherwise_the_driver_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listed: str, seen: list[str]
):
    monkeypatch.delenv(VARIABLE, raising=False)
    driver = tmp_path / "nvidia-smi"
    driver.write_text(f"#!/bin/sh\ncat <<'END'\n{listed}END\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert visible() == seen
    driver.write_text("#!/bin/sh\nexit 9\n")  # as where the driver is broken
    assert visible() == []


@dataclass(frozen=True)
class Seen(Stage[str]):
    """What its process sees of the GPUs; done when another one runs, so that two processes are at
    it."""

    n: int

    def run(self, job: Job) -> None:
        meeting = job.out.parents[2] / "meeting"
        meeting.mkdir(exist_ok=True)
        (meeting / str(self.n)).touch()
        while len(list(meeting.iterdir())) < 2:
            time.sleep(0.02)
        (job.out / "seen").write_text(os.environ[VARIABLE])

    def read(self, path: Path) -> str:
        return (path / "seen").read_text()


def test_processes_that_share_work_have_one_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv(VARIABLE, "0,1")
    store, stages = Store(tmp_path / "store"), [Seen(0), Seen(1)]
    ensure_in_processes(store, stages, workers=2)
    assert sorted(map(store.get, stages)) == ["0", "1"]
