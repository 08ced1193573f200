"""What a loss is, and what most losses are made of.

A loss maps (logits [B, K], targets, progress in 0..1) to a scalar, the mean over the batch. Targets
are class probabilities [B, K], or class indices [B] where the labels are hard (the tokens of a
completion).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from w2sweep.tasks.heads import Answers

if TYPE_CHECKING:  # the command line reads losses long before it needs torch
    from torch import Tensor


class Loss:
    """What a student minimizes."""

    separable: ClassVar[bool] = True
    """Whether it is the mean of a loss per example, so that micro-batches may be added up one by
    one."""
    binary: ClassVar[bool] = False
    """Whether it only makes sense with K = 2."""
    soft: ClassVar[bool] = False
    """Whether it only makes sense with probabilities as labels: with hard ones, such as the tokens
    of a completion, it is another loss or none."""
    remembers: ClassVar[bool] = False
    """Whether it looks back at earlier batches."""
    smallest_batch: ClassVar[int] = 1
    """Examples that a batch must have for it to make sense."""

    def __call__(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        """The loss of a batch: [B, K], [B, K] or [B], share of the steps done -> scalar."""
        raise NotImplementedError

    def knowing(self, labels: Answers) -> Loss:
        """What one student minimizes, told before its first step all the labels that it is about to
        learn."""
        return self

    def coefficients(self, progress: float) -> dict[str, float]:
        """What to log beside the loss."""
        return {}


def as_probabilities(targets: Tensor, logits: Tensor) -> Tensor:
    """Targets as probabilities [B, K]: class indices [B] become one-hot."""
    from torch.nn.functional import one_hot

    if targets.ndim == 2:
        return targets
    return one_hot(targets, logits.shape[1]).to(logits.dtype)


def smoothed(q: Tensor, epsilon: float) -> Tensor:
    """(1 - epsilon) q + epsilon / K: probabilities [B, K] none of which is zero."""
    return (1 - epsilon) * q + epsilon / q.shape[-1]


def certainty(q: Tensor) -> Tensor:
    """How sure probabilities [B, K] are: (K max q - 1) / (K - 1), from 0 where all classes are
    equally likely to 1 where one is certain [B]. Of two classes it is |2q - 1|."""
    classes = q.shape[-1]
    return (classes * q.amax(-1) - 1) / (classes - 1)


def grown(largest: float, warmup: float, progress: float) -> float:
    """A coefficient that grows linearly from 0 to `largest` over the share `warmup` of training."""
    return largest * (min(1.0, progress / warmup) if warmup else 1.0)
