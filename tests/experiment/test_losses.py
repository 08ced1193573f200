"""Losses: their arithmetic, their schedule, and what no gradient may flow through."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close
from toys import setting

from w2sweep.experiment.cell import Cell
from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy
from w2sweep.experiment.methods import Naive
from w2sweep.experiment.recipe import Recipe
from w2sweep.values import Impossible


def log_odds(positive: list[float]) -> Tensor:
    """Logits [B, 2] whose softmax gives these probabilities of class 1."""
    p = torch.tensor(positive, dtype=torch.float64)
    return torch.stack([(1 - p).log(), p.log()], dim=-1)


def probabilities(positive: list[float]) -> Tensor:
    p = torch.tensor(positive, dtype=torch.float64)
    return torch.stack([1 - p, p], dim=-1)


def test_cross_entropy_on_soft_labels():
    # targets .25, .75 on predictions .5, .5: -(.25 ln .5 + .75 ln .5) = ln 2
    # .9 for a certain 1: -ln .9
    loss = CrossEntropy()(log_odds([0.5, 0.9]), probabilities([0.75, 1.0]))
    assert_close(loss.item(), (math.log(2) - math.log(0.9)) / 2)


def test_hard_labels_are_the_most_likely_class():
    # .6 becomes 1, .2 becomes 0: -ln .7 and -ln (1 - .4)
    loss = CrossEntropy(hard=True)(log_odds([0.7, 0.4]), probabilities([0.6, 0.2]))
    assert_close(loss.item(), -(math.log(0.7) + math.log(0.6)) / 2)


def test_class_indices_are_labels_too():
    loss = CrossEntropy()(log_odds([0.7, 0.4]), torch.tensor([1, 0]))
    assert_close(loss.item(), -(math.log(0.7) + math.log(0.6)) / 2)


def test_class_indices_have_the_gradient_of_torchs_own_cross_entropy():
    rng = torch.Generator().manual_seed(0)
    ours = torch.randn(5, 7, generator=rng, dtype=torch.float64).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    classes = torch.tensor([6, 0, 3, 3, 1])
    (3 * CrossEntropy()(ours, classes)).backward()
    (3 * torch.nn.functional.cross_entropy(theirs, classes)).backward()
    assert_close(ours.grad, theirs.grad)


def test_a_class_that_is_ruled_out_has_a_finite_loss_and_a_gradient_that_mends_it():
    logits = torch.tensor([[0.0, -1e4]], requires_grad=True)
    loss = CrossEntropy()(logits, torch.tensor([1]))
    loss.backward()
    assert 80 < loss.item() < math.inf
    assert_close(logits.grad, torch.tensor([[1.0, -1.0]]))


def test_no_loss_is_told_where_a_model_has_diverged():
    assert math.isnan(CrossEntropy()(torch.tensor([[0.0, math.nan]]), torch.tensor([0])).item())


def test_confidence_loss_mixes_weak_and_hardened_targets():
    # median between .4 and .6: the first two harden to 1, the others to 0
    logits = log_odds([0.9, 0.6, 0.4, 0.1])
    weak = probabilities([0.2, 0.8, 0.8, 0.2])
    # alpha .5: targets .6, .9, .4, .1; CE(.9, .6) = -.6 ln .9 - .4 ln .1 = .9843, ...
    expected = (0.9843 + 0.5514 + 0.6730 + 0.3251) / 4
    found = ConfidenceLoss(alpha_max=0.5)(logits, weak, progress=1.0).item()
    assert found == pytest.approx(expected, abs=1e-4)


def test_the_prior_threshold_hardens_as_many_as_the_weak_labels_say():
    logits = log_odds([0.99, 0.97, 0.95, 0.9])  # all sure of class 1: only their order counts
    weak = probabilities([0.1, 0.4, 0.2, 0.3])  # one in four on average
    hardened = ConfidenceLoss(threshold="prior").hardened(logits, weak)
    assert hardened[:, 1].tolist() == [1, 0, 0, 0]


WEAK = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
BATCHES = st.lists(st.tuples(st.sampled_from([-2.0, -1.0, 0.0, 3.0]), WEAK), min_size=2)


def hardened(loss: ConfidenceLoss, f: list[float], weak: list[float]) -> Tensor:
    """Which of a batch with these differences of logits are of class 1 [B]."""
    logits = torch.tensor([[0.0, x] for x in f], dtype=torch.float64)
    return loss.hardened(logits, probabilities(weak))[:, 1]


@given(BATCHES)
def test_exactly_half_of_a_batch_is_hardened_to_each_class_whatever_is_equal(
    batch: list[tuple[float, float]],
):
    f, weak = zip(*batch, strict=True)
    positive = hardened(ConfidenceLoss(), list(f), list(weak))
    assert abs(float(positive.sum()) - len(batch) / 2) <= 0.5
    highest = max(x for x, is_1 in zip(f, positive, strict=True) if not is_1)
    assert all(x >= highest for x, is_1 in zip(f, positive, strict=True) if is_1)


@given(BATCHES.filter(lambda batch: len(batch) % 2))
def test_the_middle_one_of_an_odd_batch_goes_where_its_weak_label_says(
    batch: list[tuple[float, float]],
):
    f, weak = zip(*batch, strict=True)
    middle = sorted(batch, reverse=True)[len(batch) // 2]
    positive = hardened(ConfidenceLoss(), list(f), list(weak))
    assert positive.sum() == len(batch) // 2 + (middle[1] > 0.5)


def test_of_equal_answers_those_are_positive_whose_weak_labels_say_so():
    assert hardened(ConfidenceLoss(), [1.0] * 4, [0.1, 0.9, 0.3, 0.6]).tolist() == [0, 1, 0, 1]
    assert hardened(ConfidenceLoss(), [1.0] * 4, [0.5] * 4).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("weak", "positives"),
    [([0.9] * 4, 4), ([0.7, 0.7, 0.7, 0.7], 3), ([0.4, 0.4, 0.3, 0.2], 1), ([0.1] * 4, 0)],
)
def test_the_prior_threshold_rounds(weak: list[float], positives: int):
    f = [0.1, 0.2, 0.3, 0.4]
    assert hardened(ConfidenceLoss(threshold="prior"), f, weak).sum() == positives


def test_a_batch_of_one_has_no_half():
    recipe = Recipe(epochs=1, batch_size=1)
    method = Naive("confidence", ConfidenceLoss())
    cause = "ConfidenceLoss compares the examples of a batch.*raise recipe.batch_size, which is 1"
    with pytest.raises(Impossible, match=cause):
        Cell(setting(recipe=recipe), method)
    assert Cell(setting(recipe=recipe), Naive("naive", CrossEntropy()))


@pytest.mark.parametrize(
    ("progress", "alpha"),
    [(0.0, 0.0), (0.05, 0.1875), (0.1, 0.375), (0.2, 0.75), (0.2001, 0.75), (1.0, 0.75)],
)
def test_alpha_grows_linearly_over_the_first_fifth(progress: float, alpha: float):
    assert ConfidenceLoss(alpha_max=0.75).alpha(progress) == pytest.approx(alpha)


def test_without_warmup_alpha_is_there_from_the_start():
    assert ConfidenceLoss(alpha_max=0.5, warmup=0.0).alpha(0.0) == 0.5


@given(st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(0, 1)), min_size=1, max_size=20))
def test_alpha_zero_is_cross_entropy(points: list[tuple[float, float]]):
    said, taught = (list(x) for x in zip(*points, strict=True))
    logits, weak = log_odds(said), probabilities(taught)
    assert_close(ConfidenceLoss(alpha_max=0.0)(logits, weak, 1.0), CrossEntropy()(logits, weak))
    assert_close(ConfidenceLoss(alpha_max=0.9)(logits, weak, 0.0), CrossEntropy()(logits, weak))


def test_no_gradient_flows_through_the_hardened_labels():
    """The gradient with respect to the logits is that of cross-entropy with fixed targets:
    (softmax - target) / B."""
    logits = log_odds([0.9, 0.6, 0.4, 0.1]).requires_grad_()
    ConfidenceLoss(alpha_max=0.5)(logits, probabilities([0.2, 0.8, 0.8, 0.2]), 1.0).backward()
    assert logits.grad is not None
    softmax, targets = torch.tensor([0.9, 0.6, 0.4, 0.1]), torch.tensor([0.6, 0.9, 0.4, 0.1])
    assert_close(logits.grad[:, 1], (softmax - targets).double() / 4)


def test_only_the_confidence_loss_looks_at_the_whole_batch():
    assert CrossEntropy().separable
    assert not ConfidenceLoss().separable
