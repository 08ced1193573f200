"""What a sweep's page says beside its tables and figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fake_sweep import TWO_RUNGS, cell, change, fail, fake_sweep, results

from w2sweep.engine.files import read_json, write_json
from w2sweep.report import Report, report
from w2sweep.report.examples import MOST, cards
from w2sweep.report.figures.learning import LearningCurves
from w2sweep.report.figures.panels import BY_RANK
from w2sweep.report.figures.recovery import Recovery
from w2sweep.report.outcomes import outcomes
from w2sweep.report.provenance import Provenance
from w2sweep.results.cell import ROLES, Result
from w2sweep.results.curve import Learning
from w2sweep.results.shown import Kind, Shown
from w2sweep.results.sweep_folder import read_sweep


@pytest.fixture(scope="module")
def naive(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """One method, on three tasks of a family and one of another."""
    tasks = {"a": "nlp", "b": "nlp", "c": "nlp", "mate": "chess"}
    folder = tmp_path_factory.mktemp("page") / "s"
    sweep = fake_sweep(folder, tasks=tasks, methods=["naive"])
    for at, result in results(sweep).items():
        change(at, result, learning=dict.fromkeys(ROLES, curve(result.seed)))
    return report(sweep)


def curve(seed: int) -> Learning:
    """Best by its own labels at the second evaluation, by the truth at the first (seed 0) or the
    last one (seed 1)."""
    truth = [0.8, 0.7, 0.6] if seed == 0 else [0.6, 0.7, 0.8]
    return Learning(progress=[0.2, 0.6, 1.0], own=[0.7, 0.9, 0.9], truth=truth, n=100)


def test_each_family_is_told_in_a_sentence_of_its_widest_gap(naive: Report):
    nlp, chess = outcomes(naive.summary)
    assert (nlp.family, chess.family) == ("nlp", "chess")
    [widest] = [r for r in naive.summary if (r.task, r.weak, r.strong) == ("mate", "nano", "small")]
    assert widest.pgr is not None
    for share in (widest.student_accuracy, widest.weak_accuracy, widest.ceiling_accuracy):
        assert f"{100 * share:.1f} %" in chess.sentence
    assert chess.sentence.startswith("mate, a small student taught by nano reaches ")
    assert widest.gap is not None
    unclear = f"the gap of {100 * widest.gap:.1f} points cannot be told from zero (2 seeds)"
    assert f": {unclear}, so its PGR says nothing" in chess.sentence
    assert "recovers" not in chess.sentence
    of = [r for r in naive.summary if (r.family, r.weak, r.strong) == ("nlp", "nano", "small")]
    middle = sorted(r.student_accuracy for r in of)[1]
    assert nlp.sentence.startswith("median of 3 tasks, ")
    assert f"reaches {100 * middle:.1f} %" in nlp.sentence
    page = naive.page.read_text(encoding="utf-8")
    assert chess.sentence.replace(" %", "\u00a0%") in page


def test_a_gap_that_is_none_is_told_as_such_and_the_best_other_method_named(tmp_path: Path):
    one = {"tasks": {"a": "nlp"}, "ladder": TWO_RUNGS}
    [without] = outcomes(report(fake_sweep(tmp_path / "none", **one, gap=-0.2)).summary)
    assert "the ceiling is not above the supervisor" in without.sentence
    made = report(fake_sweep(tmp_path / "two", **one))
    [found] = outcomes(made.summary)
    best = max((r for r in made.summary if r.method != "naive"), key=lambda r: r.student_accuracy)
    assert best.over_naive is not None
    assert f"{100 * best.over_naive:+.1f} points over naive" in found.sentence
    unclear = [replace(r, gap_low=-0.01) for r in made.summary]
    assert "cannot be told from zero (2 seeds)" in outcomes(unclear)[0].sentence


def test_one_method_has_a_line_a_supervisor_in_the_figure_of_pgr(naive: Report):
    figure = Recovery(naive.summary, naive.sweep.ladders)
    assert figure.lines == [""]
    assert [str(h.get_label()) for h in figure.legend()][:3] == [
        "from nano",
        "from micro",
        "from mini",
    ]
    both = [*naive.summary, *(replace(r, method="other") for r in naive.summary)]
    assert Recovery(both, naive.sweep.ladders).lines == ["from nano", "from micro", "from mini"]


def test_an_axis_of_rungs_without_compute_says_no_shares_of_it(naive: Report):
    ladders = {
        name: {rung: replace(facts, compute=0.0) for rung, facts in rungs.items()}
        for name, rungs in naive.sweep.ladders.items()
    }
    assert Recovery(naive.summary, ladders).xlabel == BY_RANK
    assert "share" in Recovery(naive.summary, naive.sweep.ladders).xlabel


def test_learning_curves_are_means_with_the_stop_of_each_seed(naive: Report):
    assert naive.page.with_name("learning.svg").exists()
    [row] = [r for r in naive.summary if (r.task, r.weak, r.strong) == ("a", "nano", "small")]
    lesson = row.lessons["student"]
    assert [e.value for e in lesson.truth] == pytest.approx([0.7, 0.7, 0.7])
    assert list(lesson.best_own) == [0.6, 0.6]
    assert list(lesson.best_truth) == [0.2, 1.0]
    assert LearningCurves.of([replace(row, lessons={})], naive.sweep.ladders) is None


def example(kind: Kind, number: int) -> Shown:
    said = {"supervisor": "0", "student": "1", "ceiling": "1"}
    truth = "1" if kind == "corrected" else "0"
    return Shown(kind, number, [f"text {number}"], truth, said, {"student": 0.75})


def test_a_page_shows_as_many_examples_as_it_may_from_all_cells_alike(naive: Report):
    each = [example("corrected", n) for n in range(4)] + [example("spoiled", 9)]
    cells = [replace(r, shown=each) for r in naive.sweep.results]
    assert len(cells) == 48
    found = cards(cells)
    assert len(found) == MOST / 2 + len(cells)
    by_cell: dict[int, int] = {}
    for card in found:
        by_cell[id(card.cell)] = by_cell.get(id(card.cell), 0) + 1
    assert set(by_cell.values()) == {2, 3}  # 80 of one kind over 48 cells, and one of the other
    many = cards([*cells] * 10)
    assert len(many) == MOST
    assert list(found[0].answers) == [
        ("supervisor", "0", False),
        ("student", "1 (75 %)", True),
        ("ceiling", "1", True),
    ]


def with_store(sweep: Path, store: Path, **facts: Any) -> None:
    """Gives a sweep a store with the records of two of its stages."""
    plan = read_json(sweep / "sweep.json")
    names = ["Finetune/student", "Finetune/ceiling"]
    write_json(
        sweep / "sweep.json",
        {**plan, "store": str(store), "started": 1000.0, "stages": dict.fromkeys(names, "x")},
    )
    for name, started in zip(names, (900.0, 1010.0), strict=True):
        said = {"stage": {}, "host": "here", "started": started, "seconds": 30.0, **facts}
        (store / name).mkdir(parents=True)
        write_json(store / name / "stage.json", said)


def test_a_page_says_where_its_sweep_came_from(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "s", tasks={"a": "nlp"}, ladder=TWO_RUNGS, methods=["naive"])
    versions = {"w2sweep": "1", "torch": "2", "transformers": "3", "numpy": "4"}
    commits = {"w2sweep": {"commit": "0123456789abcdef", "changed": True}}
    computed = {"device": "cpu", "precision": "32-true", "url": "https://wandb.ai/x/y/runs/z"}
    environment = {"versions": versions, "commits": commits}
    with_store(sweep, tmp_path / "store", computed=computed, environment=environment)
    (sweep / "config.yaml").write_text("task: <a>\n", encoding="utf-8")
    [cell, *_] = results(sweep)
    shown = {cell.name: "https://wandb.ai/x/y/runs/cell", "Finetune/ceiling": "javascript:alert()"}
    write_json(sweep / "tracked.json", {"urls": shown})
    said = dict(Provenance(read_sweep(sweep)).lines)
    assert said["started"] == "1970-01-01 00:16 UTC"
    assert said["duration"] == "0:00:40"  # from 1000 to 1010 + 30
    assert said["cost"].startswith(
        "60 stage-seconds (0:01:00) of 2 stages, of which 30 in this run"
    )
    assert said["versions"] == "w2sweep 1, torch 2, transformers 3"
    assert said["git commit"] == "0123456789ab with changes"
    assert (said["host"], said["device"], said["precision"]) == ("here", "cpu", "32-true")
    page = report(sweep).page.read_text(encoding="utf-8")
    assert "task: &lt;a&gt;" in page
    assert '<a href="../../store/Finetune/student">' in page
    assert '<a href="https://wandb.ai/x/y/runs/z">' in page
    assert '<a href="https://wandb.ai/x/y/runs/cell">' in page
    assert f'<a href="../{quote(cell.name)}/cell.json">cell.json<' in page
    assert "javascript:" not in page


def test_what_nobody_has_recorded_is_said_to_be_missing(naive: Report):
    said = dict(Provenance(naive.sweep).lines)
    unknown = {name for name, value in said.items() if value == "not recorded"}
    assert unknown == set(said) - {"store"}
    assert "configuration is not recorded" in naive.page.read_text(encoding="utf-8")


def test_cells_that_failed_alike_are_told_once(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "s", tasks={"a": "nlp"}, methods=["naive"])
    for seed in (0, 1):
        fail(cell(sweep, weak="nano", strong="small", seed=seed), "no memory", "Traceback 1")
    page = report(sweep).page.read_text(encoding="utf-8")
    assert page.count("no memory") == 1
    assert "<summary>2: no memory</summary>" in page
    assert page.count("Traceback 1") == 1


def test_examples_and_curves_of_a_cell_are_read_as_they_were_written(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "s", tasks={"a": "nlp"}, ladder=TWO_RUNGS, methods=["naive"])
    at, result = next(iter(results(sweep).items()))
    curves, shown = {"student": curve(0)}, [example("spoiled", 3)]
    change(at, result, learning=curves, shown=shown)
    again = results(sweep)[at]
    assert isinstance(again, Result)
    assert (again.learning, again.shown) == (curves, shown)
