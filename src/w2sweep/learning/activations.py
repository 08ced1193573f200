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
LINEAR = -2 * math.sqrt(2 / math.pi) / math.log(2)
CUBIC = LINEAR * 0.044715
"""Of u(x) = LINEAR x + CUBIC x^3, so that the activation is x / (1 + 2^u)."""


def use_fewer_operations(model: nn.Module) -> None:
    """Puts `GeluByTanh` in the place of modules that compute the same. Results differ in their last
    bits."""
    for name, module in list(model.named_modules()):
        if type(module) in GELU_BY_TANH:
            model.set_submodule(name, GeluByTanh())


class GeluByTanh(nn.Module):
    """`gelu(x, approximate="tanh")`: a single operation of torch's, but in fp32 on CPUs.

    There it is x / (1 + 2^u), see `gelu_by_tanh`. It takes a third of the time, for torch's tanh is
    slow; forward and backward together, a quarter.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.dtype is not torch.float32:
            return gelu(x, approximate="tanh")
        if x.requires_grad and torch.is_grad_enabled():
            return _ByPower.apply(x)  # type: ignore[return-value]
        return gelu_by_tanh(x)


def gelu_by_tanh(x: Tensor) -> Tensor:
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), of numbers of any shape: the same as
    x / (1 + 2^u) with `u` of x, since tanh(v) is 2 / (1 + exp(-2v)) - 1, and exp(-2v) is 2^u."""
    divisor = _exponent(x).exp2_().add_(1)
    return torch.div(x, divisor, out=divisor)


def gelu_and_slope(x: Tensor) -> tuple[Tensor, Tensor]:
    """The same, and its derivative at x, which is all that a backward pass needs.

    With s = 1 / (1 + 2^u) it is s + x s', where s' = -log(2) u' s (1 - s), and x u' = 3u - 2 LINEAR
    x.
    """
    u = _exponent(x)
    s = torch.exp2(u).add_(1).reciprocal_()
    third = u.sub_(x, alpha=2 * LINEAR / 3)
    torch.ops.aten.sigmoid_backward.grad_input(third, s, grad_input=third)  # it times s * (1 - s)
    slope = torch.add(s, third, alpha=-3 * math.log(2), out=third)
    return s.mul_(x), slope


def _exponent(x: Tensor) -> Tensor:
    """u(x)."""
    linear = torch.tensor(LINEAR, dtype=x.dtype)
    squared = x * x
    return torch.add(linear, squared, alpha=CUBIC, out=squared).mul_(x)


class _ByPower(torch.autograd.Function):
    """Of numbers of any shape, in one array of memory besides them."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        y, slope = gelu_and_slope(x)
        ctx.save_for_backward(slope)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        return gradient * slope
