"""Logits in fp32, of an unembedding in bf16."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from w2sweep.learning.hardware import autocast

AT_ONCE = 2**24
"""Numbers of the matrix that are in fp32 at a time."""


def in_fp32(linear: nn.Linear) -> None:
    """Makes a linear layer in bf16 multiply in fp32: in bf16 two words in a hundred would be
    equally likely."""
    linear.forward = partial(_logits, linear)  # pyright: ignore[reportAttributeAccessIssue]


def _logits(linear: nn.Linear, hidden: Tensor) -> Tensor:
    logits: Tensor = _Logits.apply(hidden, linear.weight)  # type: ignore[assignment]
    return logits if linear.bias is None else logits + linear.bias.float()


class _Logits(torch.autograd.Function):
    """[..., width], [vocabulary, width] -> [..., vocabulary], a part of the matrix at a time, which
    is cast anew for the backward pass instead of kept."""

    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, weight)
        logits = hidden.new_empty((*hidden.shape[:-1], len(weight)), dtype=torch.float32)
        n = _rows(weight)
        with autocast("32-true", hidden.device):
            wide = hidden.float()
            for part, rows in zip(logits.split(n, -1), weight.split(n), strict=True):
                part.copy_(wide @ rows.float().T)
        return logits

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        hidden, weight = ctx.saved_tensors
        of_hidden = torch.zeros_like(hidden, dtype=torch.float32)
        of_weight = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        n = _rows(weight)
        with autocast("32-true", hidden.device):
            flat = hidden.flatten(0, -2).float()
            for start, part in enumerate(gradient.split(n, -1)):
                rows = slice(start * n, (start + 1) * n)
                of_hidden += part @ weight[rows].float()
                if of_weight is not None:
                    of_weight[rows] = part.flatten(0, -2).T @ flat
        return of_hidden.to(hidden.dtype), of_weight


def _rows(weight: Tensor) -> int:
    """How many rows of a matrix [vocabulary, width] are in fp32 at a time."""
    return max(1, AT_ONCE // weight.shape[1])
