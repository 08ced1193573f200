"""Losses that learn something themselves from step to step: how much each supervisor counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from w2sweep.experiment.losses import Loss
from w2sweep.tasks.heads import Answers

SMALLEST = 1e-6
"""What a weight is kept above, so that it can grow again."""


class Remembering(Loss):
    """A loss with a memory of its own. One object is for one training, and is called once a step
    with the logits of the whole batch."""

    separable: ClassVar[bool] = False
    memory: list[float]
    """What it has to know to go on from a checkpoint."""


class Weighed(Remembering):
    """A loss of the labels q = sum_m w_m q_m of M supervisors, which learns w beside the student
    (`w2sweep.experiment.weighing.Weighing`).

    Its targets are the labels of all supervisors side by side, [B, M * K]: see `side_by_side`.

    Args:
        loss: what the student minimizes, given q.
        supervisors: M.
        lr: size of a step of w.
        agreed: the share of the steps in which those examples count that all supervisors agree on.
    """

    def __init__(self, loss: Loss, supervisors: int, lr: float, agreed: float):
        self.loss, self.supervisors, self.lr, self.agreed = loss, supervisors, lr, agreed
        self.memory = [1 / supervisors] * supervisors

    def __call__(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        each = targets.unflatten(1, (self.supervisors, -1))
        w = torch.tensor(self.memory, device=targets.device, dtype=targets.dtype)
        if progress < self.agreed:
            said = each.argmax(-1)
            agreed = (said == said[:, :1]).all(1)
            return self._of_some(logits[agreed], mixed(each[agreed], w), progress)
        learns = logits.requires_grad  # or somebody only wants to know
        loss = self.loss(logits, mixed(each, w.requires_grad_(learns)), progress)
        if learns:
            (slope,) = torch.autograd.grad(
                loss,
                w,
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,  # a loss of hard labels has no slope
            )
            self.memory = stepped(self.memory, slope.tolist(), self.lr)
        return loss

    def _of_some(self, logits: Tensor, labels: Tensor, progress: float) -> Tensor:
        """The loss of those examples of a batch that are left, a scalar; 0 where too few are."""
        enough = len(logits) >= self.loss.smallest_batch
        return self.loss(logits, labels, progress) if enough else logits.sum() * 0

    def coefficients(self, progress: float) -> dict[str, float]:
        weights = {f"weight_{m}": w for m, w in enumerate(self.memory, start=1)}
        return self.loss.coefficients(progress) | weights


def mixed(each: Tensor, w: Tensor) -> Tensor:
    """The labels of M supervisors [B, M, K] with their weights [M]: [B, K]."""
    return (w[:, None] * each).sum(1)


def stepped(weights: Sequence[float], slope: Sequence[float], lr: float) -> list[float]:
    """Weights on the simplex [M] after a step down a slope [M]: above zero, of sum 1."""
    moved = [max(w - lr * s, SMALLEST) for w, s in zip(weights, slope, strict=True)]
    return [w / sum(moved) for w in moved]


def side_by_side(labels: Sequence[Answers]) -> NDArray[np.float32]:
    """The labels of M supervisors [N, K] each, as targets of `Weighed` [N, M * K]."""
    return np.concatenate([np.asarray(its, dtype=np.float32) for its in labels], axis=1)
