"""What stages say of themselves, and what a sweep shows of them."""

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

from w2sweep.engine import owners
from w2sweep.engine.leases import claim
from w2sweep.engine.owners import Machine
from w2sweep.engine.progress import Progress, Watch, clock
from w2sweep.engine.working import folder_of


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """`time.time()`, to be set by the test."""
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def said(out: Path) -> dict[str, object]:
    return json.loads((out / "progress.json").read_text())


def test_progress_is_written_at_most_once_a_second(tmp_path: Path, clocked: list[float]):
    progress = Progress(tmp_path, "student small <- nano", steps=100)
    progress.advance(0)
    clocked[0] += 0.9
    progress.advance(20)
    assert said(tmp_path)["step"] == 0
    clocked[0] += 1.1
    progress.advance(40)
    assert said(tmp_path) == {
        "what": "student small <- nano",
        "step": 40,
        "steps": 100,
        "rate": 20.0,
        "unit": "steps/s",
        "started": 1000.0,
        "updated": 1002.0,
    }
    clocked[0] += 0.1
    progress.advance(100)
    assert said(tmp_path)["step"] == 100  # the last one always is
    assert [p.name for p in tmp_path.iterdir()] == ["progress.json"]


def test_the_rate_after_a_resume_counts_what_was_done_since(tmp_path: Path, clocked: list[float]):
    progress = Progress(tmp_path, "student", steps=100)
    clocked[0] += 10  # to load the checkpoint
    progress.advance(50)
    clocked[0] += 5
    progress.advance(60)
    assert said(tmp_path)["rate"] == 2.0


def test_progress_stops_a_worker_whose_directory_was_taken(tmp_path: Path):
    progress = Progress(tmp_path / "gone", "student", steps=100)
    with pytest.raises(FileNotFoundError):
        progress.advance(1)


def until(seen: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finish(root: Path, name: str, seconds: float = 1.0) -> None:
    (root / name).mkdir(parents=True)
    (root / name / "stage.json").write_text(json.dumps({"seconds": seconds}))


def start(root: Path, name: str, step: int) -> Path:
    kind, key = name.split("/")
    lease = claim(root / kind, key, 60)
    assert lease
    work = folder_of(lease)
    work.mkdir(parents=True)
    (work / "progress.json").write_text(
        json.dumps({"step": step, "steps": 4, "rate": 2.0, "unit": "steps/s"})
    )
    return work


PLAN = {"A/aa": "splits", "A/bb": "supervisor", "B/cc": "student [1]", "B/dd": "ceiling"}


def test_a_sweep_on_no_terminal_is_a_line_when_something_finished(tmp_path: Path):
    finish(tmp_path, "A/aa")
    finish(tmp_path, "A/unplanned")
    shown = io.StringIO()
    with Watch(PLAN, tmp_path, every_s=0.05, stream=shown):
        time.sleep(0.15)
        assert shown.getvalue() == ""
        work = start(tmp_path, "B/cc", step=2)
        start(tmp_path, "B/unplanned", step=2)
        finish(tmp_path, "A/bb")
        until(lambda: shown.getvalue())
        time.sleep(0.15)
        (first,) = shown.getvalue().splitlines()
        assert re.fullmatch(r"stages 2/4 done, 1 running, 0:0\d elapsed", first)
        shutil.rmtree(work)
        finish(tmp_path, "B/cc")
        finish(tmp_path, "B/dd")
    assert re.fullmatch(r"stages 4/4 done, 0:0\d elapsed", shown.getvalue().splitlines()[-1])


def test_time_left_comes_from_what_stages_of_the_same_class_took(
    tmp_path: Path, clocked: list[float]
):
    plan = dict.fromkeys(["A/aa", "A/bb", "A/cc", "B/dd", "B/ee", "B/ff"], "some stage")
    finish(tmp_path, "A/aa", seconds=100)
    watch = Watch(plan, tmp_path, stream=io.StringIO())
    with watch:
        start(tmp_path, "A/bb", step=1)
        clocked[0] += 5
        watch._look()
        assert (
            watch._line() == "stages 1/6 done, 1 running, 0:05 elapsed"
        )  # who knows what a B takes
        finish(tmp_path, "B/dd", seconds=3)
        finish(tmp_path, "B/ee", seconds=5)
        start(tmp_path, "B/ff", step=2)
        clocked[0] += 5
        watch._look()  # 75 s of bb, 100 s of cc, and 2 s of ff, by two workers
        assert watch._line() == "stages 3/6 done, 2 running, 0:10 elapsed, about 1:28 left"


def test_results_older_than_the_sweep_may_not_count(tmp_path: Path):
    finish(tmp_path, "A/aa")
    os.utime(tmp_path / "A/aa", (1000, 1000))
    shown = io.StringIO()
    with Watch(PLAN, tmp_path, since=2000, stream=shown):
        finish(tmp_path, "A/bb")
    assert shown.getvalue().startswith("stages 1/4 done")


def test_what_a_dead_worker_left_does_not_run(tmp_path: Path):
    work = start(tmp_path, "B/cc", step=2)
    os.utime(tmp_path / "B/.leases/cc/cc.1", (0, 0))
    shown = io.StringIO()
    with Watch(PLAN, tmp_path, stream=shown):
        pass
    assert work.exists()
    assert "running" not in shown.getvalue()


def test_what_is_waited_for_is_told_and_in_whose_hands_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(owners, "machine", lambda: Machine("elsewhere"))
    start(tmp_path, "B/cc", step=2)
    monkeypatch.undo()
    shown = io.StringIO()
    with Watch(PLAN, tmp_path, every_s=0.05, stream=shown):
        until(lambda: "waiting" in shown.getvalue())
        time.sleep(0.2)
    [told] = [line for line in shown.getvalue().splitlines() if "waiting" in line]
    expected = f"waiting for student [1]: held by elsewhere {os.getpid()}, last sign 0:0"
    assert told.startswith(expected)

    start(tmp_path, "A/bb", step=1)  # here there is something to do
    shown = io.StringIO()
    with Watch(PLAN, tmp_path, every_s=0.05, stream=shown):
        time.sleep(0.2)
    assert "waiting" not in shown.getvalue()


@pytest.mark.parametrize("text", ["null", "[]", '{"step": "x", "steps": 4}', "{", '{"step": null}'])
def test_what_cannot_be_read_stops_no_watch(tmp_path: Path, text: str):
    (start(tmp_path, "B/cc", step=2) / "progress.json").write_text(text)
    finish(tmp_path, "A/aa")
    (tmp_path / "A/aa/stage.json").write_text(text)
    shown = io.StringIO()
    with Watch(PLAN, tmp_path, stream=shown):
        pass
    assert shown.getvalue().startswith("stages 1/4 done, 1 running")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_each_running_stage_has_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    start(tmp_path, "B/cc", step=2)
    shown = Terminal()
    with Watch(PLAN, tmp_path, stream=shown):
        until(lambda: "student [1]: 2/4, 2 steps/s, 0:01 left" in shown.getvalue())
    assert re.search(r"stages 0/4 done, 1 running, 0:0\d elapsed\n$", shown.getvalue())


def test_a_watch_never_stops_a_sweep(tmp_path: Path):
    closed = io.StringIO()
    closed.close()
    with Watch({"A/aa": "splits"}, tmp_path / "nowhere", every_s=0.01):
        pass
    watch = Watch(PLAN, tmp_path, every_s=60, stream=io.StringIO())
    with watch:
        (tmp_path / "B").write_text("no folder")
        watch._stream.close()


def test_clock():
    assert [clock(s) for s in (0.4, 65, 3599.6, 7420)] == ["0:00", "1:05", "1:00:00", "2:03:40"]
