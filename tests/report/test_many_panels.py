"""What figures leave out where a sweep has more than anybody looks at, and that they say so."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_sweep import TWO_RUNGS, fake_sweep

from w2sweep.report.figures import by_method, draw, panels
from w2sweep.report.summary import summarize
from w2sweep.results.sweep_folder import read_sweep


def captions(folder: Path, only: str) -> list[str]:
    cells = read_sweep(folder)
    drawn = draw(summarize(cells), cells.ladders, folder, only=[only])
    return [drawing.caption for drawing in drawn]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two tasks, three methods: six panels of accuracy in three lines."""
    methods = ("naive", "bootstrap", "other")
    tasks = {"sentiment": "nlp", "preference": "reward"}
    shape = {"tasks": tasks, "ladder": TWO_RUNGS, "methods": methods, "seeds": 1}
    return fake_sweep(tmp_path / "many", **shape)


def test_more_panels_than_anybody_looks_at_are_left_out(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
):
    [whole] = captions(sweep, "accuracy")
    assert "The first" not in whole
    svg = (sweep / "accuracy.svg").read_text()
    assert all(name in svg for name in ("naive", "bootstrap", "other"))
    monkeypatch.setattr(panels, "MOST", 4)
    [cut] = captions(sweep, "accuracy")
    assert cut == f"{whole} The first 4 of 6 panels: the table and summary.csv have all."
    assert "other" not in (sweep / "accuracy.svg").read_text()


def test_more_methods_than_can_be_told_apart_are_left_out(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(by_method, "MOST_METHODS", 2)
    [cut] = captions(sweep, "pgr")
    assert cut.endswith("The first 2 of 3 methods: the table and summary.csv have all.")
    assert "other" not in (sweep / "pgr.svg").read_text()
