"""How much a CPU computes at once: what its caches hold."""

from __future__ import annotations

import torch
from torch import nn

from w2sweep.learning import gpt2
from w2sweep.learning.model import Net

NUMBERS = 2**17
"""How many numbers the hidden states of one layer have that a CPU computes at once. Other arrays of
a layer are about four times as large, and two megabytes of fp32 is what the caches of a core hold.
With 16,384 tokens at once, answers of models of 0.2 to 3.5 million parameters took 1.8 to 3 times
as long."""
WITHOUT_PADDING = 2**18
"""The same, where a forward pass reads no padding: more tokens then cost nothing but memory. Of
1,365 and 2,048 tokens at once, models of 3.5 and 1 million parameters train 2 to 7 % faster than of
half as many."""
FEWEST = 512
"""Tokens that are computed at once however wide the model: matmuls of fewer rows are slow."""


def tokens_at_once(budget: int, net: nn.Module, device: torch.device) -> int:
    """Tokens in one forward pass of a model: as many as there is memory for, which is the budget,
    and on CPUs no more than what the caches hold. That spares padding too."""
    if device.type != "cpu" or not isinstance(net, Net):
        return budget
    numbers = WITHOUT_PADDING if gpt2.is_written_out(net.lm) else NUMBERS
    return min(budget, max(FEWEST, numbers // net.width))
