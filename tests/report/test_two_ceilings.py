"""The figure of what is compared with a second ceiling."""

from __future__ import annotations

from pathlib import Path

from fake_sweep import TWO_RUNGS, fake_sweep
from matplotlib.figure import Figure

from w2sweep.report.figures import kinds
from w2sweep.report.figures.generative import Generative
from w2sweep.report.figures.saving import styled
from w2sweep.report.figures.told import Told
from w2sweep.report.summary import summarize
from w2sweep.results.sweep_folder import read_sweep


def test_a_second_ceiling_has_a_bar_and_a_pgr_of_its_own(tmp_path: Path):
    tasks = {"sentiment": "nlp", "preference": "reward"}
    sweep = fake_sweep(
        tmp_path / "s", tasks=tasks, ladder=TWO_RUNGS, further=["ceiling_told"], seeds=3
    )
    folder = read_sweep(sweep)
    rows, ladders = summarize(folder), folder.ladders
    assert Generative.of(rows, ladders) is None
    figure = Told.of(rows, ladders)
    assert figure is not None
    with styled():
        (drawing,) = figure.draw(tmp_path)
        above, below = Figure().subplots(2)
        ours = [r for r in rows if r.task == "sentiment"]
        figure.panel(above, ours, figure.lines[0])
        figure.panel(below, ours, figure.lines[1])
    assert drawing.png.exists()
    told = next(r.others["ceiling_told"] for r in ours if r.others)
    heights = [bar.get_height() for bar in above.patches]  # type: ignore[attr-defined]
    naive, confidence = ours
    students = [naive.student_accuracy, confidence.student_accuracy]
    expected = [naive.weak_accuracy, *students, naive.ceiling_accuracy, told.mean]
    assert heights == [100 * accuracy for accuracy in expected]
    assert [label.get_text() for label in below.get_xticklabels()] == ["naive", "confidence"]
    assert {Told, Generative} <= set(kinds())


def test_of_many_methods_naive_and_those_with_a_second_ceiling_are_shown(tmp_path: Path):
    others = [f"method_{i}" for i in range(6)]
    sweep = fake_sweep(
        tmp_path / "s",
        tasks={"sentiment": "nlp"},
        ladder=TWO_RUNGS,
        methods=["naive", *others, "confidence"],
        further=["ceiling_told"],
    )
    folder = read_sweep(sweep)
    figure = Told.of(summarize(folder), folder.ladders)
    assert figure is not None
    assert figure.methods == ["naive", "confidence"]
    assert [patch.get_label() for patch in figure.legend()][1:3] == ["naive", "confidence"]
    with styled():
        (drawing,) = figure.draw(tmp_path)
    assert "Shown: naive and what has a second ceiling, of 8 methods" in drawing.caption
