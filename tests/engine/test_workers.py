"""Work shared by processes, on stages that do arithmetic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from w2sweep.engine.failures import StageFailed
from w2sweep.engine.stage import Job, Stage
from w2sweep.engine.store import Store
from w2sweep.engine.workers import ensure_in_processes


@dataclass(frozen=True)
class Square(Stage[int]):
    """Its own process's number beside the result says where it ran."""

    n: int

    @property
    def what(self) -> str:
        return f"square of {self.n}"

    def run(self, job: Job) -> None:
        if self.n < 0:
            raise ValueError("negative")
        (job.out / "n").write_text(str(self.n**2))
        (job.out / "process").write_text(str(os.getpid()))

    def read(self, path: Path) -> int:
        return int((path / "n").read_text())


def processes(store: Store, stages: list[Square]) -> Iterator[int]:
    for stage in stages:
        yield int((store.path(stage) / "process").read_text())


def test_several_workers_share_the_work(tmp_path: Path):
    store, stages = Store(tmp_path), [Square(n) for n in range(8)]
    ensure_in_processes(store, stages, workers=2)
    assert list(map(store.get, stages)) == [n**2 for n in range(8)]
    assert os.getpid() not in set(processes(store, stages))
    assert (tmp_path / "journal.jsonl").read_text().count('"commit"') == len(stages)


def test_a_single_worker_is_this_process_and_nothing_is_done_twice(tmp_path: Path):
    store, stages = Store(tmp_path), [Square(n) for n in range(2)]
    for _ in range(2):
        ensure_in_processes(store, stages, workers=1)
    assert set(processes(store, stages)) == {os.getpid()}
    assert (tmp_path / "journal.jsonl").read_text().count('"start"') == len(stages)


def test_what_fails_in_a_worker_is_raised_here(tmp_path: Path):
    with pytest.raises(StageFailed, match=r"square of -1 .* failed: ValueError: negative"):
        ensure_in_processes(Store(tmp_path), [Square(-1)], workers=2)
