"""Refined labels: who proposes, which are replaced, and how many. Nothing trains here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import ToyCompletions, job, setting

from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.refinement import (
    LabelRefinement,
    Refined,
    crossed,
    in_halves,
    replaced_rows,
)
from w2sweep.tasks.example import Example
from w2sweep.values import Impossible

METHOD = LabelRefinement("refined", CrossEntropy(), rounds=1, most=0.5)


def two(*p: float) -> np.ndarray:
    """Class probabilities whose second ones are these [N, 2]."""
    second = np.array(p, dtype=np.float32)
    return np.stack([1 - second, second], 1)


def test_halves_are_of_whole_groups_and_of_one_size():
    made = [Example.of(f"text {i}", label=0, group=f"question {i // 4}") for i in range(40)]
    joined = Example.of("both", label=0, group=["question 0", "question 1"])
    halves = in_halves([*made, joined], seed=0)
    assert sorted(np.concatenate(halves)) == list(range(41))
    assert abs(len(halves[0]) - len(halves[1])) <= 9  # the largest group
    groups = np.array([e.group for e in made] + ["question 0"])
    assert not set(groups[halves[0]]) & set(groups[halves[1]])
    together = [set(half) & {0, 3, 4, 7, 40} for half in halves]
    assert sorted(map(len, together)) == [0, 5]
    other = in_halves([*made, joined], seed=1)
    assert set(halves[0]) not in (set(other[0]), set(other[1]))


def test_each_label_is_proposed_by_the_model_that_has_not_learned_it():
    first, second = two(0.1, 0.1, 0.1), two(0.9, 0.9, 0.9)
    found = crossed([first, second], [np.array([0, 2]), np.array([1])])
    assert found[:, 1].tolist() == pytest.approx([0.9, 0.1, 0.9])


def test_what_is_disputed_is_replaced_where_the_comparison_says_so():
    present = two(0.9, 0.9, 0.9, 0.1, 0.1)
    proposed = two(0.2, 0.2, 0.8, 0.7, 0.6)  # others in all but the third
    judged = two(0.375, 0.625, 0.1, 0.9, 0.625)  # for the proposal but for the second
    assert replaced_rows(present, proposed, judged, most=1.0).tolist() == [0, 3, 4]
    # margins of 0.25, 0.8 and 0.25: the clearest first, then the first
    assert replaced_rows(present, proposed, judged, most=0.4).tolist() == [0, 3]
    assert replaced_rows(present, proposed, judged, most=0.2).tolist() == [3]
    assert replaced_rows(present, proposed, judged, most=0.19).tolist() == []


def test_refined_labels_are_the_proposed_ones_of_the_students_half_alone(tmp_path: Path):
    stage = METHOD.student(setting()).labels
    assert isinstance(stage, Refined)
    weak = two(0.9, 0.9, 0.1, 0.1)
    results: dict[Any, Any] = {
        stage.of: Predictions({"student": weak, "test": weak[:1]}),
        stage.halves[0]: np.array([0, 1]),
        stage.halves[1]: np.array([2, 3]),
    }
    for models in (stage.proposers, stage.comparers):
        results[models[0]] = Predictions({"student": two(0.5, 0.5, 0.8, 0.3)})
        results[models[1]] = Predictions({"student": two(0.7, 0.2, 0.5, 0.5)})
    with job(tmp_path, stage, results) as made:
        stage.run(made)
        assert made.facts | {"disputed": 2, "replaced": 2, "of": 4} == made.facts
    found = Predictions.load(tmp_path).answers
    assert np.asarray(found["student"])[:, 1].tolist() == pytest.approx([0.9, 0.2, 0.8, 0.1])
    assert np.asarray(found["test"])[:, 1].tolist() == pytest.approx([0.9])
    assert weak[:, 1].tolist() == pytest.approx([0.9, 0.9, 0.1, 0.1])


def test_a_round_begins_with_the_labels_of_the_last_and_the_student_from_scratch():
    s = setting()
    student = LabelRefinement("refined", CrossEntropy(), rounds=2, comparer="strong").student(s)
    second = student.labels
    assert isinstance(second, Refined)
    first = second.of
    assert isinstance(first, Refined)
    assert first.of is s.supervisor
    assert student.init == s.pretrained("l")
    for refined in (first, second):
        for model, half in zip(refined.proposers, refined.halves, strict=True):
            assert (model.labels, model.rows, model.label) == (refined.of, half, "l")
        assert {model.seed for model in refined.comparers} == {1000}
        assert not set(refined.comparers) & set(refined.proposers)


def test_completions_are_not_refined():
    with pytest.raises(Impossible, match="toy_completions generates completions"):
        METHOD.student(setting(ToyCompletions()))
