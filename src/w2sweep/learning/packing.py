"""Packing: the tokens of a batch one behind the other, without the padding between its texts, and
how they are laid out for attention, in which each text is by itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from w2sweep.learning.batches import Batch

ALIGNED = 8
"""Texts attend in blocks that are a multiple of so many tokens long, as many fp32 numbers as
processors with AVX2 multiply at once: products of matrices of 40 columns take less time than such
of 37. It costs a tenth of padding there, and is worth a sixth of attention's time."""


class Block(NamedTuple):
    """Texts that attend at once."""

    lengths: Tensor
    """Of each of them, in tokens [texts]."""
    rows: Tensor
    """Where each token is among those that are packed [texts, tokens]; behind the end of a text,
    how many these are."""


class Index(NamedTuple):
    """How packed tokens become what attention reads, and the way back. Both take rows of the
    numbers of one head of one token."""

    into: Tensor
    """Out of [N + 1, parts, heads], behind whose N tokens there is one more for all padding, into
    blocks of [parts, texts, heads, tokens], one block behind the other."""
    back: Tensor
    """Out of such blocks into [N, parts, heads]."""


@dataclass
class Packed:
    """The N tokens of a batch, its texts one behind the other, the longest first."""

    places: Tensor
    """Where each token is among the S * T places of the batch [N]."""
    lengths: Tensor
    """Of the texts, in tokens [S]."""
    rows: Tensor | None
    """Which of the N tokens are asked for [asked]; None: all of them, in their own order."""
    back: Tensor | None
    """None: `rows` are in the order of the batch. Otherwise they are the last tokens of all texts,
    and this is in which order to take what is found of them [S]."""

    @staticmethod
    def of(batch: Batch) -> Packed:
        """A batch that is padded behind its texts."""
        lengths, order = batch.mask.sum(1).sort(descending=True, stable=True)
        places = torch.arange(batch.mask.numel()).view_as(batch.mask)[order]
        places = places[batch.mask[order].bool()]
        number = torch.arange(len(places))
        where = torch.empty(batch.mask.numel(), dtype=torch.long).index_copy_(0, places, number)
        rows = where[batch.asked.flatten()]
        if torch.equal(rows, number):
            return Packed(places, lengths, None, None)
        in_order, number_of = rows.sort()
        if torch.equal(in_order, lengths.cumsum(0) - 1):
            return Packed(places, lengths, in_order, number_of.argsort())
        return Packed(places, lengths, rows, None)

    @cached_property
    def blocks(self) -> list[Block]:
        """Texts of about the same length, the longest first."""
        starts = self.lengths.cumsum(0) - self.lengths
        longest = (self.lengths + ALIGNED - 1) // ALIGNED * ALIGNED
        found, sizes = torch.unique_consecutive(longest, return_counts=True)
        texts = zip(self.lengths.split(sizes.tolist()), starts.split(sizes.tolist()), strict=True)
        blocks = []
        for tokens, (lengths, first) in zip(found.tolist(), texts, strict=True):
            offsets = torch.arange(tokens)
            rows = first[:, None] + offsets
            blocks.append(Block(lengths, rows.where(offsets < lengths[:, None], len(self.places))))
        return blocks

    def index(self, parts: int, heads: int) -> Index:
        """For N tokens of so many parts, queries or keys or values, of so many heads each."""
        of_token = torch.arange(parts * heads).view(parts, 1, heads, 1)
        its = [
            (block.rows[:, None] * (parts * heads) + of_token).flatten() for block in self.blocks
        ]
        into = torch.cat(its)
        back = into.new_empty((len(self.places) + 1) * parts * heads)
        back[into] = torch.arange(len(into))
        return Index(into, back[: len(self.places) * parts * heads])
