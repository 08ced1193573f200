"""Inference: what a trained model says of examples, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from w2sweep.learning import spread
from w2sweep.learning.batches import Batch, Data, Rows, chunks
from w2sweep.learning.memory import Room
from w2sweep.learning.model import Net
from w2sweep.learning.shards import is_sharded
from w2sweep.learning.tokens import Ragged


@torch.no_grad()
def probabilities(
    net: nn.Module, data: Data, budget: int, device: torch.device
) -> NDArray[np.float32]:
    """Class probabilities [N, K]. `budget`: tokens in one forward pass."""

    def chances(batch: Batch) -> Tensor:
        return net(to(batch, device)).softmax(-1)

    return in_order(data, budget, chances, is_sharded(net))


@torch.no_grad()
def logits(net: nn.Module, data: Data, budget: int, device: torch.device) -> NDArray[np.float32]:
    """Class logits [N, K]. `budget`: tokens in one forward pass."""
    return in_order(data, budget, lambda batch: net(to(batch, device)), is_sharded(net))


@torch.no_grad()
def hidden_states(net: Net, data: Data, budget: int, device: torch.device) -> NDArray[np.float32]:
    """Final hidden states at the last token of each view [N, views, width]."""

    def states(batch: Batch) -> Tensor:
        return net.hidden(to(batch, device)).float().unflatten(0, (-1, data.views))

    return in_order(data, budget, states, is_sharded(net))


def in_order(
    data: Data, budget: int, answer: Callable[[Batch], Tensor], in_step: bool = False
) -> NDArray[np.float32]:
    """Answers [N, ...], computed longest first under the token budget, or half of it where memory
    runs out, and put back into the order of the examples. `in_step`: whether all processes must
    call `answer` equally often; then memory that runs out is an error."""

    def say(rows: Rows) -> NDArray[np.float32]:
        return answer(data.batch(rows)).float().cpu().numpy()

    return _of_all(data.lengths * data.views, budget, say, in_step)


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

    def say(rows: Rows) -> NDArray[np.object_]:
        ids, mask = ragged.padded(rows, net.pad, left=True)
        said = net.complete(ids.to(device), mask.to(device), max_new_tokens)
        return np.array(said, dtype=object)

    return list(_of_all(ragged.lengths + max_new_tokens, budget, say))


def _of_all(
    lengths: NDArray[np.int64],
    budget: int,
    say: Callable[[Rows], NDArray[Any]],
    in_step: bool = False,
) -> NDArray[Any]:
    """What is said of N examples, of lengths [N] in tokens, in their order [N, ...].

    Each of the processes that run the stage together says it of its share, and all know the whole.
    """
    room, ranks = Room(budget), spread.ranks()

    def at_once(rows: Rows) -> NDArray[Any]:
        def within(budget: int) -> NDArray[Any]:
            return np.concatenate([say(rows[part]) for part in chunks(lengths[rows], budget)])

        return room.compute(within)

    def parts_of(rows: Rows) -> list[Rows]:
        return [rows[part] for part in chunks(lengths[rows], budget)]

    def one_by_one(rows: Rows) -> NDArray[Any]:
        compute = say if in_step else at_once
        return np.concatenate([compute(part) for part in parts_of(rows)])

    longest_first = np.argsort(-lengths, kind="stable")
    shares = [longest_first[rank::ranks] for rank in range(min(ranks, len(lengths)))]
    if in_step:
        passes = [len(parts_of(rows)) for rows in shares] + [0] * (ranks - len(shares))
        for _ in range(max(passes) - passes[spread.rank()]):
            say(longest_first[-1:])  # for nothing
    said = np.concatenate(spread.together(shares, one_by_one))
    out = np.empty_like(said)
    out[np.concatenate(shares)] = said
    return out


def to(batch: Batch, device: torch.device) -> Batch:
    """The batch on another device."""
    return Batch(*(x.to(device) for x in batch))
