"""Reverse losses: the expectation is over the student's answers p, not over the weak labels q, so
that an example counts the more the surer the supervisor is.

Labels are smoothed to (1 - e) q + e / K, that a hard one does not cost infinitely much to doubt.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field

from w2sweep.experiment.losses.base import Loss, as_probabilities, certainty, smoothed
from w2sweep.tasks.heads import Answers
from w2sweep.values import Fraction, value

if TYPE_CHECKING:
    from torch import Tensor

Smoothing = Annotated[float, Field(gt=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]


def _reverse(logits: Tensor, targets: Tensor, epsilon: float) -> Tensor:
    """The reverse cross-entropy of each example [B]."""
    log_q = smoothed(as_probabilities(targets, logits), epsilon).log()
    return -(logits.softmax(-1) * log_q).sum(-1)


def _forward(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of each example [B]."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits, targets, reduction="none")


@value
class ReverseCrossEntropy(Loss):
    """-sum_k p_k log q_k. With respect to the logits z its gradient is p_k (c_k - sum_j p_j c_j),
    where c_k = -log q_k; of two classes, -p (1 - p) logit(q): an example pulls with the log-odds of
    its label, and never stops doing so, for the minimum is to be certain of the likelier class.

    Yao et al. 2025, arXiv 2502.11107; arXiv 2505.24313. The latter's code (W2SG-Bregman,
    weak_to_strong/loss.py) has a `reverse_xent_loss` that calls `cross_entropy(labels, logits)`:
    softmax of the labels against raw logits, which has no minimum at all. Its `reverse_bce_loss` is
    right; its logarithms are cut at -100, and epsilon is 0.
    """

    epsilon: Smoothing = 1e-3

    def __call__(self, logits: Tensor, targets: Tensor, progress: float = 1.0) -> Tensor:
        return _reverse(logits, targets, self.epsilon).mean()


@value
class ReverseKL(Loss):
    """sum_k p_k log(p_k / q_k), reverse cross-entropy minus the entropy of p: zero where p is q.

    Yao et al. 2025, arXiv 2502.11107. In the code of arXiv 2505.24313 the mean is over examples and
    classes (`kl_div` without `batchmean`): half as much with two classes.
    """

    epsilon: Smoothing = 1e-3

    def __call__(self, logits: Tensor, targets: Tensor, progress: float = 1.0) -> Tensor:
        log_p = logits.log_softmax(-1)
        negative_entropy = (log_p.exp() * log_p).sum(-1)
        return (_reverse(logits, targets, self.epsilon) + negative_entropy).mean()


@value
class SymmetricCrossEntropy(Loss):
    """`forward` times cross-entropy, plus `reverse` times reverse cross-entropy.

    Wang et al. 2019, arXiv 1908.06112; arXiv 2505.24313, with its weights 1 and 0.1. Code for hard
    labels cuts these at 1e-4 instead of smoothing them, and then they sum to more than one.
    """

    forward: Weight = 1.0
    reverse: Weight = 0.1
    epsilon: Smoothing = 1e-3

    def __call__(self, logits: Tensor, targets: Tensor, progress: float = 1.0) -> Tensor:
        forward = _forward(logits, targets)
        reverse = _reverse(logits, targets, self.epsilon)
        return (self.forward * forward + self.reverse * reverse).mean()


@value
class ConfidenceAdaptive(Loss):
    """Cross-entropy where the supervisor is sure, |q - 1/2| >= c, and reverse cross-entropy, which
    such labels move little, where it is not (CACE).

    arXiv 2505.24313. c is set so that the share `unsure` of all labels that the student learns
    counts as such (`Quan_CACE_5` in its code: half of them), by (K max q - 1) / (K - 1), which is
    |2q - 1| of two classes. The code's other default, c = 0.01, leaves plain cross-entropy on
    nearly all examples.
    """

    soft: ClassVar[bool] = True

    unsure: Fraction = 0.5
    epsilon: Smoothing = 1e-3
    sure_from: float | None = None
    """The certainty from which on a label is sure, given in place of `unsure`."""

    def knowing(self, labels: Answers) -> Self:
        """The loss that knows from where on a label is sure, by all labels [N, K]."""
        import torch

        if self.sure_from is not None:
            return self
        sure = certainty(torch.as_tensor(labels)).quantile(self.unsure)
        return replace(self, sure_from=float(sure))

    def __call__(self, logits: Tensor, targets: Tensor, progress: float = 1.0) -> Tensor:
        if self.sure_from is None:
            raise ValueError("expected a loss that knows its labels: Loss.knowing comes first")
        sure = certainty(targets) >= self.sure_from
        reverse = _reverse(logits, targets, self.epsilon)
        return _forward(logits, targets).where(sure, reverse).mean()
