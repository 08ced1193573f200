"""Activations that Transformers writes out in Python, one operation after the other, as fewer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers import activations

GELU_BY_TANH = (
    activations.NewGELUActivation,
    activations.FastGELUActivation,
    activations.AccurateGELUActivation,
    activations.GELUTanh,
)
"""Modules that compute x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), as GPT-2's do."""
LINEAR = 2 * math.sqrt(2 / math.pi)
CUBIC = LINEAR * 0.044715


def use_fewer_operations(model: nn.Module) -> None:
    """Puts `GeluByTanh` in the place of modules that compute the same. Results differ in their last
    bits."""
    for name, module in list(model.named_modules()):
        if type(module) in GELU_BY_TANH:
            model.set_submodule(name, GeluByTanh())


class GeluByTanh(nn.Module):
    """`gelu(x, approximate="tanh")`: a single operation of torch's, but in fp32 on CPUs.

    There it is x * sigmoid(2 sqrt(2 / pi) * (x + 0.044715 x^3)), the same since tanh(v) is
    2 sigmoid(2v) - 1. It takes half as long, for torch's tanh is slow; forward and backward
    together, a quarter of the time of GPT-2's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and x.dtype is torch.float32:
            return _BySigmoid.apply(x)  # type: ignore[return-value]
        return gelu(x, approximate="tanh")


class _BySigmoid(torch.autograd.Function):
    """Of numbers of any shape, in two arrays of memory besides them."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        s = (x * x).mul_(CUBIC).add_(LINEAR).mul_(x).sigmoid_()
        ctx.save_for_backward(x, s)
        return x * s

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:
        """Of x s(u), it is s + x u' s (1 - s), with u' = LINEAR + 3 CUBIC x^2."""
        x, s = ctx.saved_tensors
        slope = (x * x).mul_(3 * CUBIC).add_(LINEAR).mul_(x)
        return slope.mul_(1 - s).add_(1).mul_(s).mul_(gradient)
