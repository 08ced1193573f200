"""Accuracy by difficulty over seeds: the numbers, `difficulty.csv` and the figure."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_sweep import TWO_RUNGS, finished
from toys import place

from w2sweep.report.grades import Grades
from w2sweep.report.publishing import report
from w2sweep.results.by_difficulty import ByDifficulty
from w2sweep.results.metrics import mean_share

BINS = ["nano", "micro", "small", "none"]
N = [100, 50, 40, 10]
RIGHT = {"easy": [95, 40, 22, 2], "all": [93, 44, 30, 3], "hard": [70, 40, 33, 5]}
"""Right answers of students, by what they saw."""


def by_difficulty(kind: str = "easy", seed: int = 0, **changes: object) -> ByDifficulty:
    right = [n - seed for n in RIGHT[kind]]
    fields = {"measure": "rung", "trained_on": kind, "labels": "truth", "bins": BINS, "n": N}
    roles = {"supervisor": [100, 0, 20, 5], "student": right, "ceiling": [99, 49, 36, 2]}
    defaults = {**fields, "beyond": True, "right": roles}
    return ByDifficulty(**{**defaults, **changes})  # type: ignore[arg-type]


def grades(kind: str = "easy", seeds: int = 2, **changes: object) -> Grades:
    return Grades({seed: by_difficulty(kind, seed, **changes) for seed in range(seeds)})


def test_accuracy_in_a_bin_is_a_mean_over_seeds():
    found = grades().accuracy("student", [1])
    assert found == mean_share([40 / 50, 39 / 50], [50, 50])
    assert found.value == pytest.approx(0.79)
    both = grades().accuracy("student", [1, 2])
    assert both.value == pytest.approx((62 / 90 + 60 / 90) / 2)
    assert grades().accuracy("zero_shot", [0]).value is None


def test_bins_without_examples_have_no_accuracy():
    empty = grades(n=[100, 50, 0, 10], right={"student": [90, 40, 0, 5]})
    assert empty.accuracy("student", [2]).value is None
    assert empty.over(empty, "student", [2]).value is None


def test_the_hardest_third_leaves_out_what_no_rung_knows():
    # of 190 that some rung knows, 40 are not a third, and 90 are
    assert grades().hardest_third == [1, 2]
    # of all 200, 10 and 50 are not, and 100 are
    assert grades(beyond=False).hardest_third == [1, 2, 3]


def test_the_easiest_examples_are_never_the_hardest_third():
    easy = grades(n=[180, 10, 5, 5], right={"student": [170, 8, 3, 1]})
    assert easy.hardest_third == [1, 2]


def test_what_all_examples_would_have_brought():
    gain = grades("easy").over(grades("all"), "student", [2])
    assert gain.value == pytest.approx((22 - 30) / 40)
    assert gain.low is not None
    assert gain.low < (22 - 30) / 40 < 0
    assert grades("all").over(grades("all"), "student", [2]).value == 0


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for kind in RIGHT:
        for seed in range(2):
            at = place(weak="nano", strong="small", method=f"{kind}_truth", seed=seed)
            correct = {role: np.ones(200, np.uint8) for role in ("student", "ceiling")}
            correct |= {"supervisor": np.arange(200, dtype=np.uint8) % 2}
            result = replace(finished(at, TWO_RUNGS, correct), by_difficulty=by_difficulty(kind))
            folder = tmp_path / f"{kind}{seed}"
            folder.mkdir()
            result.write(folder)
    return tmp_path


def test_a_report_has_a_table_and_a_figure(sweep: Path):
    made = report(sweep)
    assert "easy_to_hard" in {figure.stem for figure in made.figures}
    with (sweep / "report" / "difficulty.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * (len(BINS) + 1)
    easy = {row["bin"]: row for row in rows if row["method"] == "easy_truth"}
    assert list(easy) == [*BINS, "hardest third"]
    hard = easy["hardest third"]
    assert float(hard["student_accuracy"]) == pytest.approx(62 / 90)
    assert float(hard["weak_accuracy"]) == pytest.approx(20 / 90)
    assert float(hard["over_all"]) == pytest.approx((62 - 74) / 90)
    assert hard["n_test"] == "180"


def test_sweeps_without_difficulty_have_neither(sweep: Path):
    report(sweep)
    for folder in sweep.glob("*[01]"):
        (folder / "cell.json").unlink()
        (folder / "correct.safetensors").unlink()
    correct = {r: np.arange(8, dtype=np.uint8) % 2 for r in ("supervisor", "student", "ceiling")}
    at = place(weak="nano", strong="small")
    finished(at, TWO_RUNGS, correct).write(sweep / "easy0")
    made = report(sweep)
    assert "easy_to_hard" not in {figure.stem for figure in made.figures}
    assert not (sweep / "report" / "difficulty.csv").exists()
