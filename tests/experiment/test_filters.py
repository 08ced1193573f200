"""Filters by the supervisor's certainty."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toys import ToyCompletions, job, setting

from w2sweep.experiment.cell import Cell
from w2sweep.experiment.filters import ConfidenceFilter, Surest, first_of_each
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Method
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.probing import Knn, Logistic, ProbeFilter, ProbeRelabel
from w2sweep.values import Impossible

POSITIVE = np.array([0.9, 0.55, 0.1, 0.6, 0.45, 0.99, 0.3, 0.8, 0.7, 0.2])
"""Class 1: rows 0, 1, 3, 5, 7, 8, surest first 5, 0, 7, 8, 3, 1; class 0: 2, 9, 6, 4."""
Q = np.stack([1 - POSITIVE, POSITIVE], -1).astype(np.float32)


def rows(stage: Surest, folder: Path) -> list[int]:
    with job(folder, stage, {stage.labels: Predictions({"student": Q})}) as made:
        stage.run(made)
    return stage.read(folder).tolist()


def surest(share: float, order: str = "surest", seed: int = 0) -> Surest:
    s = setting()
    return Surest(s.supervisor, "student", share, order, seed)  # type: ignore[arg-type]


def test_of_each_class_the_surest_half_is_seen(tmp_path: Path):
    assert rows(surest(0.5), tmp_path) == [0, 2, 5, 7, 9]
    assert rows(surest(1.0), tmp_path) == list(range(10))


def test_a_class_is_never_left_out_and_of_equal_labels_the_first_are_taken():
    classes = np.array([0, 1, 1, 1, 1])
    assert first_of_each(np.ones(5), classes, 0.25).tolist() == [0, 1]
    assert first_of_each(np.array([1, 1, 3, 3, 2]), classes, 0.5).tolist() == [0, 2, 3]


def test_the_control_takes_as_many_of_each_class_at_random(tmp_path: Path):
    drawn = [rows(surest(0.5, "random", seed), tmp_path) for seed in range(5)]
    assert drawn[0] == rows(surest(0.5, "random", 0), tmp_path)
    assert len({tuple(its) for its in drawn}) > 1
    for its in drawn:
        assert [int((Q[its].argmax(-1) == k).sum()) for k in (0, 1)] == [2, 3]


def test_a_student_makes_as_many_steps_on_a_part_of_the_examples():
    s = setting()
    epochs = s.recipe.epochs
    long, short = (
        ConfidenceFilter("f", CrossEntropy(), share=0.25, as_many_steps=yes).student(s)
        for yes in (True, False)
    )
    assert (long.recipe.epochs, short.recipe.epochs) == (4 * epochs, epochs)
    assert long.labels == s.supervisor
    assert long.rows
    assert long.rows == Surest(s.supervisor, "student", 0.25, "surest", 0)
    assert long.rows.inputs == [s.supervisor]  # it cannot read the truth


@pytest.mark.parametrize(
    "method",
    [
        ConfidenceFilter("own", CrossEntropy()),
        ProbeFilter("own", CrossEntropy(), Knn()),
        ProbeRelabel("own", CrossEntropy(), Logistic()),
    ],
)
def test_completions_have_no_certainty(method: Method):
    with pytest.raises(Impossible, match="own needs probabilities as labels, but task toy_compl"):
        Cell(setting(ToyCompletions()), method)
