"""Work of one stage, spread over its ranks: processes that compute side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def ranks() -> int:
    """How many processes compute this stage."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is."""
    return dist.get_rank() if dist.is_initialized() else 0


def in_step(parts: Sequence[T]) -> Iterator[tuple[int, T, bool]]:
    """Every Nth part, with its number, and whether it counts. All ranks get as many: who would have
    one less does another one for nothing."""
    for start in range(0, len(parts), ranks()):
        own = start + rank()
        counts = own < len(parts)
        number = own if counts else len(parts) - 1
        yield number, parts[number], counts


def summed(tensor: Tensor) -> Tensor:
    """The sum of all ranks' tensors, the same on all of them, to the bit."""
    if ranks() > 1:
        dist.all_reduce(tensor)
    return tensor


def as_the_first(decision: bool, device: torch.device) -> bool:
    """What the first rank decides."""
    if ranks() == 1:
        return decision
    told = torch.tensor(decision, device=device)
    dist.broadcast(told, 0)
    return bool(told)
