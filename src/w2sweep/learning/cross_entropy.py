"""Cross-entropy over a vocabulary: what a small language model spends most of its time on beside
its matmuls."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from w2sweep.learning.products import add_product, in_fp32, matmul_dtype


def cross_entropy_of_classes(logits: Tensor, classes: Tensor) -> Tensor:
    """`torch.nn.functional.cross_entropy` of class indices: [B, K], [B] -> scalar.

    Its gradient is made in the memory of the softmax. Tokens a second in pretraining on a CPU, in
    fp32, were 1.05 (width 128) to 1.14 times (width 12) those with torch's, which fills an array of
    zeros for the gradient of the classes, and then another. A loss over 87 nats is told as 87.
    """
    loss: Tensor = _CrossEntropy.apply(logits, classes)  # type: ignore[assignment]
    return loss


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: Tensor, classes: Tensor) -> Tensor:
        p = logits.softmax(-1)
        ctx.save_for_backward(p, classes)
        return -p.gather(1, classes[:, None]).clamp_min(torch.finfo(p.dtype).tiny).log().mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        p, classes = ctx.saved_tensors
        scale = gradient / len(p)
        logits_gradient = p.mul_(scale)  # (softmax - one-hot) / B
        logits_gradient[torch.arange(len(p), device=p.device), classes] -= scale
        return logits_gradient, None


def cross_entropy_of_tokens(hidden: Tensor, table: Tensor, tokens: Tensor) -> Tensor:
    """Cross-entropy of the logits `hidden @ table.t()` with token ids, without keeping any logits:
    [N, width], [V, width], [N] -> scalar, the mean. On a CPU, all in fp32 but what is multiplied,
    which is in bf16 where the trainer asks for that.

    The logits of a few tokens at a time become powers, and these a part of both gradients, by
    matmuls of what is not yet divided by its sum. (Gradients made with the loss: Hsu et al. 2024,
    Liger Kernel, arXiv 2410.10989.)
    """
    loss: Tensor = _CrossEntropyOfTokens.apply(hidden, table, tokens, matmul_dtype(hidden.device))  # type: ignore[assignment]
    return loss


AT_ONCE = {torch.float32: 96, torch.bfloat16: 192}
"""Tokens whose powers are made at a time. With half as many, matmuls are slower; with more, powers
leave the caches before they are read again."""
SAFE = (2.0**-60, 2.0**100)
"""Sums of powers of two that neither overflow in a matmul nor lose their small parts."""


class _CrossEntropyOfTokens(torch.autograd.Function):
    @staticmethod
    @in_fp32
    def forward(
        ctx: Any, hidden: Tensor, table: Tensor, tokens: Tensor, low: torch.dtype
    ) -> Tensor:
        learns = any(ctx.needs_input_grad[:2])
        found = _summed_powers(hidden, table, low, learns, shifted=False)
        lowest, highest = found[0].aminmax()
        if not SAFE[0] < lowest.item() <= highest.item() < SAFE[1]:
            found = _summed_powers(hidden, table, low, learns, shifted=True)
        sums, shift, d_hidden, d_table = found
        answers = table.index_select(0, tokens)
        if learns:  # the mean of softmax minus one-hot, times what the logits are made of
            n = len(hidden)
            d_hidden.div_(sums[:, None]).sub_(answers).div_(n)
            d_table.index_add_(0, tokens, hidden, alpha=-1 / n)
            ctx.save_for_backward(d_hidden, d_table)
        return (sums.log() + shift * math.log(2) - (hidden * answers).sum(1)).mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        d_hidden, d_table = ctx.saved_tensors
        if gradient.item() != 1:  # of a micro-batch, which is a part of the mean
            d_hidden, d_table = d_hidden * gradient, d_table * gradient
        return d_hidden, d_table, None, None


def _summed_powers(
    hidden: Tensor, table: Tensor, low: torch.dtype, learns: bool, shifted: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For logits that are counted in bits: the sum over the vocabulary of two to their power [N];
    how far they were lowered before [N], nothing unless `shifted`; and, where something `learns`,
    the powers times `table` [N, width], and times `hidden` over the sums and N [V, width]. `low` is
    what is multiplied in."""
    n, vocabulary, at_once = len(hidden), len(table), AT_ONCE[low]
    bits, words = (hidden * math.log2(math.e)).to(low), table.to(low)
    sums, shift = hidden.new_empty(n), hidden.new_zeros(n)
    by_table, by_hidden = torch.empty_like(hidden), torch.zeros_like(table)
    memory = words.new_empty(vocabulary * min(at_once, n))
    for start in range(0, n, at_once):
        rows = slice(start, min(n, start + at_once))
        tokens = rows.stop - start
        powers = memory[: vocabulary * tokens].view(vocabulary, tokens)
        torch.mm(words, bits[rows].t(), out=powers)
        if shifted:
            shift[rows] = powers.amax(0)
            powers.sub_(shift[rows])
        torch.sum(powers.exp2_(), 0, dtype=torch.float32, out=sums[rows])
        if learns:
            by_table[rows] = powers.t() @ words
            add_product(by_hidden, powers, (hidden[rows] / (sums[rows, None] * n)).to(low))
    return sums, shift, by_table, by_hidden
