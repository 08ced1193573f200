"""The figure of prompting: drawn where students were prompted, and honest about the oracle."""

from __future__ import annotations

from pathlib import Path

from fake_sweep import TWO_RUNGS, fake_sweep

from w2sweep.report.figures.prompting import Prompting
from w2sweep.report.figures.saving import styled
from w2sweep.report.summary import summarize
from w2sweep.results.sweep_folder import read_sweep


def figure(path: Path, *methods: str) -> Prompting | None:
    sweep = read_sweep(fake_sweep(path, ladder=TWO_RUNGS, methods=methods, n_test=50))
    return Prompting.of(summarize(sweep), sweep.ladders)


def test_it_is_drawn_where_students_were_prompted(tmp_path: Path):
    assert figure(tmp_path / "none", "naive") is None
    found = figure(tmp_path / "some", "zero_shot", "few_shot_truth", "few_shot_weak", "naive")
    assert found
    with styled():
        [drawing] = found.draw(tmp_path)
    assert drawing.png.exists()
    names = [line.get_label() for line in found.legend()]
    assert names[:2] == ["zero-shot", "few-shot, true labels (oracle)"]
    assert names[2:4] == ["few-shot, weak labels", "finetuned, naive"]
    assert "an oracle" in found.caption
    styles = [line.get_linestyle() for line in found.legend()[:4]]
    assert styles == ["--", "--", "--", "-"]
