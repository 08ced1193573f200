"""Weights of supervisors that are learned with the student, step by step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from toys import below, killed_after, pretrained_store, setting, store

from w2sweep.engine.store import Store
from w2sweep.experiment.ensembles import Raven
from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy
from w2sweep.experiment.stages import Finetune
from w2sweep.learning import stacking
from w2sweep.learning.weighing import SMALLEST, Weighed, side_by_side, stepped

CE = CrossEntropy()
ALMOST = 1e-6


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


def batch() -> tuple[Tensor, Tensor]:
    """Logits of three examples, and the labels of two supervisors, which disagree on the last."""
    logits = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.5, 0.0]], requires_grad=True)
    first = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    second = np.array([[0.6, 0.4], [0.4, 0.6], [0.1, 0.9]])
    return logits, torch.from_numpy(side_by_side([first, second]))


def test_a_step_goes_down_the_slope_and_stays_on_the_simplex():
    assert stepped([0.5, 0.5], [1.0, 2.0], lr=0.1) == pytest.approx([0.4 / 0.7, 0.3 / 0.7])
    # the second would be below zero
    assert stepped([0.9, 0.1], [0.0, 2.0], lr=0.1) == pytest.approx(
        [0.9 / (0.9 + SMALLEST), SMALLEST / (0.9 + SMALLEST)]
    )


def test_weight_goes_to_the_supervisor_that_the_student_agrees_with():
    logits, targets = batch()
    loss = Weighed(CE, supervisors=2, lr=0.1, agreed=0.0)
    found = loss(logits, targets, 0.5)
    parts = targets.split(2, dim=1)
    each = [cross_entropy(logits, part) for part in parts]
    assert found.item() == pytest.approx((each[0].item() + each[1].item()) / 2, abs=ALMOST)
    moved = [0.5 - 0.1 * its.item() for its in each]
    expected = [w / sum(moved) for w in moved]
    assert loss.memory == pytest.approx(expected, abs=ALMOST)
    assert loss.memory[0] > 0.5
    again = loss(logits, targets, 0.5)
    assert again.item() == pytest.approx(
        sum(w * its.item() for w, its in zip(expected, each, strict=True)), abs=ALMOST
    )


def test_the_students_gradient_is_that_of_the_mixed_labels_alone():
    logits, targets = batch()
    Weighed(CE, supervisors=2, lr=0.1, agreed=0.0)(logits, targets, 0.5).backward()
    assert logits.grad is not None
    mixed = targets.unflatten(1, (2, 2)).mean(1)
    expected = (logits.softmax(1) - mixed) / 3
    torch.testing.assert_close(logits.grad, expected.detach())


def test_at_first_only_what_all_agree_on_counts_and_no_weight_moves():
    logits, targets = batch()
    loss = Weighed(CE, supervisors=2, lr=0.1, agreed=0.1)
    found = loss(logits, targets, 0.09)
    two = cross_entropy(logits[:2], targets.unflatten(1, (2, 2)).mean(1)[:2])
    assert found.item() == pytest.approx(two.item(), abs=ALMOST)
    assert loss.memory == [0.5, 0.5]
    nobody = loss(logits[2:], targets[2:], 0.0)
    nobody.backward()
    assert nobody.item() == 0.0
    loss(logits, targets, 0.1)
    assert loss.memory != [0.5, 0.5]


def test_asking_moves_nothing_and_curves_show_the_weights():
    logits, targets = batch()
    loss = Weighed(ConfidenceLoss(), supervisors=2, lr=0.1, agreed=0.0)
    loss(logits.detach(), targets, 0.5)
    assert loss.coefficients(1.0) == {"alpha": 0.5, "weight_1": 0.5, "weight_2": 0.5}


def raven(seed: int = 0, members: int = 2) -> Finetune:
    """The toys' smallest rung, taught by two of them, so that all read one pretrained model."""
    method = Raven("raven", CE, over="seeds", members=members, lr=0.1)
    s = setting()
    student = method.student(s)
    return replace(s.finetune("s", labels=student.labels, seed=seed), weighing=student.weighing)


def weights(shelf: Store, stage: Finetune) -> list[list[float]]:
    lines = (shelf.path(stage) / "curves.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [[row["weight_1"], row["weight_2"]] for row in rows]


def test_killed_and_resumed_it_goes_on_with_its_weights(shelf: Store, tmp_path: Path):
    stage = raven()
    whole, killed = (below(shelf, tmp_path / name) for name in ("whole", "killed"))
    whole.ensure(stage)
    killed.ensure(*stage.inputs)
    with killed_after(7):
        below_again = store(killed.root, checkpoint_seconds=1e-9)
        below_again.ensure(stage)
    store(killed.root).ensure(stage)
    assert weights(killed, stage) == weights(whole, stage)
    assert weights(whole, stage)[0] == [0.5, 0.5]
    assert weights(whole, stage)[-1] != [0.5, 0.5]
    for name, said in whole.get(stage).answers.items():
        np.testing.assert_array_equal(np.asarray(killed.get(stage).answers[name]), said)


def test_side_by_side_with_others_each_has_weights_of_its_own(
    shelf: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sizes: list[int] = []
    made = stacking.Learners.__init__

    def noticed(self: Any, members: Any) -> None:
        sizes.append(len(members))
        made(self, members)

    monkeypatch.setattr(stacking.Learners, "__init__", noticed)
    plain = setting().finetune("s", labels=setting().supervisor)
    stages = [raven(0), raven(1, members=3), plain]
    alone, together = (below(shelf, tmp_path / str(n), together=n) for n in (1, 16))
    alone.ensure(*stages)
    together.ensure(*stages)
    assert 3 in sizes
    for stage in stages:
        for name, said in alone.get(stage).answers.items():
            found = np.asarray(together.get(stage).answers[name])
            np.testing.assert_allclose(found, np.asarray(said), atol=2e-5)
    np.testing.assert_allclose(weights(alone, stages[0]), weights(together, stages[0]), atol=1e-4)
    assert weights(alone, stages[0])[-1] != weights(alone, stages[1])[-1]
