"""The exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from w2sweep.learning.checkpoint import learned


class Average:
    """What the parameters of a model that learn have been on average, in fp32.

    Args:
        net: the model.
        decay: as `Recipe.ema`; 0: nothing is averaged.
        values: the average so far, by name, which it keeps up to date; empty at the start, where it
            is what the parameters are.
    """

    def __init__(self, net: nn.Module, decay: float, values: dict[str, Tensor]):
        self.decay, self.values = decay, values
        self.of = learned(net) if decay else {}
        for name, p in self.of.items():
            start = values.pop(name, p)  # and in again, in the order of the parameters
            values[name] = start.detach().to(p.device, torch.float32, copy=True)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the parameters as they are behind so many steps."""
        if not self.of:
            return
        now = [p.float() for p in self.of.values()]
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, new in zip(self.values.values(), now, strict=True):
            mean.lerp_(new, 1 - decay)

    @torch.no_grad()
    def put(self) -> None:
        """Gives the model its average for good."""
        for name, p in self.of.items():
            p.copy_(self.values[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has its average for a while."""
        kept = [p.detach().clone() for p in self.of.values()]
        self.put()
        try:
            yield
        finally:
            with torch.no_grad():
                for p, before in zip(self.of.values(), kept, strict=True):
                    p.copy_(before)
