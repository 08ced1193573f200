"""How the gradient of a batch is made: out of micro-batches whose graphs never live together, by
one process or by several.

Processes with a model each do not speak to the others in the middle of a forward or backward pass.
So they may have different numbers of micro-batches, and one that runs out of memory makes more of
its own. Those that hold one model together put each layer together in both passes: there who has
fewer micro-batches runs short ones for nothing, and nobody can make more of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from w2sweep.engine.stage import Job
from w2sweep.learning import spread
from w2sweep.learning.batches import Batch, Share
from w2sweep.learning.memory import halved, is_out_of_memory
from w2sweep.learning.shards import is_sharded

T = TypeVar("T")
LossOf = Callable[[Tensor, Tensor], Tensor]
"""Logits [B, K] and targets -> a scalar."""
WithoutLogits = Callable[[Batch], Tensor | None]
"""Finds the loss of a batch, a scalar, without making its logits; None where it cannot."""


class Gradients:
    """Leaves gradients in the parameters of a model.

    Args:
        net: the model.
        backward: goes back from a scalar.
        job: is told where memory runs out.
        without_logits: tried first, where the loss is the mean of a loss per example.
    """

    def __init__(
        self,
        net: nn.Module,
        backward: Callable[[Tensor], object],
        job: Job,
        without_logits: WithoutLogits = lambda _: None,
    ):
        self.net, self.backward, self.job, self.without_logits = net, backward, job, without_logits
        self.micro_tokens: int | None = None
        """Tokens in one forward pass, where memory ran out with those of the micro-batches."""

    def of(
        self,
        share: Share,
        loss: LossOf,
        separable: bool,
        learning: Sequence[nn.Parameter],
    ) -> Tensor:
        """The loss of the whole batch, a scalar; its gradient is in the parameters that learn.

        Where memory runs out on the way, it is computed again with less at once, now and from now
        on.

        Args:
            share: what this process does of the batch.
            loss: of logits and targets, the mean over a batch.
            separable: whether it is the mean of a loss per example.
            learning: the parameters that learn, in the same order everywhere.
        """
        by = self._one_by_one if separable else self._by_logits
        found = by(share, loss, learning)
        if is_sharded(self.net):  # gradients were added up on the way
            return spread.summed(found)
        return spread.sum_gradients(learning, found)

    def clip(self, learning: Sequence[nn.Parameter], limit: float) -> None:
        """Shortens the gradient, all of it one vector, to `limit`, where it is longer."""
        gradients = [p.grad for p in learning if p.grad is not None]
        if is_sharded(self.net) or not gradients or gradients[0].device.type != "cpu":
            nn.utils.clip_grad_norm_(learning, limit)
            return
        length = nn.utils.get_total_norm(gradients, foreach=True)
        if not length <= limit:  # nothing is multiplied by one
            nn.utils.clip_grads_with_norm_(learning, limit, length, foreach=True)

    def _one_by_one(self, share: Share, loss: LossOf, learning: Sequence[nn.Parameter]) -> Tensor:
        """This process's part of the loss, a scalar: each micro-batch has its share of it."""

        def work(parts: list[Batch]) -> Tensor:
            _forget(learning)
            idle = self._idle(parts)
            losses = [share.targets.new_zeros((), dtype=torch.float32)] if not parts else []
            for part in parts:
                weight = len(part.targets) / len(share.targets)
                whole = self.without_logits(part)
                whole = loss(self.net(part), part.targets) if whole is None else whole
                its = whole * weight
                self.backward(its)
                losses.append(its.detach())
            for _ in range(idle):
                self.backward(loss(self.net(share.idle), share.idle.targets) * 0)
            return torch.stack(losses).sum()

        return self._within_memory(share.parts, work)

    def _by_logits(self, share: Share, loss: LossOf, learning: Sequence[nn.Parameter]) -> Tensor:
        """The loss, a scalar, for the first process; zero for the others, which know it too.

        A loss that looks at the whole batch is first differentiated with respect to the logits;
        then each micro-batch is run again and given its part of that gradient. (Gradient caching:
        Gao et al. 2021.) Where there is memory for all of them none is run again: their graphs are
        kept.
        """
        kept: list[Tensor] = []

        def forward(parts: list[Batch]) -> Tensor:
            if self._fit_together(parts):
                kept.append(torch.cat([self.net(part) for part in parts]))
                return kept[0].detach()
            idle = self._idle(parts)
            with torch.no_grad():
                found = [self.net(part) for part in parts]
                unused = [self.net(share.idle)[:0] for _ in range(idle)]
                return torch.cat(found or unused)

        def backward(parts: list[Batch]) -> None:
            _forget(learning)
            if kept:
                self.backward((kept.pop() * gradient).sum())
                return
            idle, sizes = self._idle(parts), [len(part.targets) for part in parts]
            for part, its in zip(parts, gradient.split(sizes), strict=True):
                self.backward((self.net(part) * its).sum())
            for _ in range(idle):
                self.backward(self.net(share.idle).sum() * 0)

        own = None
        if share.parts or is_sharded(self.net):
            own = self._within_memory(share.parts, forward)
        logits = _of_all(own, share).requires_grad_()
        total = loss(logits, share.targets)
        (whole,) = torch.autograd.grad(total, logits)
        gradient = whole[share.own]
        self._within_memory(share.parts, backward)
        return total.detach() if spread.leads() else torch.zeros_like(total)

    def _fit_together(self, parts: list[Batch]) -> bool:
        """Whether there is memory for the graphs of all these micro-batches."""
        if is_sharded(self.net) or not parts:
            return False
        budget = self.micro_tokens or self.job.runtime.micro_tokens
        return len(parts) == 1 or sum(part.mask.numel() for part in parts) <= budget

    def _within_memory(self, micro: list[Batch], work: Callable[[list[Batch]], T]) -> T:
        """`work` on these micro-batches, cut further as often as memory runs out."""
        while True:
            parts = micro
            if self.micro_tokens is not None:
                parts = [part for batch in micro for part in batch.within(self.micro_tokens)]
            try:
                return work(parts)
            except Exception as error:
                if not parts or not is_out_of_memory(error) or is_sharded(self.net):
                    raise
                largest = max(parts, key=lambda part: part.mask.numel())
                if len(largest.ids) == largest.views:
                    raise
            # behind the handler, for the error holds on to what filled the memory
            self.micro_tokens = halved(largest.mask.numel())
            self.job.note(micro_tokens=self.micro_tokens)

    def _idle(self, parts: Sequence[Batch]) -> int:
        """How many micro-batches this process is to run for nothing, to stay in step; asked before
        the first of them, while the others are there too."""
        return spread.largest(len(parts)) - len(parts) if is_sharded(self.net) else 0


def _forget(learning: Sequence[nn.Parameter]) -> None:
    for p in learning:
        p.grad = None


def _of_all(own: Tensor | None, share: Share) -> Tensor:
    """The logits of the whole batch [B, K]: each process puts its rows among zeros, and all are
    added up, which changes no bit of them."""
    if spread.ranks() == 1:
        assert own is not None
        return own
    targets = share.targets
    if targets.ndim == 2:
        classes = targets.shape[1]
    else:  # of the vocabulary, which a process without an example has not seen
        classes = spread.largest(own.shape[1] if own is not None else 0)
    logits = torch.zeros(len(targets), classes, device=targets.device)
    if own is not None:
        logits[share.own] = own.float()
    return spread.summed(logits)
