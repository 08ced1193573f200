"""What a sweep shows of its stages."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from slow_stages import Test, Train, fail, finish, load, start

from w2sweep.engine import owners
from w2sweep.engine.owners import Machine
from w2sweep.engine.stage import Stage
from w2sweep.engine.store import Store
from w2sweep.engine.watch import Watch


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """`time.time()`, to be set by the test."""
    now = [time.time()]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


SPLITS, SUPERVISOR = Train(1), Train(2)
STUDENT, CEILING = Test(3), Test(4)
PLAN: list[Stage] = [SPLITS, SUPERVISOR, STUDENT, CEILING]
HALF = {"step": 2, "steps": 4, "rate": 2.0}


def until(seen: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def looked(watch: Watch) -> str:
    watch.look()
    return watch.line()


def test_a_line_tells_what_runs_and_how_far_it_is(store: Store):
    finish(store.root, SPLITS)
    finish(store.root, Train(99))  # of another sweep
    start(store.root, Test(98), **HALF)
    shown = io.StringIO()
    with Watch(PLAN, store, every_s=0.1, stream=shown):
        work = start(store.root, STUDENT, **HALF)
        until(lambda: "; train [3]" in shown.getvalue())
        finish(store.root, SUPERVISOR)
        until(lambda: "2/4" in shown.getvalue().splitlines()[-1])
        shutil.rmtree(work)
        finish(store.root, STUDENT)
        finish(store.root, CEILING)
    lines = shown.getvalue().splitlines()
    told = r"stages 1/4 done, 1 running, 0:0\d elapsed, about 0:0[3-6] left; train \[3\] 2/4, "
    assert any(re.fullmatch(told + "2 steps/s, 0:01 left", line) for line in lines)
    assert re.fullmatch(r"stages 4/4 done, 0:0\d elapsed", lines[-1])


def test_a_line_comes_every_so_often_though_nothing_happens(store: Store):
    shown = io.StringIO()
    with Watch(PLAN, store, every_s=0.05, stream=shown):
        until(lambda: shown.getvalue().count("stages 0/4 done") > 2)


def test_what_fails_is_told_once_and_its_readers_are_not_waited_for(store: Store):
    reader = Test(5, (SUPERVISOR,))
    finish(store.root, SPLITS, seconds=10)
    finish(store.root, STUDENT, seconds=7)
    shown = io.StringIO()
    watch = Watch([*PLAN, reader], store, every_s=0.05, stream=shown)
    assert looked(watch).endswith("about 0:24 left")
    fail(store.root, SUPERVISOR, "no memory")
    with watch:
        until(lambda: "failed" in shown.getvalue())
        time.sleep(0.15)
    assert shown.getvalue().count("train [2] failed: ValueError: no memory\n") == 1
    told = r"stages 2/5 done, 1 failed, 0:0\d elapsed, about 0:07 left"
    assert re.search(told, shown.getvalue())


def test_time_left_comes_from_speeds_like_stages_and_workers(store: Store, clocked: list[float]):
    """Of two workers one trains the supervisor, and says that it has 60 s to go, and then 15 s of
    its student. The other one is 10 s into 40 s that it says nothing of, with another 40 s to come.
    """
    supervisor, other, third = Train(2, flops=10), Train(5, flops=40), Train(6, flops=40)
    student, before = Test(3, (supervisor,), flops=10), [Train(7, flops=20), Test(8, flops=20)]
    stages = [*before, supervisor, other, third, student]
    watch = Watch(stages, store, 2, load, stream=io.StringIO())
    assert looked(watch) == "stages 0/6 done, 0:00 elapsed"  # who knows
    finish(store.root, before[0], seconds=20)
    finish(store.root, before[1], seconds=30)
    began, now = clocked[0] - 20, clocked[0] + 10
    begun = {"step": 25, "steps": 100, "started": began, "updated": now}
    work = start(store.root, supervisor, None, rate=1.25, **begun)
    start(store.root, other, os.getppid())
    watch.look()
    clocked[0] += 10
    assert looked(watch) == "stages 2/6 done, 2 running, 0:10 elapsed, about 1:15 left"
    slower = json.dumps({"rate": 0.5, **begun})
    (work / "progress.json").write_text(slower)
    assert looked(watch) == "stages 2/6 done, 2 running, 0:10 elapsed, about 2:45 left"
    clocked[0] += 60  # the other one takes longer than it should, and may end at any time
    assert looked(watch).endswith("about 1:45 left")


def test_nobody_can_say_what_most_of_the_work_takes_before_some_of_its_class_is_done(
    store: Store,
):
    """A thousand FLOPs to train took 60 s. Six thousand to test are said to take 360 s, and nobody
    has seen a test; when one has run, in 2 s, six take 12 s."""
    trained, tests = Train(1, flops=1000), [Test(n, flops=1000) for n in range(2, 9)]
    watch = Watch([trained, *tests], store, 1, load, stream=io.StringIO())
    finish(store.root, trained, seconds=60)
    assert looked(watch) == "stages 1/8 done, 0:00 elapsed"
    finish(store.root, tests[0], seconds=2)
    assert looked(watch) == "stages 2/8 done, 0:00 elapsed, about 0:12 left"


def test_stages_of_one_worker_are_one_line_and_end_together(store: Store):
    """Four stages run together have 60 s left, and then the reader takes as long as its like."""
    mates = [Train(n, mates="nano") for n in range(4)]
    reader, like = Test(9, (mates[0],)), Test(8)
    finish(store.root, like, seconds=30)
    for stage in mates:
        start(store.root, stage, step=1, steps=4, rate=0.05, together=4)
    shown = io.StringIO()
    with Watch([like, *mates, reader], store, 2, every_s=0.05, stream=shown):
        until(lambda: "train" in shown.getvalue())
    first = shown.getvalue().splitlines()[0]
    told = r"stages 1/6 done, 4 running, 0:0\d elapsed, about 1:(30|29|31) left; train \[\d\] "
    assert re.fullmatch(told + r"\(\+3\) 1/4, 0.05 steps/s, 1:00 left", first)


def test_results_older_than_the_sweep_may_not_count(tmp_path: Path):
    finish(tmp_path, SPLITS)
    os.utime(tmp_path / SPLITS.name, (1000, 1000))
    shown = io.StringIO()
    with Watch(PLAN, Store(tmp_path, mode="force", since=2000), stream=shown):
        finish(tmp_path, SUPERVISOR)
    assert shown.getvalue().startswith("stages 1/4 done")


def test_what_a_dead_worker_left_does_not_run(store: Store):
    work = start(store.root, STUDENT, **HALF)
    [lease] = store.root.glob(f"*/.leases/*/{STUDENT.key}.1")
    os.utime(lease, (0, 0))
    shown = io.StringIO()
    with Watch(PLAN, store, stream=shown):
        pass
    assert work.exists()
    assert "running" not in shown.getvalue()


def test_it_is_told_in_whose_hands_a_stage_is_elsewhere(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(owners, "machine", lambda: Machine("elsewhere"))
    start(store.root, STUDENT, **HALF)
    monkeypatch.undo()
    start(store.root, SUPERVISOR)
    shown = io.StringIO()
    with Watch(PLAN, store, every_s=0.05, stream=shown):
        until(lambda: "train" in shown.getvalue())
    held = f"train [3] 2/4, 2 steps/s, 0:01 left, held by elsewhere {os.getpid()}, last sign 0:0"
    assert held in shown.getvalue()
    assert "; train [2]\n" in shown.getvalue() or "; train [2];" in shown.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_each_worker_has_a_bar(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    start(store.root, STUDENT, **HALF)
    shown = Terminal()
    with Watch(PLAN, store, stream=shown):
        until(lambda: "stages 0/4" in shown.getvalue())
        fail(store.root, CEILING, "no memory")
        until(lambda: "failed" in shown.getvalue())
    assert re.search(r"train \[3\] .*━.* 2/4, 2 steps/s, 0:01 left", shown.getvalue())
    assert "train [4] failed: ValueError: no memory" in shown.getvalue()
    assert re.search(r"stages 0/4 done, 1 failed, 1 running, 0:0\d elapsed", shown.getvalue())


def test_a_watch_never_stops_a_sweep(store: Store):
    closed = io.StringIO()
    closed.close()
    with Watch(PLAN, store, every_s=0.01, stream=closed):
        time.sleep(0.1)
    watch = Watch(PLAN, store, stream=io.StringIO())
    with watch:
        (store.root / "Test").write_text("no folder")
        watch.look()
