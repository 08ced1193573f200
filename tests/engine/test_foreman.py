"""Workers of one machine: what is run when and with what, and what is lost when one of them
dies."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from w2sweep.engine.foreman import Foreman, Share
from w2sweep.engine.leases import claim
from w2sweep.engine.pool import Pool
from w2sweep.engine.ready import Ready
from w2sweep.engine.stage import Job, Stage
from w2sweep.engine.store import Store


@dataclass(frozen=True)
class Sum(Stage[int]):
    """Its number, and what it reads. What it does beside that is told by `kind`."""

    n: int
    of: tuple[Sum, ...] = ()
    kind: str = ""

    @property
    def what(self) -> str:
        return f"sum {self.n}"

    def run(self, job: Job) -> None:
        root = job.out.parents[2]
        with (root / f"tries of {self.n}").open("a") as tries:
            tries.write(".")
        tried = (root / f"tries of {self.n}").stat().st_size
        if self.kind == "fails":
            raise ValueError("no sum")
        if self.kind == "goes on" and tried < 4:
            (job.out / "checkpoint.json").write_text(str(tried))
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "kills" or (self.kind == "kills once" and tried == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        (job.out / "sum").write_text(str(self.n + sum(job.get(s) for s in self.of)))

    def read(self, path: Path) -> int:
        return int((path / "sum").read_text())


@dataclass(frozen=True)
class Mate(Stage[int]):
    """Runs with those of its shape."""

    shape: str
    n: int
    of: Sum | None = None

    @property
    def together(self) -> Hashable:
        return self.shape

    def run(self, job: Job) -> None:
        (job.out / "with").write_text("1")

    @classmethod
    def run_together(cls, runs: Sequence[tuple[Mate, Job]]) -> Iterator[Exception | None]:
        for _, job in runs:
            (job.out / "with").write_text(str(len(runs)))
            yield None

    def read(self, path: Path) -> int:
        return int((path / "with").read_text())


def ran(root: Path, *stages: Stage, workers: int = 2) -> tuple[Foreman, Store]:
    store = Store(root)
    foreman = Foreman([Share(store, stages)], workers)
    foreman.run()
    return foreman, store


def tries(root: Path, n: int) -> int:
    return (root / f"tries of {n}").stat().st_size


def test_what_fails_or_kills_its_worker_costs_only_what_reads_it(tmp_path: Path):
    fails, kills = Sum(1, kind="fails"), Sum(2, kind="kills")
    once, goes_on = Sum(3, kind="kills once"), Sum(4, kind="goes on")
    lost = [Sum(5, (fails,)), Sum(6, (Sum(7, (kills,)),))]
    sound = Sum(8, (once, goes_on))
    foreman, store = ran(tmp_path, *lost, sound)
    assert store.get(sound) == 3 + 4 + 8
    assert not any(map(store.done, lost))
    assert foreman.failed.keys() == {fails.name, kills.name}
    # 4 began four times, for each time there was a new checkpoint
    assert [tries(tmp_path, n) for n in (1, 2, 3, 4)] == [1, 2, 2, 4]
    failure = store.failure(kills)
    assert failure is not None
    assert "its worker was killed by SIGKILL, 2 times without a new checkpoint" in str(failure)
    # a later sweep tries it again
    later = Store(tmp_path, since=store.since + 100)
    assert later.failure(kills) is None


def test_what_others_are_at_is_waited_for_by_no_worker(tmp_path: Path):
    held, free = Sum(1), [Sum(n) for n in range(2, 6)]
    store = Store(tmp_path)
    lease = claim(store.path(held).parent, held.key, store.lease_s)
    assert lease is not None
    came: list[str] = []

    def there(stage: Stage) -> None:
        came.append(stage.what)
        if len(came) == len(free):  # all that one worker could do in the meantime
            lease.release()

    with lease:
        Foreman([Share(store, [held, *free])], 1, there=there).run()
    assert came[-1] == "sum 1"
    assert sorted(came[:-1]) == [f"sum {n}" for n in range(2, 6)]


def test_mates_run_together_and_leave_work_for_others(tmp_path: Path):
    mates = [Mate("a", n) for n in range(6)]
    _, store = ran(tmp_path, *mates)
    assert [store.get(mate) for mate in mates] == [3] * 6


def test_a_result_that_is_damaged_is_computed_again(tmp_path: Path):
    first, second = Sum(1), Sum(2, (Sum(1),))
    _, store = ran(tmp_path, first)
    (store.path(first) / "sum").write_text("many")
    foreman, store = ran(tmp_path, second)
    assert (store.get(second), foreman.failed) == (3, {})
    assert tries(tmp_path, 1) == 2


def test_a_worker_ends_with_its_launcher_and_has_its_own_threads(tmp_path: Path):
    with Pool(1, threads=3) as pool:
        pool.give("pid", os.getpid)
        [told] = pool.wait(60)
        pool.give(
            "threads",
            os.getenv,
            "OMP_NUM_THREADS" if "OMP_NUM_THREADS" not in os.environ else "MKL_NUM_THREADS",
        )
        assert pool.wait(60)[0].value == "3"
        pool.give("sleep", time.sleep, 60)
        assert (pool.busy, pool.idle) == (1, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(told.value, 0)


def test_of_work_that_can_begin_the_longest_line_comes_first():
    long = Sum(3, (Sum(2, (Sum(1),)),))
    ready = Ready(
        [Sum(9), Sum(1), Sum(2, (Sum(1),)), long], cost=lambda s: 1.0, alike=lambda s: None
    )
    assert ready.take(2, 1) == [Sum(1)]
    assert ready.take(2, 1) == [Sum(9)]
    assert ready.take(2, 1) == []
    ready.there(Sum(1))
    assert ready.take(2, 1) == [Sum(2, (Sum(1),))]
    ready.give_up(Sum(2, (Sum(1),)))  # and with it what reads it
    assert list(ready.left.values()) == [Sum(9)]
    ready.there(Sum(9))
    assert ready.left == {}


def test_mates_wait_for_those_that_are_about_to_follow():
    texts = [Sum(n) for n in range(4)]
    mates = [Mate("a", n, text) for n, text in enumerate(texts)]
    ready = Ready(
        [*texts, *mates], cost=lambda s: 1.0, alike=lambda s: getattr(s, "together", None)
    )
    first, second = ready.take(2, 16), ready.take(2, 16)
    assert [*first, *second] == texts[:2]
    ready.there(texts[0])
    assert ready.take(2, 16) == [texts[2]]  # and not the only mate that could begin
    ready.there(texts[1])
    assert ready.take(2, 16) == [texts[3]]
    for text in texts[2:]:
        ready.there(text)
    assert ready.take(2, 16) == mates[:2]  # half of them, for two workers
    assert ready.take(2, 16) == mates[2:]
