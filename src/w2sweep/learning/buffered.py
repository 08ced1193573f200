"""A confidence loss that remembers the student's last answers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from w2sweep.experiment.losses import BufferedConfidence
from w2sweep.learning.weighing import Remembering


class Buffered(Remembering):
    """`BufferedConfidence` for one training. Its memory are the last answers, as differences of
    logits.

    Args:
        of: says how long the memory is, and how much the student's own labels weigh.
        positive: the share of answers that are of class 1.
    """

    def __init__(self, of: BufferedConfidence, positive: float):
        self.of, self.positive = of, positive
        self.memory = []

    def __call__(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        f = (logits[:, 1] - logits[:, 0]).detach()
        last = torch.cat([f.new_tensor(self.memory), f])[-self.of.buffer :]
        if logits.requires_grad:  # or somebody only wants to know
            self.memory = last.tolist()
        above = f > last.quantile(1 - self.positive)
        own = one_hot(above.long(), 2).to(targets.dtype)
        a = self.of.coefficients(progress)["alpha"]
        return cross_entropy(logits, (1 - a) * targets + a * own)

    def coefficients(self, progress: float) -> dict[str, float]:
        return self.of.coefficients(progress)
