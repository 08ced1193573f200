"""Probes that judge weak labels, against scikit-learn, and what filters and relabels by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from toys import Toy, ToyPairs, job, pretrained_store, setting

from w2sweep.engine.stage import Stage
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.filters import Surest
from w2sweep.experiment.losses import ConfidenceAdaptive, CrossEntropy
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.probing import (
    Knn,
    Logistic,
    Probed,
    ProbeFilter,
    ProbeRelabel,
    Undisputed,
    undisputed,
)
from w2sweep.learning import probing
from w2sweep.tasks.heads import Choice, Reward
from w2sweep.tasks.task import Task

N, WIDTH = 60, 5
HEADS = {1: Choice(), 2: Reward()}


def drawn(views: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features [60, views, 5], labels [60, 2], and features of ten others."""
    rng = np.random.default_rng(views)
    x = rng.normal(size=(N + 10, views, WIDTH))
    q = 1 / (1 + np.exp(-flat(x) @ [1, -1, 2, 0, 0.5] - rng.normal(size=N + 10)))
    return x[:N], np.stack([1 - q, q], -1)[:N], x[N:]


def flat(x: np.ndarray) -> np.ndarray:
    return x[:, 0] if x.shape[1] == 1 else x[:, 1] - x[:, 0]


def test_nearest_neighbours_are_those_of_scikit_learn_without_the_example_itself():
    x, q, further = drawn(1)
    own, (others,) = probing.nearest(x, q, [further], 7)
    whole = KNeighborsRegressor(7).fit(flat(x), q)
    np.testing.assert_allclose(others, whole.predict(flat(further)), atol=1e-6)
    for n in range(0, N, 17):
        rest = np.arange(N) != n
        one = KNeighborsRegressor(7).fit(flat(x)[rest], q[rest])
        np.testing.assert_allclose(own[n], one.predict(flat(x)[[n]])[0], atol=1e-6)


def test_pairs_are_neighbours_in_either_order():
    """What is said of a pair turns around with it, and its own label is in neither order seen."""
    x, q, further = drawn(2)
    own, (others, turned) = probing.nearest(x, q, [further, further[:, ::-1].copy()], 7)
    np.testing.assert_allclose(others, turned[:, ::-1], atol=1e-6)
    changed = q.copy()
    changed[3] = [1.0, 0.0]
    again, _ = probing.nearest(x, changed, [], 7)
    np.testing.assert_array_equal(again[3], own[3])
    assert (again != own).any()
    all_of_them, _ = probing.nearest(x, q, [], 1000)
    np.testing.assert_allclose(all_of_them, 0.5, atol=1e-6)  # each label with its mirror image


def test_a_few_at_once_are_all_of_them(monkeypatch: pytest.MonkeyPatch):
    x, q, further = drawn(2)
    expected, _ = probing.nearest(x, q, [further], 7)
    monkeypatch.setattr(probing, "AT_ONCE", 7)
    found, _ = probing.nearest(x, q, [further], 7)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("views", [1, 2])
def test_regressions_are_those_of_scikit_learn_fitted_to_the_other_folds(views: int):
    """Two classes have weights w / 2 and -w / 2, whose penalty is half of that of w. A pair has one
    weight vector, and no bias."""
    x, q, further = drawn(views)
    l2, head = 0.02, HEADS[views]
    own, (others,) = probing.regressed(x, q, [further], head, l2, folds=3)

    def reference(seen: np.ndarray, at: np.ndarray) -> np.ndarray:
        strength = (2 if views == 1 else 1) / (2 * l2 * seen.sum())
        model = LogisticRegression(C=strength, fit_intercept=views == 1, tol=1e-8, max_iter=1000)
        features = flat(x)[seen]
        # soft labels: each example once with either class, as heavy as the label says
        both, classes = np.r_[features, features], np.repeat([1, 0], len(features))
        model.fit(both, classes, sample_weight=np.r_[q[seen, 1], q[seen, 0]])
        return model.predict_proba(flat(at))

    everything = np.ones(N, dtype=bool)
    np.testing.assert_allclose(others, reference(everything, further), atol=1e-4)
    fold = np.arange(N) % 3 == 1
    np.testing.assert_allclose(own[fold], reference(~fold, x[fold]), atol=1e-4)


def test_a_tenth_is_disputed_most():
    q = np.tile([0.5, 0.5], (10, 1))
    r = q + np.linspace(0, 0.45, 10)[::-1, None] * [1, -1]
    assert undisputed(r, q, 0.1).tolist() == list(range(1, 10))
    assert undisputed(r, q, 0.3).tolist() == list(range(3, 10))
    three, uniform = np.array([[1.0, 0, 0], [0.5, 0.5, 0]]), np.full((2, 3), 1 / 3)
    assert undisputed(three, uniform, 0.5).tolist() == [1]  # 2/3 against 1/3


@pytest.mark.parametrize("probe", [Knn(5), Logistic()])
@pytest.mark.parametrize("task", [Toy(), ToyPairs()])
def test_wrong_labels_are_disputed_and_set_right(tmp_path: Path, task: Task, probe: Knn | Logistic):
    """Two clusters, of which a few examples bear the other's label. No truth is read: the stages
    get features and weak labels alone."""
    s, rng = setting(task), np.random.default_rng(0)
    views = 2 if isinstance(task, ToyPairs) else 1
    classes = np.arange(N) % 2
    x = rng.normal(size=(N, views, WIDTH)) * 0.3
    x[:, -1, 0] += 4.0 * classes - 2.0
    weak = np.where(classes == 1, 0.8, 0.2)
    wrong = [5, 18, 33]
    weak[wrong] = 1 - weak[wrong]
    q = np.stack([1 - weak, weak], -1).astype(np.float32)
    stage = ProbeRelabel("relabel", CrossEntropy(), probe).student(s).labels
    assert isinstance(stage, Probed)
    features = {"student": x.astype(np.float32), "test": x[:4].astype(np.float32)}
    given: dict[Stage, object] = {
        stage.features: features,
        stage.labels: Predictions({"student": q, "test": q[:4]}),
    }
    with job(tmp_path / "probed", stage, given) as made:
        stage.run(made)
    said = Predictions.load(tmp_path / "probed")
    own = np.asarray(said.answers["student"])
    assert (own.argmax(-1) == classes).all()
    assert np.asarray(said.answers["test"]).shape == (4, 2)

    rows = ProbeFilter("filter", CrossEntropy(), probe, drop=0.05).student(s).rows
    assert isinstance(rows, Undisputed)
    with job(tmp_path / "rows", rows, {stage: said, stage.labels: given[stage.labels]}) as made:
        rows.run(made)
    kept = rows.read(tmp_path / "rows")
    assert sorted(set(range(N)) - set(kept.tolist())) == wrong


def test_a_cell_compares_the_probe_itself():
    s = setting()
    cell = Cell(s, ProbeRelabel("relabel", CrossEntropy(), Knn()))
    assert cell.compared["probe"] == cell.student.labels  # type: ignore[attr-defined]
    assert not any(stage == s.splits for stage in cell.compared["probe"].inputs)


def test_a_loss_knows_the_labels_of_the_examples_that_are_seen(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    """And not those of the examples that a filter leaves out."""
    known: list[np.ndarray] = []

    def knowing(loss: ConfidenceAdaptive, labels: np.ndarray) -> ConfidenceAdaptive:
        known.append(labels)
        return replace(loss, sure_from=0.5)

    monkeypatch.setattr(ConfidenceAdaptive, "knowing", knowing)
    shelf, s = pretrained_store(tmp_path_factory.getbasetemp() / "toys"), setting()
    rows, recipe = Surest(s.supervisor, "student", 0.5, "surest", 0), replace(s.recipe, epochs=1)
    loss = ConfidenceAdaptive(unsure=0.123)
    stage = s.finetune("s", labels=s.supervisor, loss=loss, rows=rows, recipe=recipe)
    shelf.ensure(stage, s.supervisor, rows)
    labels, seen = shelf.get(s.supervisor).answers["student"], shelf.get(rows)
    assert len(seen) == 48
    np.testing.assert_array_equal(known[0], np.asarray(labels)[seen])
