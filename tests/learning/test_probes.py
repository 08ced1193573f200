"""Linear probes against scikit-learn, and what the saliency method probes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from toys import Toy, ToyCompletions, ToyPairs, job, setting

from w2sweep.engine.stage import Stage
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.saliency import Saliency
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.tuning import LinearProbe
from w2sweep.experiment.weights import Weights
from w2sweep.tasks.example import Example
from w2sweep.tasks.task import Task
from w2sweep.values import Impossible

PROBE = Recipe(epochs=200, batch_size=128, schedule="constant", warmup=0.0, length_pool=1)
METHOD = Saliency("saliency", CrossEntropy(), LinearProbe(), PROBE)
TOLERANCE = 1e-3
"""Largest difference of a probability, where both have converged."""


@pytest.mark.parametrize("task", [Toy(), ToyPairs()])
def test_a_converged_probe_is_the_logistic_regression_of_its_features(tmp_path: Path, task: Task):
    """In full batches, without early stop or weight decay, for soft labels of classes that overlap.
    Two views have one logit each and no bias: that is the regression on the difference of their
    features."""
    recipe = Recipe(epochs=250, batch_size=96, warmup=0.0, length_pool=1, evaluations=1)
    s = setting(task, tuning=LinearProbe(lr=0.3), recipe=recipe)
    stage = s.finetune("s", labels=s.supervisor)
    views, rng = (2 if isinstance(task, ToyPairs) else 1), np.random.default_rng(0)
    features = {name: rng.normal(size=(96, views, 5)) for name in ("student", "validation", "test")}
    x = {name: flat(given) for name, given in features.items()}
    q = 1 / (1 + np.exp(-x["student"] @ [1, -1, 2, 0, 0.5] - rng.normal(size=96)))
    with job(tmp_path, stage, read_by(stage, features, q)) as made:
        stage.run(made)

    reference = LogisticRegression(C=np.inf, fit_intercept=views == 1, tol=1e-8, max_iter=1000)
    # soft labels: each example once with either class, as heavy as the label says
    both, classes = np.r_[x["student"], x["student"]], np.repeat([1, 0], 96)
    reference.fit(both, classes, sample_weight=np.r_[q, 1 - q])
    found = np.asarray(Predictions.load(tmp_path).answers["test"])
    np.testing.assert_allclose(found, reference.predict_proba(x["test"]), atol=TOLERANCE)


def flat(features: np.ndarray) -> np.ndarray:
    """What the probability of class 1 depends on [N, width]."""
    return features[:, 0] if features.shape[1] == 1 else features[:, 1] - features[:, 0]


def read_by(stage: Finetune, features: dict[str, np.ndarray], q: np.ndarray) -> dict[Stage, Any]:
    """The results that a probe reads: features, examples without a text, and weak labels `q` [N],
    each the probability of class 1."""
    assert stage.features is not None
    assert stage.labels is not None
    outputs = len(stage.head.words)  # type: ignore[attr-defined]
    cached = {name: given.astype(np.float32) for name, given in features.items()}
    cached["head"] = np.zeros((outputs, 5), np.float32)
    labels = np.stack([1 - q, q], axis=1)
    return {
        stage.features: cached,
        stage.splits: {name: [Example("id", "g", ("",), 0)] * 96 for name in features},
        stage.labels: Predictions(dict.fromkeys(features, labels)),
    }


def test_saliency_probes_the_pretrained_model_and_the_naive_student():
    s = setting()
    student, compared = METHOD.student(s), METHOD.compared(s)
    assert list(compared) == ["lp_weak", "lp_truth", "ft_weak_lp_truth"]
    probes = [stage for stage in compared.values() if isinstance(stage, Finetune)]
    assert [probe.labels for probe in probes] == [s.supervisor, None, None]
    assert [probe.init for probe in probes] == [*[s.pretrained("l")] * 2, Weights(student)]
    assert {(p.on, p.tuning, p.lr) for p in probes} == {("student", LinearProbe(), 1e-3)}
    assert probes[0].features == probes[1].features  # computed once
    assert probes[2].features != probes[1].features


def test_saliency_is_not_for_completions():
    with pytest.raises(Impossible, match="generates completions"):
        METHOD.student(setting(ToyCompletions()))


def test_a_student_that_is_a_probe_itself_has_no_features_of_its_own():
    with pytest.raises(Impossible, match="use tuning=full or lora"):
        Cell(setting(tuning=LinearProbe()), METHOD)


def test_a_probes_batches_are_large_enough_for_its_loss():
    confident = replace(METHOD, loss=ConfidenceLoss(0.5, 0.2), probe=replace(PROBE, batch_size=1))
    with pytest.raises(Impossible, match="raise the batch_size of the method's own recipe"):
        Cell(setting(), confident)
