"""Trust filters: what is trusted, by whose truth, and what the head can learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from toys import Toy, ToyCompletions, job, setting

from w2sweep.experiment.few_labels import Mixed
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.trust import Trusted, TrustFilter, trusted
from w2sweep.experiment.weights import Weights
from w2sweep.learning.trusting import fitted, inputs_of, scores
from w2sweep.tasks.example import Example
from w2sweep.values import Impossible

CE = CrossEntropy()


def test_labels_of_a_score_of_at_least_tau_are_trusted_but_for_those_known():
    s, known = np.array([0.9, 0.75, 0.2, 0.95, 0.74]), np.array([3])
    assert trusted(s, known, tau=0.75, least=0.0).tolist() == [0, 1]
    assert trusted(s, known, tau=0.99, least=0.5).tolist() == [0, 1]  # the best two of four
    assert trusted(s, known, tau=0.99, least=0.75).tolist() == [0, 1, 4]
    assert trusted(s, known, tau=0.0, least=0.1).tolist() == [0, 1, 2, 4]


def test_a_head_sees_states_apart_by_the_class_that_is_said():
    states = np.array([[1.0], [3.0]], dtype=np.float32)  # standardized: -1 and 1
    labels = np.array([[0.8, 0.2], [0.3, 0.7]], dtype=np.float32)
    found = inputs_of(states, labels)
    expected = [[-1, 0, 1, 0, 0.8, 0], [0, 1, 0, 1, 0, 0.7]]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_linear_head_is_logistic_regression():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3)).astype(np.float32)
    right = x[:, 0] + 0.5 * rng.normal(size=120) > 0
    found = scores(fitted(x, right, hidden=0, penalty=0.05, seed=0), x)
    constant = np.ones((120, 1), dtype=np.float32)  # whose weight is shrunk too
    model = LogisticRegression(C=1 / (0.05 * 120), fit_intercept=False, tol=1e-8)
    both = np.concatenate([x, constant], 1)
    known = model.fit(both, right).predict_proba(both)[:, 1]
    np.testing.assert_allclose(found, known, atol=2e-3)


def test_units_between_find_what_no_line_does():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2)).astype(np.float32)
    right = x[:, 0] * x[:, 1] > 0
    linear, bent = (scores(fitted(x, right, n, 1e-3, seed=0), x) for n in (0, 8))
    assert ((linear > 0.5) == right).mean() < 0.65
    assert ((bent > 0.5) == right).mean() > 0.95


def run(folder: Path, truth: list[int]) -> np.ndarray:
    """Scores of six labels, all of class 0, that are known to be right or wrong by the state."""
    s = setting(Toy())
    student = TrustFilter("trust", CE, share=0.5).student(s)
    assert isinstance(student.rows, Trusted)
    stage = student.rows.trust
    states = np.array([1, -1, 1, -1, 1, -1], dtype=np.float32).reshape(6, 1, 1)
    examples = [Example.of(f"text {i}", label=label) for i, label in enumerate(truth)]
    results: dict[Any, Any] = {
        stage.features: {"student": states},
        stage.labels: Predictions({"student": np.tile([0.6, 0.4], (6, 1)).astype(np.float32)}),
        stage.splits: {"student": examples},
        stage.known: np.array([0, 1, 2, 3]),
    }
    with job(folder, stage, results) as made:
        stage.run(made)
    return stage.read(folder)


def test_a_head_learns_from_the_known_truth_and_from_no_other(tmp_path: Path):
    found = run(tmp_path / "1", [0, 1, 0, 1, 0, 1])
    assert (found[[0, 2, 4]] > 0.8).all()
    assert (found[[1, 3, 5]] < 0.2).all()
    assert (run(tmp_path / "2", [0, 1, 0, 1, 1, 0]) == found).all()  # others than those known
    assert (run(tmp_path / "3", [1, 0, 1, 0, 0, 1]) != found).all()


def test_each_student_of_a_chain_is_judged_by_its_own_states_and_learned_nothing_known():
    s = setting(Toy())
    student = TrustFilter("chain", CE, intermediate=1).student(s)
    assert isinstance(student.rows, Trusted)
    middle = student.labels
    assert [student.label, middle and middle.label] == ["l", "m"]
    assert student.rows.trust.features.init == Weights(middle)  # type: ignore[arg-type]
    assert not student.rows.with_known
    first = middle.rows.trust  # type: ignore[union-attr]
    assert first.labels is s.supervisor
    assert first.features.init == Weights(s.weak_model)
    assert first.known == student.rows.trust.known


def test_the_known_examples_are_learned_with_their_truth_where_that_is_asked_for(tmp_path: Path):
    s = setting(Toy())
    student = TrustFilter("both", CE, with_known=True).student(s)
    assert isinstance(student.labels, Mixed)
    rows = student.rows
    assert isinstance(rows, Trusted)
    scores, known = np.array([0.9, 0.1, 0.1, 0.8]), np.array([1])
    with job(tmp_path, rows, {rows.trust: scores, rows.trust.known: known}) as made:
        rows.run(made)
    assert rows.read(tmp_path).tolist() == [0, 1, 3]


def test_completions_have_no_state_that_they_are_chosen_by():
    with pytest.raises(Impossible, match="toy_completions generates completions"):
        TrustFilter("trust", CE).student(setting(ToyCompletions()))
