"""Cross-entropy with weak labels that are changed before they are learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from w2sweep.experiment.losses.base import Loss
from w2sweep.values import Fraction, value

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 1e-7
"""Probabilities below it are as good as none: 16 nats of log-odds."""


@value
class LabelSmoothing(Loss):
    """CE(p, (1 - e) q + e / K): cross-entropy with labels that are a little less sure.

    Szegedy et al. 2016, arXiv 1512.00567, section 7. A control: methods that soften what a
    supervisor says have to do better than to soften all of it alike.
    """

    epsilon: Fraction = 0.1

    def __call__(self, logits: Tensor, targets: Tensor, progress: float = 1.0) -> Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, targets, label_smoothing=self.epsilon)


@value
class BalancedLabels(Loss):
    """CE(p, q'), where the log-odds of the weak labels are shifted so that their mean over the
    batch is zero: q' = sigmoid(logit q - mean logit q), as if both classes were equally frequent.

    Of any K it is q' = softmax(log q - mean log q). EleutherAI, w2s (`balance_batch`, w2s/loss.py),
    a documented negative. There it is of what one device has in a micro-batch: where that is a
    single example, every label becomes 1/2. Here it is of the whole batch, whatever fits into
    memory.
    """

    separable: ClassVar[bool] = False  # the mean is the whole batch's
    soft: ClassVar[bool] = True
    smallest_batch: ClassVar[int] = 2

    def __call__(self, logits: Tensor, targets: Tensor, progress: float = 1.0) -> Tensor:
        from torch.nn.functional import cross_entropy

        log_q = (targets + LEAST).log()
        return cross_entropy(logits, (log_q - log_q.mean(0)).softmax(-1))
