"""Cross-entropy, and its form that forgives wrong labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from w2sweep.experiment.losses.base import Loss
from w2sweep.values import value

if TYPE_CHECKING:
    from torch import Tensor


@value
class CrossEntropy(Loss):
    """Cross-entropy with the labels as they come, or hardened to their most likely class."""

    hard: bool = False

    def __call__(self, logits: Tensor, targets: Tensor, progress: float = 1.0) -> Tensor:
        from torch.nn.functional import cross_entropy

        from w2sweep.learning.cross_entropy import cross_entropy_of_classes

        if self.hard and targets.ndim == 2:
            targets = targets.argmax(-1)
        if targets.ndim == 1:
            return cross_entropy_of_classes(logits, targets)
        return cross_entropy(logits, targets)


@value
class GeneralizedCrossEntropy(Loss):
    """(1 - p_y^k) / k, where y is the weak label's most likely class: less is asked of a student
    where it finds the label unlikely.

    Zhang & Sabuncu 2018, arXiv 1805.07836, with their k = 0.7. Towards k = 0 it is
    cross-entropy with hard labels, at 1 it is 1 - p_y, the mean absolute error. Its gradient with
    respect to the logits is p_y^k times that of cross-entropy. Burns et al. 2023, appendix B, saw
    no gain.
    """

    kappa: Annotated[float, Field(gt=0, le=1)] = 0.7

    def __call__(self, logits: Tensor, targets: Tensor, progress: float = 1.0) -> Tensor:
        classes = targets.argmax(-1) if targets.ndim == 2 else targets
        log_p = logits.log_softmax(-1).gather(1, classes[:, None])
        return (1 - (self.kappa * log_p).exp()).mean() / self.kappa
