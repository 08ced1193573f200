"""Products of matrices on a CPU that are made of fp32 numbers, or of the same numbers in bf16.

What is written out by hand decides itself what is rounded to bf16, so autocast is off within it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

F = TypeVar("F", bound=Callable)


def matmul_dtype() -> torch.dtype:
    """What matrices are to be multiplied in: bf16 within an autocast on CPUs, fp32 elsewhere."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32


def in_fp32(function: F) -> F:
    """Has a forward or backward pass compute what it says, also within an autocast."""

    @functools.wraps(function)
    def as_written(*arguments):
        if not torch.is_autocast_enabled("cpu"):
            return function(*arguments)
        with torch.autocast("cpu", enabled=False):
            return function(*arguments)

    return as_written  # type: ignore[return-value]


def plus_product(x: Tensor, a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """x + a @ b, in fp32, as x is."""
    if a.dtype is x.dtype:
        return torch.addmm(x, a, b, out=out)
    return torch.add(x, a @ b, out=out)


def add_product(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Adds a @ b to x, which is in fp32, and returns it."""
    return x.addmm_(a, b) if a.dtype is x.dtype else x.add_(a @ b)
