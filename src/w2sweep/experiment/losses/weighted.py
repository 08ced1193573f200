"""Cross-entropy on some of the examples more than on others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from w2sweep.experiment.losses.base import Loss, certainty
from w2sweep.tasks.heads import Answers
from w2sweep.values import Fraction, value

if TYPE_CHECKING:
    from torch import Tensor


@value
class ConfidenceWeight(Loss):
    """The mean of |2q - 1| CE(p, y), where y is the weak label's most likely class: the surer the
    supervisor, the more an example counts.

    Afzali et al. 2026, arXiv 2603.04968, equations 7 and 8, with preferences: a pair weighs
    2 (sigmoid(r+ - r-) - 1/2). Of any K the weight is (K max q - 1) / (K - 1). Public code
    (deanzedd/w2sg_uncertainty, cwpo_loss.py) divides by the sum of the batch's weights instead of
    its size: then a batch of unsure labels pulls as hard as one of sure ones, and micro-batches do
    not add up.
    """

    soft: ClassVar[bool] = True

    hard: bool = True
    """False: CE(p, q), with the probabilities as they are."""

    def __call__(self, logits: Tensor, targets: Tensor, progress: float = 1.0) -> Tensor:
        from torch.nn.functional import cross_entropy

        labels = targets.argmax(-1) if self.hard else targets
        return (certainty(targets) * cross_entropy(logits, labels, reduction="none")).mean()


@value
class ConfidenceWindow(Loss):
    """CE(p, q) where max p is below a limit, and nothing elsewhere: a student that is sure already
    learns no more of the example. The sum is divided by the size of the batch.

    EleutherAI, w2s (`confidence_window_loss`, w2s/loss.py), where the limit is 1/2 + r, with r =
    0.15 or, `midweak`, the median of |q - 1/2| over all labels that the student learns: a
    documented negative. The median of max q is the same, of any K.
    """

    soft: ClassVar[bool] = True

    below: Fraction | Literal["median"] = "median"
    """The limit; `median`: that of the weak labels' largest probabilities."""

    def knowing(self, labels: Answers) -> Self:
        """The loss that knows its limit, by all labels [N, K]."""
        import numpy as np

        if self.below != "median":
            return self
        return replace(self, below=float(np.median(np.asarray(labels).max(-1))))

    def __call__(self, logits: Tensor, targets: Tensor, progress: float = 1.0) -> Tensor:
        from torch.nn.functional import cross_entropy

        if self.below == "median":
            raise ValueError("expected a loss that knows its labels: Loss.knowing comes first")
        unsure = logits.detach().softmax(-1).amax(-1) < self.below
        return (unsure * cross_entropy(logits, targets, reduction="none")).mean()
