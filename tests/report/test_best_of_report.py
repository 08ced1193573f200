"""Best of n in a report: the figure, the table, and what is said of it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_sweep import TWO_RUNGS, fake_sweep, results

from w2sweep.report import Report, report
from w2sweep.results.best_of import BestReplies, chosen
from w2sweep.results.cell import ROLES

N = [1, 2, 4, 8, 16, 32]
WEIGHTS = {"tone": 1.0, "truth": 0.5}
NOISE = {"supervisor": 3.0, "student": 1.0, "ceiling": 0.2}


def replies(seed: int, writer: str) -> BestReplies:
    """Models whose scores are the quality and noise; the supervisor loves what is worst of all
    that a model writes."""
    rng = np.random.default_rng(seed)
    marks = rng.random((6, 128, 2)) < 0.5
    quality = (2.0 * marks - 1) @ list(WEIGHTS.values())
    scores = {role: quality + rng.normal(0, NOISE[role], quality.shape) for role in ROLES}
    if writer != "the task":
        scores["supervisor"] = np.where(quality == quality.min(), 9.0, scores["supervisor"])
    return chosen(N, scores, marks, WEIGHTS, dict.fromkeys(ROLES, "Scored/0"), writer)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("sweeps") / "best_of_n"
    variants = [{"best_of": "task"}, {"best_of": "model"}]
    fake_sweep(folder, tasks={"preference": "reward"}, ladder=TWO_RUNGS, variants=variants)
    for at, cell in results(folder).items():
        writer = "the task" if cell.variant["best_of"] == "task" else "small"
        replace(cell, best_of=replies(cell.seed, writer)).write(at)
    return report(folder)


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "best_of_n.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_table_has_a_line_for_each_n_and_who_chooses(made: Report):
    rows = read(made.page.parent)
    assert len(rows) == 2 * 2 * 4 * len(N)  # writers, methods, who chooses
    cells = [replies(seed, "the task") for seed in (0, 1)]
    own = {"replies_by": "the task", "chosen_by": "ceiling", "method": "naive", "n": "16"}
    [row] = [r for r in rows if own.items() <= r.items()]
    means = [cell.means("ceiling")[4] for cell in cells]
    assert float(row["quality"]) == pytest.approx(np.mean(means))
    assert float(row["quality_low"]) < float(row["quality"]) < float(row["quality_high"])
    tone = np.mean([cell.good["ceiling"]["tone"][4] for cell in cells])
    assert float(row["good_tone"]) == pytest.approx(tone)
    assert (float(row["bits"]), row["seeds"]) == (4.0, "2")
    assert {r["chosen_by"] for r in rows} == {"weak", "student", "ceiling", "truth"}


def test_the_figure_and_the_sentences(made: Report):
    assert "best_of_n.png" in {file.name for file in made.figures}
    page = made.page.read_text(encoding="utf-8")
    assert "of 32 replies by the task, what is chosen is better in truth than a random one" in page
    by_model = page.split("of 32 replies by small")[1].split("</li>")[0]
    assert "weak -1." in by_model.split("from n = 16 on")[0]  # it is broken
    assert "truth +1.5" in by_model
    assert "A line that bends down is a reward model that optimization breaks" in page


def test_a_sweep_without_it_has_neither(tmp_path: Path):
    plain = report(fake_sweep(tmp_path / "plain", tasks={"preference": "reward"}, seeds=1))
    assert not (plain.page.parent / "best_of_n.csv").exists()
    assert not [file for file in plain.figures if "best_of" in file.name]
