"""The confidence loss that remembers the student's last answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from toys import Toy, setting

from w2sweep.experiment.cell import Cell
from w2sweep.experiment.losses import BufferedConfidence, ConfidenceLoss
from w2sweep.experiment.methods import Naive
from w2sweep.learning.buffered import Buffered
from w2sweep.tasks.heads import Choice
from w2sweep.values import Impossible

LOSS = BufferedConfidence(alpha_max=0.5, warmup=0.0, buffer=4)


def logits_of(*f: float) -> torch.Tensor:
    return torch.tensor([[0.0, x] for x in f], dtype=torch.float64, requires_grad=True)


def weak(n: int, positive: float = 0.5) -> torch.Tensor:
    return torch.tensor([[1 - positive, positive]] * n, dtype=torch.float64)


def hardened(loss: Buffered, *f: float) -> list[float]:
    """Which answers are hardened to class 1. The gradient of an example, times the batch, is
    p - 1/2 q - 1/2 own, of class 1."""
    logits = logits_of(*f)
    (found,) = torch.autograd.grad(loss(logits, weak(len(f)), 1.0), logits)
    own = 2 * (logits.softmax(-1) - len(f) * found - 0.25)
    return own[:, 1].round(decimals=6).tolist()


def test_the_threshold_is_of_the_last_answers_of_earlier_batches_too():
    loss = LOSS.knowing(weak(8).numpy())
    assert isinstance(loss, Buffered)
    assert hardened(loss, 1.0, 2.0) == [0, 1]  # the median is 1.5
    assert hardened(loss, 3.0, 5.0) == [1, 1]  # of 1, 2, 3, 5 it is 2.5
    assert loss.memory == [1, 2, 3, 5]
    assert hardened(loss, 2.5) == [0]  # of 2, 3, 5, 2.5: 2.75
    assert hardened(loss, 0.0, 1.0, 2.0, 3.0, 4.0) == [0, 0, 0, 1, 1]  # of the last four: 2.5


def test_a_prior_is_that_of_all_labels_that_are_taught():
    loss = replace(LOSS, threshold="prior").knowing(weak(8, positive=0.75).numpy())
    assert isinstance(loss, Buffered)
    assert hardened(loss, 1.0, 2.0, 3.0, 4.0) == [0, 1, 1, 1]  # a quarter lies below 1.75


def test_who_only_asks_what_a_loss_would_be_is_forgotten():
    loss = LOSS.knowing(weak(8).numpy())
    loss(torch.zeros(2, 2, dtype=torch.float64), weak(2), 1.0)
    assert loss.memory == []  # type: ignore[attr-defined]


def test_where_batch_and_buffer_are_one_it_is_the_confidence_loss():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    q = torch.rand(6, 1, generator=rng, dtype=torch.float64)
    labels = torch.cat([1 - q, q], 1)
    loss = replace(LOSS, buffer=6, warmup=0.5).knowing(labels.numpy())
    plain = ConfidenceLoss(alpha_max=0.5, warmup=0.5)
    for progress in (0.0, 0.3, 1.0):
        torch.testing.assert_close(loss(logits, labels, progress), plain(logits, labels, progress))
    assert loss.coefficients(0.25) == plain.coefficients(0.25)


def test_a_value_is_no_loss_of_one_training():
    with pytest.raises(ValueError, match="knowing comes first"):
        LOSS(logits_of(1.0), weak(1), 1.0)
    three = setting(Toy(head=Choice(classes=3)))
    with pytest.raises(Impossible, match="BufferedConfidence needs two classes"):
        Cell(three, Naive("own", LOSS))
