"""Losses of methods after the paper: their arithmetic by hand, their gradients by formula, and what
public code gets wrong."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Categorical, kl_divergence
from torch.nn.functional import cross_entropy, one_hot
from torch.testing import assert_close
from toys import Toy, ToyCompletions, setting

from w2sweep.experiment.cell import Cell
from w2sweep.experiment.losses import (
    AdaptConf,
    BalancedLabels,
    ConfidenceAdaptive,
    ConfidenceLoss,
    ConfidenceWeight,
    ConfidenceWindow,
    CrossEntropy,
    EntropyLoss,
    GeneralizedCrossEntropy,
    LabelSmoothing,
    Loss,
    ProductLabels,
    ReverseCrossEntropy,
    ReverseKL,
    SymmetricCrossEntropy,
)
from w2sweep.experiment.methods import Naive
from w2sweep.tasks.heads import Choice
from w2sweep.values import Impossible

GEOMETRIC = ProductLabels(weak=0.5, own=0.5)
LOSSES: list[Loss] = [
    CrossEntropy(),
    CrossEntropy(hard=True),
    LabelSmoothing(),
    BalancedLabels(),
    GeneralizedCrossEntropy(),
    ReverseCrossEntropy(),
    ReverseKL(),
    SymmetricCrossEntropy(),
    ConfidenceAdaptive(sure_from=0.3),
    ConfidenceWeight(),
    ConfidenceWeight(hard=False),
    ConfidenceWindow(below=0.7),
    AdaptConf(),
    ProductLabels(),
    GEOMETRIC,
    EntropyLoss(),
]
ids = repr


def logits_of(*rows: tuple[float, ...]) -> Tensor:
    """Logits [B, K] whose softmax gives these probabilities, and that learn."""
    shift = torch.arange(len(rows)).double()[:, None]  # logits are no log-probabilities
    return (torch.tensor(rows, dtype=torch.float64).log() + shift).requires_grad_()


def labels(*rows: tuple[float, ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def gradient(loss: Loss, logits: Tensor, targets: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(loss(logits, targets, 1.0), logits)
    return found


P, Q = (0.2, 0.8), (0.4, 0.6)
CE, RCE, H = 0.77766, 0.59192, 0.50040
"""-(.4 ln .2 + .6 ln .8); -(.2 ln .4 + .8 ln .6); -(.2 ln .2 + .8 ln .8)."""


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (ReverseCrossEntropy(epsilon=1e-9), RCE),
        (ReverseKL(epsilon=1e-9), RCE - H),
        (SymmetricCrossEntropy(epsilon=1e-9), CE + 0.1 * RCE),
        (SymmetricCrossEntropy(2.0, 3.0, 1e-9), 2 * CE + 3 * RCE),
        (ConfidenceWeight(hard=False), 0.2 * CE),  # |2 * .6 - 1| = .2
        (ConfidenceWeight(), 0.2 * 0.22314),  # -ln .8
        (GeneralizedCrossEntropy(), (1 - 0.85539) / 0.7),  # .8^.7
        (GeneralizedCrossEntropy(kappa=1.0), 0.2),
        (EntropyLoss(alpha_max=0.25), 0.75 * CE + 0.25 * H),
        # .2 * .4 to .8 * .6 is 1 to 6
        (ProductLabels(), -(math.log(0.2) + 6 * math.log(0.8)) / 7),
        # the square roots of these
        (GEOMETRIC, -(math.log(0.2) + math.sqrt(6) * math.log(0.8)) / (1 + math.sqrt(6))),
        # .9 * .4 + .1 / 2 = .41
        (LabelSmoothing(), -(0.41 * math.log(0.2) + 0.59 * math.log(0.8))),
    ],
    ids=ids,
)
def test_two_classes_by_hand(loss: Loss, expected: float):
    assert loss(logits_of(P), labels(Q), 1.0).item() == pytest.approx(expected, abs=1e-4)


def test_smoothing_makes_a_hard_label_of_finite_cost():
    # (1 - .1) * (0, 1) + .05 = (.05, .95), for a student that says (.5, .5)
    loss, expected = ReverseCrossEntropy(epsilon=0.1), -(math.log(0.05) + math.log(0.95)) / 2
    logits = logits_of((0.5, 0.5))
    assert loss(logits, torch.tensor([1])).item() == pytest.approx(expected)
    assert loss(logits, labels((0.0, 1.0))).item() == pytest.approx(expected)


THREE_P, THREE_Q = (0.5, 0.3, 0.2), (0.1, 0.3, 0.6)


def test_reverse_cross_entropy_has_the_gradient_of_its_formula():
    """p_k (c_k - sum_j p_j c_j) with c = -ln q; of two classes, -p (1 - p) ln(q / (1 - q))."""
    loss = ReverseCrossEntropy(epsilon=1e-9)
    p, c = torch.tensor(THREE_P).double(), -labels(THREE_Q)[0].log()
    found = gradient(loss, logits_of(THREE_P), labels(THREE_Q))
    assert_close(found[0], p * (c - (p * c).sum()), atol=1e-6, rtol=0)
    (two,) = gradient(loss, logits_of(P), labels(Q))
    assert two[1].item() == pytest.approx(-0.16 * math.log(1.5), abs=1e-6)


def test_reverse_cross_entropy_is_not_cross_entropy_called_the_wrong_way_around():
    """`cross_entropy(labels, logits)` takes the softmax of labels and has the same pull whatever
    the student says; and it depends on what is added to all logits."""
    logits, q = logits_of(P), labels(Q)
    found = gradient(ReverseCrossEntropy(), logits, q)
    (wrong,) = torch.autograd.grad(cross_entropy(q, logits), logits)
    assert not torch.allclose(found, wrong, atol=0.1)
    assert_close(found.sum().item(), 0.0)  # as nothing is gained by raising all logits
    assert wrong.sum() > 1
    surer = gradient(ReverseCrossEntropy(), logits, labels((4 / 13, 9 / 13)))  # twice the log-odds
    assert_close(surer, 2 * found, rtol=0.01, atol=0)


def test_reverse_kl_is_torchs_divergence_of_student_from_label():
    p, q = Categorical(torch.tensor(THREE_P)), Categorical(torch.tensor(THREE_Q))
    found = ReverseKL(epsilon=1e-6)(logits_of(THREE_P), labels(THREE_Q))
    assert found.item() == pytest.approx(kl_divergence(p, q).item(), abs=1e-4)
    assert_close(gradient(ReverseKL(1e-9), logits_of(P), labels(P)), torch.zeros(1, 2).double())


def test_cace_is_forward_where_the_supervisor_is_sure_and_reverse_elsewhere():
    logits, q = logits_of(P, P, P), labels((0.4, 0.6), (0.1, 0.9), (0.05, 0.95))
    loss = ConfidenceAdaptive(unsure=0.5, epsilon=1e-9).knowing(q.numpy())
    # the middle certainty is .8, of which the second label just is
    sure = [-(weak * math.log(0.8) + (1 - weak) * math.log(0.2)) for weak in (0.9, 0.95)]
    assert loss(logits, q).item() == pytest.approx((RCE + sum(sure)) / 3, abs=1e-4)
    given = ConfidenceAdaptive(sure_from=0.0)
    assert given.knowing(q.numpy()) == given
    assert_close(given(logits, q), CrossEntropy()(logits, q))
    with pytest.raises(ValueError, match="knows its labels"):
        ConfidenceAdaptive()(logits, q)


def test_how_sure_a_label_is_goes_from_uniform_to_certain_for_any_number_of_classes():
    # of three classes (3 max q - 1) / 2: 0, .4, 1
    q = labels((1 / 3, 1 / 3, 1 / 3), (0.6, 0.3, 0.1), (0.0, 1.0, 0.0))
    logits = logits_of(*[THREE_P] * 3)
    expected = (0.4 * -math.log(0.5) + -math.log(0.3)) / 3
    assert ConfidenceWeight()(logits, q).item() == pytest.approx(expected)


def test_a_window_is_closed_where_the_student_is_sure():
    logits, q = logits_of((0.1, 0.9), (0.45, 0.55)), labels((0.7, 0.3), Q)
    loss = ConfidenceWindow(below=0.65)
    own = -(0.4 * math.log(0.45) + 0.6 * math.log(0.55))
    assert loss(logits, q).item() == pytest.approx(own / 2)  # over the whole batch
    # (p - q) / B of the second alone
    expected = torch.tensor([[0.0, 0.0], [0.025, -0.025]]).double()
    assert_close(gradient(loss, logits, q), expected)
    known = ConfidenceWindow().knowing(labels((0.9, 0.1), (0.4, 0.6), (0.3, 0.7)).numpy())
    assert known.below == pytest.approx(0.7)


def test_adapt_conf_by_hand():
    """The student says class 1 with .8, the label class 0 with .7. (.8 / .2)^(1 / .5) is 16, so
    that the student's own answer has a weight of 1 in 17."""
    logits, q = logits_of(P), labels((0.7, 0.3))
    divergence = 0.7 * math.log(0.7 / 0.2) + 0.3 * math.log(0.3 / 0.8)
    expected = (16 * divergence - math.log(0.8)) / 17
    assert AdaptConf()(logits, q).item() == pytest.approx(expected)
    # no gradient through the weight: (16 (p - q) + (p - y_p)) / 17
    (found,) = gradient(AdaptConf(), logits, q)
    assert found[1].item() == pytest.approx((16 * 0.5 - 0.2) / 17)


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.integers(0, 2))
def test_adapt_conf_never_trusts_the_student_more_than_its_supervisor(z: list[float], y: int):
    """It falls from 1/2, where both name the same class, towards 0 the surer the student is of
    another one."""
    logits = torch.tensor([z], dtype=torch.float64, requires_grad=True)
    q = one_hot(torch.tensor([y]), 3).double()
    p, own = logits.detach().softmax(-1), one_hot(logits.argmax(-1), 3)
    (found,) = gradient(AdaptConf(), logits, q)
    b = (p[0, y] ** 2 / (p[0, y] ** 2 + p.max() ** 2)).item()
    assert b <= 0.5
    assert_close(found, (p - (1 - b) * q - b * own)[0])


def test_the_geometric_mean_stops_where_cross_entropy_does_and_the_product_goes_on():
    logits, q = logits_of(Q), labels(Q)
    assert_close(gradient(GEOMETRIC, logits, q), torch.zeros(1, 2).double())
    # .4 * .4 to .6 * .6 is 4 to 9; p - 9 / 13
    (further,) = gradient(ProductLabels(), logits, q)
    assert further[1].item() == pytest.approx(0.6 - 9 / 13)


def test_a_product_of_probabilities_that_underflow_is_no_zero_by_zero():
    logits = torch.tensor([[0.0, 200.0]], requires_grad=True)
    loss = ProductLabels()(logits, torch.tensor([[1.0, 0.0]]))
    (found,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite()
    assert found.isfinite().all()


@pytest.mark.parametrize("kappa", [0.3, 0.7, 1.0])
def test_generalized_cross_entropy_asks_less_of_unlikely_labels(kappa: float):
    """Its gradient is that of cross-entropy with the hard label, times p_y^kappa."""
    logits, y = logits_of(THREE_P), torch.tensor([2])
    expected = gradient(CrossEntropy(), logits, y) * 0.2**kappa
    assert_close(gradient(GeneralizedCrossEntropy(kappa), logits, y), expected)
    near = GeneralizedCrossEntropy(kappa=1e-6)(logits, y)
    assert_close(near, CrossEntropy()(logits, y), atol=1e-5, rtol=0)


def test_the_gradient_flows_through_the_entropy():
    """(1 - a) (p - q) - a p (1 - p) ln(p / (1 - p)): a student that is surer than its label is made
    still surer. Detached, as in public code, it is (1 - a) (p - q), which pulls the other way."""
    (found,) = gradient(EntropyLoss(alpha_max=0.5), logits_of(P), labels(Q))
    assert found[1].item() == pytest.approx(0.5 * 0.2 - 0.5 * 0.16 * math.log(4))
    assert found[1] < 0
    scaled = 0.5 * gradient(CrossEntropy(), logits_of(P), labels(Q))
    assert scaled[0, 1] > 0


def test_the_weight_of_the_entropy_grows():
    loss = EntropyLoss(alpha_max=0.6, warmup=0.5)
    logits, q = logits_of(P), labels(Q)
    assert loss(logits, q, 0.0).item() == pytest.approx(CE, abs=1e-4)
    assert loss(logits, q, 0.25).item() == pytest.approx(0.7 * CE + 0.3 * H, abs=1e-4)
    assert loss.coefficients(0.25) == {"alpha": pytest.approx(0.3)}


def test_balanced_labels_have_log_odds_of_mean_zero():
    # log-odds 1 and 3 become -1 and 1
    odds = [1 / (1 + math.exp(-x)) for x in (1.0, 3.0)]
    q = labels(*[(1 - x, x) for x in odds])
    half = 1 / (1 + math.exp(-1.0))
    expected = CrossEntropy()(logits_of(P, P), labels((half, 1 - half), (1 - half, half)))
    assert_close(BalancedLabels()(logits_of(P, P), q), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_a_loss_that_is_separable_is_the_mean_over_examples(loss: Loss):
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 3, generator=rng, dtype=torch.float64)
    q = torch.randn(6, 3, generator=rng, dtype=torch.float64).softmax(-1)
    alone = [loss(z[None], weak[None], 0.5) for z, weak in zip(logits, q, strict=True)]
    same = torch.allclose(loss(logits, q, 0.5), torch.stack(alone).mean())
    assert same == loss.separable


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_losses_and_their_gradients_are_finite_whatever_is_said(loss: Loss):
    logits = torch.tensor([[0.0, 90.0], [90.0, 0.0], [0.0, 0.0]], requires_grad=True)
    q = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert loss(logits, q, 1.0).isfinite()
    assert loss(logits, q, 1.0) >= -1e-6
    assert gradient(loss, logits, q).isfinite().all()


@pytest.mark.parametrize("loss", LOSSES, ids=ids)
def test_tokens_are_labels_too_or_it_is_said_before_anything_runs(loss: Loss):
    """Class indices are one-hot labels; what is soft has nothing to say of them."""
    s, method = setting(ToyCompletions()), Naive("own", loss)
    if loss.soft:
        with pytest.raises(Impossible, match="needs probabilities as labels, but task toy_compl"):
            Cell(s, method)
        return
    assert Cell(s, method)
    logits, tokens = torch.randn(4, 5), torch.tensor([0, 4, 2, 2])
    assert_close(loss(logits, tokens, 0.5), loss(logits, one_hot(tokens, 5).float(), 0.5))


def test_a_loss_for_two_classes_is_refused_where_there_are_three():
    three = setting(Toy(head=Choice(classes=3)))
    with pytest.raises(Impossible, match="needs two classes, but task toy has 3 classes"):
        Cell(three, Naive("confidence", ConfidenceLoss()))
    assert Cell(three, Naive("adapt_conf", AdaptConf()))
