"""Stages that one call runs: each its own lease, folder, record and failure."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import pytest
from arithmetic import Number, events, hidden

from w2sweep.engine import record
from w2sweep.engine.failures import StageFailed
from w2sweep.engine.job import Circumstances
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Job, Stage
from w2sweep.engine.store import Store
from w2sweep.engine.working import place


@dataclass(frozen=True)
class Square(Stage[int]):
    """Squares of equal parity are computed together; that of a negative number fails."""

    calls: ClassVar[list[list[int]]] = []
    of: Number

    @property
    def together(self) -> int:
        return self.of.n % 2

    def run(self, job: Job) -> None:
        if self.of.n < 0:
            raise ArithmeticError(f"{self.of.n} is negative")
        (job.out / "n").write_text(str(job.get(self.of) ** 2))

    @classmethod
    def run_together(cls, runs: Sequence[tuple[Self, Job]]) -> Iterator[Exception | None]:
        cls.calls.append([stage.of.n for stage, _ in runs])
        for stage, job in runs:
            if stage.of.n == 99:
                raise RuntimeError("the stack fell over")
            try:
                job.progress(10).advance(10)
                stage.run(job)
                yield None
            except ArithmeticError as error:
                yield error

    def read(self, path: Path) -> int:
        return int((path / "n").read_text())


@pytest.fixture(autouse=True)
def calls() -> list[list[int]]:
    Square.calls.clear()
    return Square.calls


def squares(*numbers: int) -> list[Square]:
    return [Square(Number(n)) for n in numbers]


def test_what_is_equal_is_run_by_one_call_and_each_has_its_own_record(
    tmp_path: Path, calls: list[list[int]]
):
    store = Store(tmp_path)
    asked = squares(1, 2, 3, 4, 5)
    store.ensure(*asked)
    assert [store.get(stage) for stage in asked] == [1, 4, 9, 16, 25]
    assert sorted(calls) == [[1, 3, 5], [2, 4]]
    assert events(tmp_path) == {"start": 10, "commit": 10}
    assert hidden(tmp_path) == []
    assert all(record.damage(store.path(stage), stage) is None for stage in asked)


def test_time_is_shared_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = Store(tmp_path)
    store.ensure(*[Number(n) for n in (1, 3, 5)])
    clock = iter(range(0, 10_000, 6))
    monkeypatch.setattr("w2sweep.engine.leases.time.time", lambda: next(clock))
    store.ensure(*squares(1, 3, 5))
    took = [record.seconds(store.path(stage)) for stage in squares(1, 3, 5)]
    ends = [line["seconds"] for line in store.journal() if line["event"] == "commit"][-3:]
    # each look at the clock is 6 s later, of which each of three has 2
    assert all(seconds is not None and seconds % 2 == 0 for seconds in [*took, *ends])
    assert took[0] < ends[0]


def test_no_more_than_the_runtime_says_and_none_on_several_devices(
    tmp_path: Path, calls: list[list[int]]
):
    pairs = Circumstances(Runtime(together=2))
    Store(tmp_path / "pairs", pairs).ensure(*squares(1, 3, 5, 7, 9))
    assert calls == [[1, 3], [5, 7]]
    for runtime in (Runtime(together=1), Runtime(devices=2)):
        alone = Store(tmp_path / str(runtime.devices), Circumstances(runtime))
        alone.ensure(*squares(1, 3))
    assert calls == [[1, 3], [5, 7]]


def test_one_that_fails_does_not_stop_the_others(tmp_path: Path, calls: list[list[int]]):
    store = Store(tmp_path)
    with pytest.raises(StageFailed, match="ArithmeticError: -1 is negative") as raised:
        store.ensure(*squares(1, -1, 3))
    assert isinstance(raised.value.__cause__, ArithmeticError)
    assert calls == [[1, -1, 3]]
    assert [store.done(stage) for stage in squares(1, -1, 3)] == [True, False, True]
    wrong = store.ensure_only(*squares(1, -1, 3, 5))
    assert ["reads what is not in" in str(w) or "-1 is neg" in str(w) for w in wrong] == [True] * 2
    assert not store.done(Square(Number(5)))  # which lacks its input, as that call said
    assert events(tmp_path)["failed"] == 1


def test_what_is_the_fault_of_none_is_run_alone_from_its_checkpoint(
    tmp_path: Path, calls: list[list[int]], caplog: pytest.LogCaptureFixture
):
    store = Store(tmp_path)
    with caplog.at_level(logging.WARNING):
        store.ensure(*squares(1, 99, 3))
    assert "2 stages are run one by one, for together: the stack fell over" in caplog.text
    assert [store.get(stage) for stage in squares(1, 99, 3)] == [1, 9801, 9]
    assert events(tmp_path) == {"start": 8, "commit": 6}
    assert hidden(tmp_path) == []


def test_an_interruption_leaves_each_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(cls: type, runs: Sequence[tuple[Square, Job]]) -> Iterator[None]:
        for stage, job in runs:
            (job.out / "checkpoint").write_text(str(stage.of.n))
            (job.out / "half").write_text("")
        runs[0][0].run(runs[0][1])
        yield None
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Square, "run_together", classmethod(interrupted))
        with pytest.raises(KeyboardInterrupt):
            Store(tmp_path).ensure(*squares(1, 3, 5))
    store = Store(tmp_path)
    assert [store.done(stage) for stage in squares(1, 3, 5)] == [True, False, False]
    folder = tmp_path / Square(Number(3)).name.partition("/")[0]
    three, five = (place(folder, stage.key, 1) for stage in squares(3, 5))
    assert [file.name for work in (three, five) for file in work.iterdir()] == ["checkpoint"] * 2
    assert events(tmp_path)["interrupted"] == 2
    store.ensure(*squares(3, 5))
    assert events(tmp_path)["adopted"] == 2
    assert store.get(squares(5)[0]) == 25
