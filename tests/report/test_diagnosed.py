"""What reports show of diagnostics: columns, a table, figures, and when they show none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fake_sweep import LADDER, change, fake_sweep, results

from w2sweep.report import Report, report
from w2sweep.report.csv_files import cell_records
from w2sweep.report.diagnosis import diagnostics_table, elsewhere_table
from w2sweep.report.figures.agreement import Agreement
from w2sweep.report.figures.misfit import Misfit
from w2sweep.report.figures.reliability import Reliability
from w2sweep.report.summary import SummaryRow
from w2sweep.results.cell import ROLES, Elsewhere

THREE = {name: LADDER[name] for name in ("nano", "micro", "small")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("sweeps") / "diagnosed"
    fake_sweep(folder, tasks={"sentiment": "nlp"}, ladder=THREE, diagnosed=True)
    for path, r in results(folder).items():
        right = r.paired[:, :100]
        elsewhere = Elsewhere(
            stages={role: f"Applied/{role}" for role in ROLES},
            accuracy=dict(zip(ROLES, right.mean(1).tolist(), strict=True)),
            pgr=0.5,
            n_test=100,
        )
        more = {f"contrast/{role}": c for role, c in zip(ROLES, right, strict=True)}
        change(path, r, elsewhere={"contrast": elsewhere}, correct=r.correct | more)
    return report(folder)


def test_diagnostics_are_columns_with_errors_between_seeds(made: Report):
    [row] = [r for r in made.rows if (r["weak"], r["strong"], r["method"]) == ASKED]
    assert row["misfit"] == pytest.approx(0.025)  # 0.02 and 0.03
    assert row["misfit_se"] == pytest.approx(0.005)
    assert row["over_naive_detectable"] > 0
    first = cell_records(made.sweep)[0]
    assert first["misfit"] == pytest.approx(0.02)
    assert first["ceiling_agreement_weak_wrong"] == 0.7


ASKED = ("nano", "small", "confidence")


def test_other_tasks_are_columns_and_a_table(made: Report):
    [row] = [r for r in made.rows if (r["weak"], r["strong"], r["method"]) == ASKED]
    cells = [r for r in made.sweep.results if (r.weak, r.strong, r.method) == ASKED]
    expected = np.mean([r.elsewhere["contrast"].accuracy["student"] for r in cells])
    assert row["on_contrast_student_accuracy"] == pytest.approx(expected)
    weak, student, ceiling = np.mean([r.paired_on("contrast").mean(1) for r in cells], 0)
    assert row["on_contrast_pgr"] == pytest.approx((student - weak) / (ceiling - weak))
    headings, lines = elsewhere_table(made.summary)
    assert headings[:2] == ["cells", "on"]
    assert {line[1] for line in lines} == {"contrast"}
    assert "On other tasks" in made.page.read_text(encoding="utf-8")


def test_the_table_has_the_diagnostics_that_are_there(made: Report):
    headings, lines = diagnostics_table(made.summary)
    assert headings == ["cells", "misfit (nats)", "CAPA", "detectable over naive", "of PGR"]
    assert len(lines) == len(made.summary)
    assert "0.025 ± 0.005" in lines[0]


def test_diagnostics_are_drawn(made: Report):
    drawn = {path.stem for path in made.figures}
    assert {"agreement", "misfit", "reliability"} <= drawn
    svg = (made.page.parent / "agreement.svg").read_text(encoding="utf-8")
    assert ">ceiling, which never saw the supervisor<" in svg


def test_figures_show_the_weakest_supervisor_and_the_widest_gap(made: Report):
    rows, ladders = made.summary, made.sweep.ladders
    agreement, reliability = Agreement.of(rows, ladders), Reliability.of(rows, ladders)
    assert agreement is not None
    assert {(r.weak, r.strong) for r in agreement.rows} == {("nano", "micro"), ("nano", "small")}
    assert reliability is not None
    assert {(r.weak, r.strong) for r in reliability.rows} == {("nano", "small")}


def test_reliability_of_many_methods_has_panels_of_the_best_and_the_worst(made: Report):
    [one] = [r for r in made.summary if (r.weak, r.strong, r.method) == ASKED]
    names = [f"m{n}" for n in range(20)]

    def of(n: int) -> SummaryRow:  # all answers are given with 90 %, and right in 89 to 70 %
        curve = np.array([[0.9, 0.89 - 0.01 * n, 100.0]])
        return replace(one, method=names[n], reliability={**one.reliability, "student": curve})

    four = Reliability.of(list(map(of, range(4))), {})
    twenty = Reliability.of(list(map(of, range(20))), {})
    assert four is not None
    assert (four.lines, list(map(four.column, four.rows))) == (["sentiment"], names[:4])
    assert "calibrated best" not in four.caption
    assert twenty is not None
    assert [r.method for r in twenty.rows] == [*names[:6], *names[14:]]
    assert "Of 20 methods the 6 whose students are calibrated best, and the 6 worst" in (
        twenty.caption
    )


def test_figures_without_anything_to_show_are_not_drawn(made: Report):
    ladders = made.sweep.ladders
    without = [replace(r, diagnostics={}, reliability={}) for r in made.summary]
    assert all(kind.of(without, ladders) is None for kind in (Agreement, Misfit, Reliability))
    one_size = [r for r in made.summary if r.strong == "small" and r.weak == "nano"]
    assert Agreement.of(one_size, ladders) is None
    assert Misfit.of(one_size, ladders) is None  # two students show no trend
