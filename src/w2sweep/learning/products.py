"""Products of matrices of fp32 numbers, or of the same numbers in bf16.

What is written out by hand decides itself what is rounded to bf16, so autocast is off within it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable)


def matmul_dtype(device: torch.device) -> torch.dtype:
    """What matrices are to be multiplied in there: bf16 within an autocast, fp32 elsewhere."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return torch.float32


def in_fp32(function: F) -> F:
    """Has a forward or backward pass, which is given its context and a tensor, compute what it
    says, also within an autocast."""

    @functools.wraps(function)
    def as_written(ctx: Any, x: Tensor, *rest: Any) -> Any:
        if not torch.is_autocast_enabled(x.device.type):
            return function(ctx, x, *rest)
        with torch.autocast(x.device.type, enabled=False):
            return function(ctx, x, *rest)

    return as_written  # type: ignore[return-value]


def plus_product(x: Tensor, a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """x + a @ b, in fp32, as x is; of one pair of matrices, or of a stack of them."""
    if a.dtype is x.dtype:
        add = torch.addmm if a.ndim == 2 else torch.baddbmm
        return add(x, a, b, out=out)
    return torch.add(x, a @ b, out=out)


def add_product(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Adds a @ b to x, which is in fp32, and returns it."""
    return x.addmm_(a, b) if a.dtype is x.dtype else x.add_(a @ b)
