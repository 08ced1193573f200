"""Inference: what a trained model says of examples, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from w2sweep.learning import spread
from w2sweep.learning.batches import Batch, Data, chunks
from w2sweep.learning.memory import with_less_at_once
from w2sweep.learning.model import Net
from w2sweep.learning.tokens import Ragged


@torch.no_grad()
def probabilities(
    net: nn.Module, data: Data, budget: int, device: torch.device
) -> NDArray[np.float32]:
    """Class probabilities [N, K]. `budget`: tokens in one forward pass."""
    return in_order(data, budget, lambda batch: net(to(batch, device)).softmax(-1))


@torch.no_grad()
def hidden_states(net: Net, data: Data, budget: int, device: torch.device) -> NDArray[np.float32]:
    """Final hidden states at the last token of each view [N, views, width]."""

    def states(batch: Batch) -> Tensor:
        return net.hidden(to(batch, device)).float().unflatten(0, (-1, data.views))

    return in_order(data, budget, states)


def in_order(data: Data, budget: int, answer: Callable[[Batch], Tensor]) -> NDArray[np.float32]:
    """Answers [N, ...], computed longest first under the token budget, or half of it where memory
    runs out, and put back into the order of the examples."""

    def within(budget: int) -> NDArray[np.float32]:
        parts = list(chunks(data.lengths * data.views, budget))
        found = [
            (rows, answer(data.batch(rows)).float() * counts)
            for _, rows, counts in spread.in_step(parts)
        ]
        first = found[0][1]
        out = first.new_zeros(len(data.lengths), *first.shape[1:])
        for rows, said in found:
            out.index_add_(0, torch.from_numpy(rows).to(out.device), said)
        return spread.summed(out).cpu().numpy()

    return with_less_at_once(budget, within)


@torch.no_grad()
def completions(
    net: Net,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    budget: int,
    device: torch.device,
) -> list[str]:
    """Greedy completions of N prompts, given as token ids [N]."""
    ragged = Ragged.of(prompts)

    def within(budget: int) -> list[str]:
        out = np.empty(len(prompts), dtype=object)
        for rows in chunks(ragged.lengths + max_new_tokens, budget):
            ids, mask = ragged.padded(rows, net.pad, left=True)
            said = net.complete(ids.to(device), mask.to(device), max_new_tokens)
            out[rows] = np.array(said, dtype=object)
        return list(out)

    return with_less_at_once(budget, within)


def to(batch: Batch, device: torch.device) -> Batch:
    """The batch on another device."""
    return Batch(*(x.to(device) for x in batch))
