"""How far a model in bf16 is from itself in fp32, by two ways of computing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from w2sweep.learning.batches import Batch

StatesOf = Callable[[Any, Batch], Tensor | None]


def in_bf16() -> torch.autocast:
    """What a trainer computes in with mixed precision on a CPU."""
    return torch.autocast("cpu", torch.bfloat16)


def check_rounding(
    theirs: StatesOf, ours: StatesOf, make: Callable[[], nn.Module], batch: Batch, models: int = 15
) -> None:
    """Final states in bf16 by `ours`, and gradients, are no further from those in fp32 than by
    `theirs`: the median over models made alike, for single ones are nearer or further by chance."""
    found = []
    for seed in range(models):
        lm = make()
        torch.manual_seed(seed)
        with torch.no_grad():
            for p in lm.parameters():
                p.mul_(1 + 0.3 * torch.randn_like(p))
        exact = _found(theirs, lm, batch)
        with in_bf16():
            by_them, by_us = _found(theirs, lm, batch), _found(ours, lm, batch)
        pairs = zip(by_us, by_them, exact, strict=True)
        found.append(torch.stack([(us - x).norm() / (them - x).norm() for us, them, x in pairs]))
    errors = torch.stack(found)
    assert errors.min() > 0  # else it would have been fp32
    assert errors.median(0).values.max() < 1.1


def _found(states_of: StatesOf, lm: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Final states, and the gradients of a sum of them with random signs."""
    states = states_of(lm, batch)
    assert states is not None
    signs = torch.randint(2, states.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return states.detach().flatten(), flat_gradients(lm, (states * signs).sum())


def flat_gradients(lm: nn.Module, loss: Tensor) -> Tensor:
    """Of all parameters that have one, in one row."""
    lm.zero_grad()
    loss.backward()
    given = [p.grad for p in lm.parameters() if p.grad is not None]
    return torch.cat([gradient.flatten() for gradient in given])
