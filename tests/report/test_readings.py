"""Figures of readings of one run and of probes, and the curves behind them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from fake_sweep import TWO_RUNGS, invented
from toys import place

from w2sweep.report.csv_files import summary_records
from w2sweep.report.curves import mean_curve
from w2sweep.report.figures.overfitting import Overfitting
from w2sweep.report.figures.saliency import PROBES, Saliency
from w2sweep.report.figures.saving import styled
from w2sweep.report.summary import SummaryRow, summarize
from w2sweep.results.cell import ROLES, Result
from w2sweep.results.curve import Curve
from w2sweep.results.sweep_folder import read_sweep

READINGS = ("stopped_on_weak_labels", "stopped_on_truth_oracle")


def result(seed: int, further: Iterable[str], curve: Curve | None = None) -> Result:
    at = place(task="sentiment", ladder="lab", weak="nano", strong="small", seed=seed)
    found = invented(at, TWO_RUNGS, 0.3, 400, (*ROLES, *further), 0)
    assert isinstance(found, Result)
    return replace(found, curve=curve)


LADDERS = {"lab": result(0, ()).rungs}


def curve(truth: list[float], own: list[float], progress: tuple[float, ...] = (0.5, 1.0)) -> Curve:
    steps = [round(100 * done) for done in progress]
    return Curve(progress, steps, truth, truth, own, n_validation=100)


def test_a_curve_is_averaged_over_seeds_at_the_moments_that_all_have():
    one = curve([0.9, 0.8], [0.7, 0.75])
    other = curve([0.2, 0.7, 0.6], [0.3, 0.5, 0.65], progress=(0.25, 0.5, 1.0))
    moments = mean_curve([result(0, READINGS, one), result(1, READINGS, other)])
    assert [m.progress for m in moments] == [0.5, 1.0]
    assert [m.accuracy.value for m in moments] == pytest.approx([(0.9 + 0.7) / 2, (0.8 + 0.6) / 2])
    assert [m.agreement.value for m in moments] == pytest.approx([0.6, 0.7])
    # of two seeds the standard error of a mean is half of their difference
    assert [m.accuracy.se for m in moments] == pytest.approx([0.1, 0.1])


def test_there_is_no_mean_of_curves_that_some_seeds_lack():
    assert mean_curve([result(0, (), curve([0.9, 0.8], [0.7, 0.8])), result(1, ())]) == []


def rows(tmp_path: Path, *results: Result) -> list[SummaryRow]:
    folders = {f"seed={r.seed}": r for r in results}
    for name, r in folders.items():
        (tmp_path / name).mkdir()
        r.write(tmp_path / name)
    return summarize(read_sweep(tmp_path))


def test_curves_survive_the_file_and_are_drawn(tmp_path: Path):
    found = rows(tmp_path, *(result(s, READINGS, curve([0.9, 0.8], [0.7, 0.8])) for s in (0, 1)))
    (row,) = found
    assert [m.progress for m in row.curve] == [0.5, 1.0]
    assert "curve" not in summary_records(found)[0]
    plot = Overfitting.of(found, LADDERS)
    assert plot is not None
    with styled():
        (drawn,) = plot.draw(tmp_path)
    assert drawn.png.stat().st_size > 10_000
    assert "oracle" in drawn.caption


def test_probes_are_bars(tmp_path: Path):
    found = rows(tmp_path, result(0, PROBES))
    plot = Saliency.of(found, LADDERS)
    assert plot is not None
    with styled():
        (drawn,) = plot.draw(tmp_path)
    svg = drawn.svg.read_text(encoding="utf-8")
    assert "+ lp truth" in svg


def test_a_sweep_without_readings_or_probes_has_neither_figure(tmp_path: Path):
    found = rows(tmp_path, result(0, ()))
    assert Overfitting.of(found, LADDERS) is None
    assert Saliency.of(found, LADDERS) is None
