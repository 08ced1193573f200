"""Few true labels: how many, which ones, and where they go. Nothing trains here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import Toy, job, setting

from w2sweep.experiment.few_labels import (
    FewTrue,
    Mixed,
    MixedTruth,
    Slice,
    WeakThenTrue,
    replaced,
)
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.supervision import mistaken
from w2sweep.tasks.example import Example
from w2sweep.values import ConfigError

CE = CrossEntropy()
N = 200


def examples(n: int = N) -> list[Example]:
    return [Example.of(f"text {i}", label=i % 2) for i in range(n)]


def rows_of(folder: Path, share: float, seed: int = 0, order: int = 1) -> set[str]:
    """The ids of a slice of examples, in one order or the other."""
    s = setting(Toy())
    stage, split = Slice(s.splits, "student", share, seed), examples()[::order]
    with job(folder, stage, {s.splits: {"student": split}}) as made:
        stage.run(made)
    rows = stage.read(folder)
    assert list(rows) == sorted(set(rows))
    return {split[row].id for row in rows}


def test_a_slice_has_its_share_and_a_smaller_one_is_a_part_of_it(tmp_path: Path):
    tenth, fifth = rows_of(tmp_path / "1", 0.1), rows_of(tmp_path / "2", 0.2)
    assert (len(tenth), len(fifth)) == (20, 40)
    assert tenth < fifth
    assert rows_of(tmp_path / "3", 0.1, order=-1) == tenth
    assert len(rows_of(tmp_path / "4", 0.1, seed=1) & tenth) < 10
    # labels that noise turns are drawn by the same ids and seed
    keys = [e.id for e in examples()]
    turned = {key for key, w in zip(keys, mistaken(keys, 20, seed=0), strict=True) if w}
    assert len(turned & tenth) < 10


def test_the_truth_stands_where_it_is_known_and_nowhere_else(tmp_path: Path):
    s = setting(Toy())
    known = Slice(s.splits, "student", 0.1, 0)
    stage = Mixed(s.supervisor, s.splits, "student", known, s.task.head)
    weak = np.full((4, 2), 0.5, dtype=np.float32)
    results: dict[Any, Any] = {
        s.supervisor: Predictions({"student": weak, "test": weak[:1]}),
        s.splits: {"student": examples(4)},
        known: np.array([1, 2]),
    }
    with job(tmp_path, stage, results) as made:
        stage.run(made)
    found = Predictions.load(tmp_path).answers
    assert np.asarray(found["student"]).tolist() == [[0.5, 0.5], [0, 1], [1, 0], [0.5, 0.5]]
    assert np.asarray(found["test"]).tolist() == [[0.5, 0.5]]
    assert (weak == 0.5).all()


def test_completions_are_replaced_too():
    assert replaced(["a", "b", "c"], ["x", "y", "z"], np.array([1])) == ["a", "y", "c"]


def test_a_method_says_how_many_true_labels_it_spends():
    s = setting(Toy())
    for method in (MixedTruth("m", CE, 0.25), FewTrue("f", CE, 0.25), WeakThenTrue("w", CE, 0.25)):
        assert method.true_labels(s) == 24  # of 96
        with pytest.raises(
            ConfigError, match=r"share: found 0\.001, which is no example of the 96"
        ):
            type(method)("none", CE, 0.001).student(s)


def test_a_few_labels_alone_are_learned_for_as_many_steps():
    s = setting(Toy())
    few = FewTrue("f", CE, 0.5).student(s)
    assert few.labels is None
    assert few.recipe.epochs == 2 * s.recipe.epochs
    then = WeakThenTrue("w", CE, 0.5).student(s)
    assert then.init is not None
    assert (then.labels, then.rows, then.recipe.head_lr) == (None, few.rows, 1.0)
