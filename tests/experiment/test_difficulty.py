"""Difficulty: by the task, by a ladder; equal sets of easy, random and hard examples; and students
that train on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import chess
import numpy as np
import pytest
from toys import Toy, ToyCompletions, job, pretrained_store, setting, store

from w2sweep.engine.stage import Stage
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.difficulty import (
    Difficulty,
    Kind,
    Known,
    Levels,
    Subset,
    equal_sets,
    levels,
)
from w2sweep.experiment.easy_to_hard import EasyToHard
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import answered
from w2sweep.experiment.stages import Finetune
from w2sweep.interface.data_command import composed
from w2sweep.tasks.difficulty import Scale
from w2sweep.tasks.example import Example
from w2sweep.tasks.task import Task
from w2sweep.tasks.wording import Wording
from w2sweep.values import ConfigError


def method(train_on: Kind = "easy", **options: Any) -> EasyToHard:
    return EasyToHard(f"{train_on}", CrossEntropy(), train_on, **options)


def test_the_level_is_the_smallest_rung_from_which_on_all_are_right():
    correct = {
        # weakest first: nano, micro, small
        (1, 1, 1): 0,  # all are right
        (0, 1, 1): 1,
        (0, 0, 1): 2,
        (1, 0, 1): 2,  # the smallest was right by luck: a larger one is not
        (1, 1, 0): 3,  # the largest is wrong, whatever smaller ones say
        (0, 0, 0): 3,
    }
    assert levels(np.array(list(correct)).T).tolist() == list(correct.values())


def test_levels_are_those_of_a_slow_loop():
    correct = np.random.default_rng(0).random((4, 200)) < 0.7
    slow = []
    for point in correct.T:
        right_from = [rung for rung in range(4) if all(point[rung:])]
        slow.append(min(right_from, default=4))
    assert levels(correct).tolist() == slow


def test_rungs_that_judge_have_not_trained_on_what_they_judge():
    s = setting()
    assert isinstance(by := method().graded(s).difficulty, Levels)
    assert [rung.label for rung in by.rungs] == ["s", "m", "l"]
    assert {rung.on for rung in by.rungs} == {"supervisor"}
    assert by.rungs[0] == s.weak_model  # nothing is trained for it that is there already
    judged = answered(s.splits.sizes.asked)
    assert not {rung.on for rung in by.rungs} & set(judged)
    with pytest.raises(ValueError, match="of the supervisor's half, with its truth: ceiling l"):
        Levels((s.weak_model, s.ceiling))


def test_sets_are_as_large_and_as_balanced_as_each_other():
    rng = np.random.default_rng(0)
    difficulty, classes = rng.integers(0, 5, 300).astype(float), [0] * 200 + [1] * 100
    sets = equal_sets(difficulty, classes, 0.3, seed=0)
    for rows in sets.values():
        assert np.bincount(np.array(classes)[rows]).tolist() == [60, 30]
        assert (np.diff(rows) > 0).all()
    for c in (0, 1):  # within each class, nobody outside of the easy set is easier than one inside
        own = np.flatnonzero(np.array(classes) == c)
        inside, outside = np.intersect1d(own, sets["easy"]), np.setdiff1d(own, sets["easy"])
        assert difficulty[inside].max() <= difficulty[outside].min()
        inside, outside = np.intersect1d(own, sets["hard"]), np.setdiff1d(own, sets["hard"])
        assert difficulty[inside].min() >= difficulty[outside].max()


def test_ties_are_broken_by_the_seed_and_by_nothing_else():
    alike, classes = np.zeros(100), [0, 1] * 50
    first, again = (equal_sets(alike, classes, 0.5, seed=0) for _ in range(2))
    np.testing.assert_equal(first, again)
    assert first["easy"].tolist() != equal_sets(alike, classes, 0.5, seed=1)["easy"].tolist()
    assert first["easy"].tolist() != list(range(50))


def test_cut_offs_bound_all_three_sets():
    ratings = np.array([500, 600, 900, 1500, 1700, 2100, 2300, 2500] * 10, float)
    sets = equal_sets(ratings, [0] * 80, 1.0, 1000, 2000, seed=0)
    assert [len(rows) for rows in sets.values()] == [30, 30, 30]  # three of eight are easy
    assert set(ratings[sets["easy"]]) == {500, 600, 900}
    assert set(ratings[sets["hard"]]) == {2100, 2300, 2500}
    assert len(set(ratings[sets["all"]])) > 5
    sets = equal_sets(ratings, [0] * 80, 0.2, 1000, 2400, seed=0)
    assert [len(rows) for rows in sets.values()] == [10, 10, 10]  # one of eight is hard


def test_a_set_without_examples_is_refused_in_one_line(tmp_path: Path):
    stage = cast("Subset", method(easy_to=0.0).student(setting()).rows)
    examples = {"student": [Example.of(f"text {i}", label=i % 2) for i in range(4)]}
    given: Mapping[Stage, Any] = {stage.splits: examples, stage.difficulty: {"student": np.ones(4)}}
    with (
        job(tmp_path, stage, given) as made,
        pytest.raises(ConfigError, match=r"are at most 0 is none .* goes from 1 to 1; change "),
    ):
        stage.run(made)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"easy_to": 1000.0}, "method.easy_to: found 1000, but task toy is judged by 3 rungs"),
        ({"hard_from": 2000.0}, "method.hard_from: found 2000, but .* levels are 0 to 3"),
        ({"easy_to": 2.0, "hard_from": 1.0}, "found 2 and 1, expected easy examples below hard"),
        ({"share": 0.001}, "method.share: found 0.001, which is no example of the 48 of each"),
        ({"rungs": ("s", "s")}, "method.rungs: found s, s, expected each rung once"),
        ({"rungs": ("s", "xl")}, "no rung 'xl' on ladder 'toys'"),
    ],
)
def test_what_leaves_no_easy_or_hard_examples_is_refused_before_anything_runs(options, told):
    with pytest.raises(ConfigError, match=told):
        Cell(setting(), method(**options))


def test_a_wrong_wording_is_told_and_a_missing_one_leaves_the_floor_out():
    assert "zero_shot" not in Cell(setting(), method()).compared
    with pytest.raises(ConfigError, match=r"task.wording.words: found 3"):
        Cell(setting(Toy(wording=Wording("{text}", ("a", "b", "c")))), method())


@pytest.mark.parametrize("task", [Toy(), ToyCompletions()], ids=lambda task: task.name)
def test_a_student_learns_the_labels_of_its_rows(
    task: Task, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
):
    """Training on rows of a split is training on a split that has these rows only."""
    shelf = pretrained_store(tmp_path_factory.getbasetemp() / "toys")
    s = setting(task)
    shelf.ensure(s.splits)
    stage = cast("Finetune", method(labels="weak").student(s))
    assert stage.init
    assert stage.rows
    assert stage.labels
    splits, init = shelf.get(s.splits), shelf.get(stage.init)
    rows, rng = np.arange(1, 96, 3), np.random.default_rng(0)
    said = {name: _weak(stage, splits[name], rng) for name in answered(splits)}
    few = splits | {"student": [splits["student"][row] for row in rows]}
    few_said = said | {"student": [said["student"][row] for row in rows]}
    given: dict[Stage, Any] = {stage.init: init}
    given |= {stage.splits: splits, stage.labels: Predictions(said)}
    whole = _trained(stage, given | {stage.rows: rows}, tmp_path / "rows")
    plain = replace(stage, rows=None)
    given |= {stage.splits: few, stage.labels: Predictions(few_said)}
    part = _trained(plain, given, tmp_path / "few")
    for name in ("validation", "test"):
        np.testing.assert_array_equal(whole.answers[name], part.answers[name])
    assert len(whole.answers["student"]) == len(splits["student"])  # it answers all of them
    other = _trained(
        plain, given | {stage.splits: splits, stage.labels: Predictions(said)}, tmp_path / "all"
    )
    assert not np.array_equal(other.answers["test"], part.answers["test"])


def _weak(stage: Finetune, examples: list[Example], rng: np.random.Generator) -> Any:
    """Labels of which a third is wrong."""
    truth = stage.head.labels(examples)
    wrong = rng.random(len(examples)) < 1 / 3
    if isinstance(truth, list):
        return [" poor" if w else t for w, t in zip(wrong, truth, strict=True)]
    return np.where(wrong[:, None], np.asarray(truth)[:, ::-1], truth)


def _trained(stage: Finetune, given: Mapping[Stage, Any], folder: Path) -> Predictions:
    """What it answers, its own split too."""
    with job(folder, stage, given) as made:
        made.circumstances = replace(made.circumstances, read_whole=frozenset({stage.name}))
        stage.run(made)
    return stage.read(folder)


def test_keys_of_students_of_whole_splits_are_what_they_were():
    s = setting()
    plain = s.finetune("l", labels=s.supervisor)
    assert (
        plain.key
        == replace(plain, rows=None).key
        == setting().finetune("l", labels=s.supervisor).key
    )
    students = [method(kind).student(s) for kind in ("easy", "all", "hard")]
    assert len({stage.key for stage in (plain, *students)}) == 4
    assert {stage.role for stage in students} == {"student"}
    assert students[0].what == "student l, easy examples, toy"


def test_levels_and_rows_are_computed_by_stages(tmp_path: Path):
    s = setting()
    shelf = store(tmp_path / "store")
    shelf.ensure(s.splits)
    splits = shelf.get(s.splits)
    by = cast("Levels", method().graded(s).difficulty)
    truth = {name: s.task.head.labels(splits[name]) for name in answered(splits)}
    wrong = {name: np.asarray(labels)[:, ::-1] for name, labels in truth.items()}
    said = zip(by.rungs, (wrong, truth, truth), strict=True)
    given: dict[Stage, Any] = {rung: Predictions(answers) for rung, answers in said}
    with job(tmp_path / "levels", by, given | {s.splits: splits}) as made:
        by.run(made)
    found = by.read(tmp_path / "levels")
    assert sorted(found) == sorted(answered(splits))
    assert set(found["test"]) == {1.0}
    assert by.bins == ["s", "m", "l", "none"]
    subset = cast("Subset", method("hard").student(s).rows)
    with job(tmp_path / "rows", subset, {s.splits: splits, by: found}) as made:
        subset.run(made)
        assert made.facts == {"examples": 48, "of": 96}
    rows = subset.read(tmp_path / "rows")
    labels = [splits["student"][row].label for row in rows]
    assert sorted(labels) == [0] * 24 + [1] * 24


class Rated(Toy):
    """Toys that are the harder the longer they are; empty ones cannot be rated."""

    difficulties = Scale("rating", (0, 10, 20))

    def difficulty(self, example: Example) -> float | None:
        return float(len(example.views[0])) or None


def known(s: Setting, **options: Any) -> Difficulty:
    return method(**options).graded(s).difficulty


def test_the_task_judges_where_it_can():
    s, rated = setting(), setting(Rated())
    assert isinstance(known(rated), Known)
    assert known(rated).bins == ["0–9", "10–19", "20+"]
    assert isinstance(known(rated, difficulty="ladder"), Levels)
    by = cast("Levels", known(s, rungs=["l", "s"]))
    assert [rung.label for rung in by.rungs] == ["s", "l"]
    with pytest.raises(ConfigError, match=r"task toy does not know .* method\.difficulty=ladder"):
        known(s, difficulty="task")
    with pytest.raises(ConfigError, match=r"method\.rungs: found l, expected two rungs or more"):
        known(s, rungs=["l"])


def test_examples_without_their_rating_are_told(tmp_path: Path):
    s = setting(Rated())
    stage = known(s)
    examples = [Example.of("a text", label=0), Example.of("", label=1)]
    splits = dict.fromkeys(s.splits.sizes.asked, examples[:1])
    with job(tmp_path, stage, {s.splits: splits}) as made:
        stage.run(made)
    assert stage.read(tmp_path)["test"].tolist() == [6.0]
    without = "1 of 2 examples of task toy come without their rating: .*method.difficulty=ladder"
    with (
        job(tmp_path, stage, {s.splits: splits | {"test": examples}}) as made,
        pytest.raises(ConfigError, match=without),
    ):
        stage.run(made)


def test_numbers_below_the_first_bin_belong_to_it():
    scale = Scale("rating", (600, 800, 801, 1000))
    assert scale.bins == ["600–799", "800", "801–999", "1000+"]
    assert scale.bin([100, 600, 799, 800, 801, 999, 1000, 3000]).tolist() == [
        0,
        0,
        0,
        1,
        2,
        2,
        3,
        3,
    ]


def test_checks_that_do_not_mate_are_what_python_chess_counts():
    task, *_ = composed("mate_in_one", ["task.pool=60"])
    for example in task.examples():
        assert isinstance(example, Example)
        assert task.difficulty(example) == competing(example.views[0])


def competing(prompt: str) -> int:
    """The moves of white that give check and do not mate, by another implementation."""
    board = chess.Board(None)
    for word in prompt.removesuffix(" >").split():
        board.set_piece_at(chess.parse_square(word[1:]), chess.Piece.from_symbol(word[0]))
    count = 0
    for move in board.legal_moves:
        board.push(move)
        count += board.is_check() and not board.is_checkmate()
        board.pop()
    return count


def test_a_difficulty_is_written_with_its_example(tmp_path: Path):
    s = setting(WithRatings())
    with job(tmp_path, s.splits) as made:
        s.splits.run(made)
    read = s.splits.read(tmp_path)["test"]
    assert {e.difficulty for e in read} <= {0.0, 1.0, 2.0}
    assert read == sorted(read, key=lambda e: e.id)
    lines = (tmp_path / "test.jsonl").read_text().splitlines()
    assert '"difficulty": 1.0' in "".join(lines)
    plain = setting()
    with job(tmp_path / "plain", plain.splits) as made:
        plain.splits.run(made)
    assert "difficulty" not in (tmp_path / "plain" / "test.jsonl").read_text()


class WithRatings(Toy):
    def example(self, rng: np.random.Generator, i: int, label: int) -> Example:
        return replace(super().example(rng, i, label), difficulty=float(i % 3))


def test_real_puzzles_come_with_their_ratings(shared: Path):
    options = [f"data_root={shared / 'data' / 'hub'}", "task.limit=50"]
    task, *_ = composed("lichess", options)
    puzzles = [e for e in task.examples() if isinstance(e, Example)]
    ratings = [task.difficulty(e) for e in puzzles]
    assert len(ratings) == 50
    assert all(rating and 300 < rating < 3500 for rating in ratings)
