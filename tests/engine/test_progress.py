"""What stages say of themselves."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from w2sweep.engine.progress import Progress, clock, said


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """`time.time()`, to be set by the test."""
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    return now


def written(out: Path) -> dict[str, object]:
    return json.loads((out / "progress.json").read_text())


def test_progress_is_written_at_most_once_a_second(tmp_path: Path, clocked: list[float]):
    progress = Progress(tmp_path, "student small <- nano", steps=100)
    progress.advance(0)
    clocked[0] += 0.9
    progress.advance(20)
    assert written(tmp_path)["step"] == 0
    clocked[0] += 1.1
    progress.advance(40)
    assert written(tmp_path) == {
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
    assert written(tmp_path)["step"] == 100  # the last one always is
    assert [p.name for p in tmp_path.iterdir()] == ["progress.json"]


def test_the_rate_after_a_resume_counts_what_was_done_since(tmp_path: Path, clocked: list[float]):
    progress = Progress(tmp_path, "student", steps=100)
    clocked[0] += 10  # to load the checkpoint
    progress.advance(50)
    clocked[0] += 5
    progress.advance(60)
    assert written(tmp_path)["rate"] == 2.0


def test_progress_stops_a_worker_whose_directory_was_taken(tmp_path: Path):
    progress = Progress(tmp_path / "gone", "student", steps=100)
    with pytest.raises(FileNotFoundError):
        progress.advance(1)


def test_what_is_said_is_read_and_counted_on(tmp_path: Path, clocked: list[float]):
    progress = Progress(tmp_path, "student", steps=100, unit="texts")
    progress.advance(0)
    assert str(said(tmp_path)) == "0/100"
    told = said(tmp_path)
    assert told
    assert told.left(now=1000.0) is None  # nobody knows its speed
    clocked[0] += 10
    progress.advance(20)
    told = said(tmp_path)
    assert told
    assert str(told) == "20/100, 2 texts/s, 0:40 left"
    assert told.left(now=1013.0) == pytest.approx(37.0)  # three seconds after it said so
    assert told.left(now=1100.0) == 0.0


@pytest.mark.parametrize("text", ["null", "[]", '{"step": "x", "steps": 4}', "{", '{"step": null}'])
def test_what_cannot_be_read_says_nothing(tmp_path: Path, text: str):
    (tmp_path / "progress.json").write_text(text)
    assert said(tmp_path) is None


def test_clock():
    assert [clock(s) for s in (0.4, 65, 3599.6, 7420)] == ["0:00", "1:05", "1:00:00", "2:03:40"]
