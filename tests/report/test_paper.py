"""The page of the paper's figures: what is measured, what the verdicts are, what the page says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from fake_sweep import LADDER, fake_sweep, finished
from toys import place

from w2sweep.report.paper import FINDINGS, write_paper
from w2sweep.report.paper.finding import Claim, Finding, verdict
from w2sweep.report.paper.measures import (
    Who,
    change,
    change_of_gain,
    each_task,
    gain,
    gain_on_errors,
    over_seeds,
    recovered,
    shifted,
)
from w2sweep.report.paper.page import numbers, told
from w2sweep.results.cell import SUPERVISOR, Result
from w2sweep.results.intervals import Estimate

UP, DOWN, WIDE = Estimate(1.0, 0.1, 0.5, 1.5), Estimate(-1.0, 0.1, -1.5, -0.5), Estimate(1.0)
GAP = Claim("student over supervisor, points", 1, each_task(gain(Who(), Who(role=SUPERVISOR))))


def cells_of(method: str, seed: int, rights: tuple[int, int, int], strong: str = "small") -> Result:
    """A cell whose supervisor, student and ceiling answer so many of 10 rightly."""
    answers = [np.arange(10) < n for n in rights]
    roles = ("supervisor", "student", "ceiling")
    correct = {role: a.astype(np.uint8) for role, a in zip(roles, answers, strict=True)}
    axes = {"weak": "nano", "strong": strong, "method": method, "seed": seed, "task": "t"}
    return finished(place(ladder="lab", family="nlp", **axes), LADDER, correct)


CELLS = [
    cells_of("naive", 0, (5, 6, 9)),
    cells_of("naive", 1, (5, 7, 9)),
    cells_of("confidence", 0, (5, 8, 9)),
    cells_of("confidence", 1, (5, 8, 9)),
    cells_of("naive", 0, (5, 5, 7), strong="micro"),
    cells_of("naive", 1, (5, 6, 7), strong="micro"),
    cells_of("naive", 2, (5, 9, 9)),  # a seed that confidence does not have
]


def test_a_gain_is_paired_by_seed_and_of_the_largest_student():
    assert gain(Who("confidence"), Who("naive"))(CELLS).value == pytest.approx((20 + 10) / 2)
    over = gain(Who(), Who(role=SUPERVISOR))(CELLS)
    assert over.value == pytest.approx((10 + 20 + 40) / 3)
    assert gain(Who("bootstrap"), Who())(CELLS).value is None


def test_a_change_is_between_the_sizes_that_are_asked_for():
    naive, smallest = Who("naive"), Who("naive", smallest=True)
    changed = change(lambda r: r.accuracy("student"), naive, smallest)(CELLS)
    assert changed.value == pytest.approx(10.0)
    assert changed.low == changed.high == pytest.approx(10.0)


def test_a_gain_may_grow_with_the_students_size():
    grown = change_of_gain(Who("naive"), Who("naive", role=SUPERVISOR))(CELLS)
    # seed 0: (.6 - .5) - (.5 - .5), seed 1: (.7 - .5) - (.6 - .5)
    assert grown.value == pytest.approx(10.0)


def test_a_gain_on_errors_is_that_where_the_supervisor_is_wrong_minus_that_elsewhere():
    # of the five that the supervisor has wrong, confidence has 3 right, naive 1 or 2
    found = gain_on_errors(Who("confidence"), Who("naive"))(CELLS)
    assert found.value == pytest.approx(100 * (2 / 5 + 1 / 5) / 2)


def test_models_are_compared_on_the_largest_student_that_both_have():
    """Where all larger cells of one method have failed, the other's are not held against them."""
    cells = [c for c in CELLS if (c.method, c.strong) != ("confidence", "small")]
    cells += [cells_of("confidence", 0, (5, 6, 7), strong="micro")]
    found = gain(Who("confidence"), Who("naive"))(cells)
    assert found.value == pytest.approx(10.0)  # .6 - .5 of the micro students of seed 0
    assert found.one_seed


def test_one_size_is_no_change_of_size():
    cells = [c for c in CELLS if c.strong == "small"]
    naive, smallest = Who("naive"), Who("naive", smallest=True)
    assert change(lambda r: r.accuracy("student"), naive, smallest)(cells).value is None
    assert change_of_gain(naive, Who("naive", role=SUPERVISOR))(cells).value is None


def test_where_several_cells_fit_a_seed_nothing_is_said():
    assert gain(Who(), Who(role=SUPERVISOR))([*CELLS, CELLS[0]]).value is None


def test_a_supervisor_without_errors_says_nothing_of_them():
    cells = [cells_of("naive", 0, (10, 9, 10)), cells_of("confidence", 0, (10, 10, 10))]
    assert gain_on_errors(Who("confidence"), Who("naive"))(cells).value is None


def test_a_number_of_one_seed_says_so():
    one = [c for c in CELLS if c.seed == 0]
    found = gain(Who("confidence"), Who("naive"))(one)
    assert found.low is not None
    assert told(found).endswith("] (one seed)")
    assert told(over_seeds([0.5])) == "+0.50 (one seed, no interval)"
    assert not gain(Who("confidence"), Who("naive"))(CELLS).one_seed


def test_tasks_that_nothing_is_known_of_are_named():
    measure = {"a": UP, "b": Estimate(None)}
    judged = Claim("a gain", 1, lambda _: measure).judged(None)  # type: ignore[arg-type]
    assert numbers(judged) == "a +1.00 [+0.50, +1.50]; nothing on b"
    assert judged.verdict == "agrees in part"  # not on every task


def test_a_shifted_estimate_keeps_its_width():
    assert shifted(UP, 2) == Estimate(3.0, 0.1, 2.5, 3.5)


def test_pgr_is_that_of_the_mean_accuracies():
    assert recovered(Who("confidence"))(CELLS).value == pytest.approx(0.75)


def test_a_seed_by_itself_has_no_interval():
    assert over_seeds([0.5]) == Estimate(0.5, one_seed=True)
    # Student's t with one degree of freedom: 12.706 standard errors of .1
    two = over_seeds([0.4, 0.6])
    assert (two.low, two.high) == pytest.approx((0.5 - 1.2706, 0.5 + 1.2706), abs=1e-4)


@pytest.mark.parametrize(
    ("found", "sign", "expected"),
    [
        ([UP, UP], 1, "agrees"),
        ([DOWN, DOWN], -1, "agrees"),
        ([UP, WIDE], 1, "agrees in part"),
        ([UP, DOWN], 1, "mixed"),
        ([DOWN, WIDE], 1, "disagrees"),
        ([WIDE, Estimate(0.1, 1, -1, 1)], 1, "cannot be told"),
        ([], 1, "not run"),
    ],
)
def test_a_verdict_counts_the_intervals_that_leave_out_zero(found, sign, expected):
    assert verdict(found, sign) == expected


def test_numbers_are_signed_and_have_their_interval():
    assert told(Estimate(3.21, 1, -1.0, 7.4)) == "+3.2 [−1.0, +7.4]"
    assert told(Estimate(-0.25)) == "−0.25 (no interval)"


def test_the_page_has_figures_numbers_and_what_was_not_run(tmp_path: Path):
    fake_sweep(tmp_path / "sweeps" / "overview", ladder={"nano": 1.7e3, "small": 1.0e5}, seeds=3)
    shown = Finding("<Students>", "overview", ("overview",), "figure 2", "They do.", [GAP])
    missing = Finding("Others", "elsewhere", (), "figure 3", "They do too.", [GAP])
    page = write_paper([shown, missing], tmp_path / "sweeps", tmp_path / "paper")
    html = page.read_text("utf-8")
    assert "&lt;Students&gt;" in html
    assert "<Students>" not in html
    assert html.count("<svg") == 1
    assert 'href="overview/overview.png"' in html
    assert (tmp_path / "paper/overview/overview.png").exists()
    assert "Not run: no folder" in html
    with (tmp_path / "paper/findings.csv").open(encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    assert [r["task"] for r in records] == ["sentiment", "preference", "mate"]
    assert {r["seeds"] for r in records} == {"0 1 2"}
    assert "| `overview` | student over supervisor, points (> 0) | sentiment +" in (
        tmp_path / "paper/findings.md"
    ).read_text("utf-8")


def test_every_finding_names_a_sweep_and_figures_that_there_are():
    from conftest import REPOSITORY

    from w2sweep.report.figures import kinds

    named = {kind.name for kind in kinds()}
    for finding in FINDINGS:
        assert (REPOSITORY / "sweeps" / f"{finding.sweep}.yaml").exists()
        assert set(finding.figures) <= named
        assert finding.claims
