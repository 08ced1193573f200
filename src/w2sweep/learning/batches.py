"""Batches: examples as token ids, put together by length, and cut into micro-batches that fit into
memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from w2sweep.experiment.recipe import Recipe
from w2sweep.learning.tokens import Ragged

Rows = NDArray[np.int64]
"""Row numbers of examples [B]."""


class Batch(NamedTuple):
    """S sequences, padded to T tokens, and what is asked of them. B examples of `views` sequences
    each make S = B * views."""

    ids: Tensor
    """Token ids [S, T]; for a probe, the features [S, width]."""
    mask: Tensor
    """1 where there is a token, 0 where there is padding [S, T]."""
    asked: Tensor
    """Positions whose final hidden state goes to the head, bool [S, T]."""
    targets: Tensor
    """Class probabilities [B, K]; of completions, the tokens that are asked for, one after the
    other, as indices [B]."""

    def within(self, budget: int) -> list[Batch]:
        """The same examples, in the same order, in batches of at most `budget` tokens, padding
        included, and at least one example."""
        examples = len(self.ids) // self.views
        if examples == 1 or self.mask.numel() <= budget:
            return [self]
        half = examples // 2
        parts = (self._part(0, half), self._part(half, examples))
        return [small for part in parts for small in part.within(budget)]

    @property
    def views(self) -> int:
        """Sequences an example."""
        return len(self.ids) // len(self.targets) if self.targets.ndim == 2 else 1

    def _part(self, start: int, stop: int) -> Batch:
        """The examples from `start` to before `stop`, without columns of padding alone."""
        rows = slice(start * self.views, stop * self.views)
        targets = self.targets[start:stop]
        if self.targets.ndim == 1:  # a target for each position that is asked
            first = int(self.asked[: rows.start].sum())
            targets = self.targets[first : first + int(self.asked[rows].sum())]
        return self._trimmed(rows, targets)

    def of_every(self, n: int, first: int) -> tuple[Batch, Tensor]:
        """Every n-th example from `first` on, and which of the targets are theirs, bool [B]."""
        examples = torch.arange(len(self.ids) // self.views) % n == first % n
        rows = examples.repeat_interleave(self.views)
        theirs = examples if self.targets.ndim == 2 else rows[self.asked.nonzero()[:, 0]]
        return self._trimmed(rows, self.targets[theirs]), theirs

    def _trimmed(self, rows: slice | Tensor, targets: Tensor) -> Batch:
        """These sequences without columns of padding alone."""
        ids, mask, asked = self.ids[rows], self.mask[rows], self.asked[rows]
        used = mask.bool().any(0)
        if ids.shape == mask.shape:
            ids = ids[:, used]
        return Batch(ids, mask[:, used], asked[:, used], targets)


class Share(NamedTuple):
    """What one of the processes that run a stage together does of a batch."""

    parts: list[Batch]
    """Its examples, as micro-batches."""
    targets: Tensor
    """Of the whole batch [B, K], or [B]."""
    own: Tensor
    """Which of the targets are its examples', in their order, bool [B]."""
    idle: Batch
    """One short example, for who has none left while others compute in step with it."""


def share(micro: list[Batch], rank: int, ranks: int, budget: int) -> Share:
    """What process `rank` does of a batch, given as its micro-batches.

    The examples, which come sorted by length, go to the processes in turn, so that all have about
    as many tokens. `budget`: tokens in one forward pass, which a single process has seen to.
    """
    targets = torch.cat([m.targets for m in micro])
    if ranks == 1:
        return Share(micro, targets, torch.ones(len(targets), dtype=torch.bool), micro[-1])
    parts, own, before = [], [], 0
    for m in micro:
        part, theirs = m.of_every(ranks, rank - before)
        own.append(theirs)
        if len(part.ids):
            parts += part.within(budget)
        before += len(m.ids) // m.views
    idle, _ = micro[-1].of_every(len(micro[-1].ids) // micro[-1].views, -1)
    return Share(parts, targets, torch.cat(own), idle)


class Data(Protocol):
    """N examples that can be batched by row number."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of the longest view of each example [N]."""
        ...

    @property
    def views(self) -> int:
        """Sequences an example."""
        ...

    def batch(self, rows: Rows) -> Batch:
        """These examples, in this order."""
        ...


@dataclass(frozen=True)
class Labelled:
    """Texts whose last token is asked for class logits: N examples of `views` sequences each."""

    sequences: Ragged
    """[N * views] sequences, those of an example side by side."""
    views: int
    targets: Tensor
    """Class probabilities [N, K]."""
    pad: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.sequences.lengths.reshape(-1, self.views).max(-1)

    def batch(self, rows: Rows) -> Batch:
        sequences = (rows[:, None] * self.views + np.arange(self.views)).ravel()
        ids, mask = self.sequences.padded(sequences, self.pad)
        return Batch(ids, mask, last_tokens(mask), self.targets[rows])


@dataclass(frozen=True)
class Completions:
    """N prompts followed by the completion that is learned, token by token, its end included."""

    sequences: Ragged
    prompts: NDArray[np.int64]
    """Tokens of each prompt [N]."""
    pad: int
    views: int = 1

    @staticmethod
    def of(
        prompts: Sequence[list[int]], completions: Sequence[list[int]], end: int, pad: int
    ) -> Completions:
        """N prompts and N completions, as token ids, and the token `end` that ends each."""
        sequences = [p + c + [end] for p, c in zip(prompts, completions, strict=True)]
        lengths = np.array([len(p) for p in prompts])
        return Completions(Ragged.of(sequences), lengths, pad)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.sequences.lengths

    def batch(self, rows: Rows) -> Batch:
        ids, mask = self.sequences.padded(rows, self.pad)
        position = torch.arange(ids.shape[1])
        first = torch.from_numpy(self.prompts[rows, None])
        length = torch.from_numpy(self.lengths[rows, None])
        # the token before each one of the completion predicts it
        asked = (position >= first - 1) & (position < length - 1)
        return Batch(ids, mask, asked, ids[:, 1:][asked[:, :-1]])


@dataclass(frozen=True)
class Featured:
    """Features in place of texts, for a probe."""

    features: Tensor
    """[N, views, width]."""
    targets: Tensor
    """Class probabilities [N, K]."""

    @property
    def views(self) -> int:
        return self.features.shape[1]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.ones(len(self.features), dtype=np.int64)

    def batch(self, rows: Rows) -> Batch:
        features = self.features[rows].flatten(0, 1)
        ones = torch.ones(len(features), 1)
        return Batch(features, ones, ones.bool(), self.targets[rows])


@dataclass(frozen=True)
class Chosen:
    """Some of the examples of other data, with their labels."""

    data: Data
    rows: Rows
    """Which ones [n]."""

    @property
    def views(self) -> int:
        return self.data.views

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.data.lengths[self.rows]

    def batch(self, rows: Rows) -> Batch:
        return self.data.batch(self.rows[rows])


def last_tokens(mask: Tensor) -> Tensor:
    """Where the last real token of each sequence is, wherever its padding: mask [S, T] -> bool
    [S, T]."""
    from_here_on = mask.flip(-1).cumsum(-1).flip(-1)
    return (from_here_on == 1) & mask.bool()


def padded_behind(mask: Tensor) -> bool:
    """Whether each text [S, T] begins with a token, and no token stands behind padding."""
    return bool(mask.all()) or bool((mask[:, :1] == 1).all() and (mask.diff(dim=1) <= 0).all())


def finetuning_batches(
    data: Data, recipe: Recipe, seed: int, budget: int, start: int
) -> Iterator[list[Batch]]:
    """The batches from step `start` on, each as its micro-batches of at most `budget` tokens."""
    lengths = data.lengths
    per_epoch = batches_per_epoch(data, recipe)
    for epoch in range(start // per_epoch, recipe.epochs):
        order = epoch_order(lengths, recipe, np.random.default_rng((seed, epoch)))
        for rows in order[max(0, start - epoch * per_epoch) :]:
            parts = chunks(lengths[rows] * data.views, budget)
            yield [data.batch(rows[part]) for part in parts]


def batches_per_epoch(data: Data, recipe: Recipe) -> int:
    """How many batches there are. They are whole: the few examples that are left over differ from
    epoch to epoch."""
    return max(1, len(data.lengths) // recipe.batch_size)


def epoch_order(lengths: NDArray[np.int64], recipe: Recipe, rng: np.random.Generator) -> list[Rows]:
    """Shuffled batches of examples of similar length, which is given in tokens [N].

    Pools of `length_pool` batches are sorted by length, then cut.
    """
    size = min(recipe.batch_size, len(lengths))
    order = rng.permutation(len(lengths))
    if recipe.length_pool > 1:
        pool = size * recipe.length_pool
        pools = np.array_split(order, range(pool, len(order), pool))
        order = np.concatenate([rows[np.argsort(lengths[rows], kind="stable")] for rows in pools])
    batches = [order[i : i + size] for i in range(0, len(order) - size + 1, size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def pretraining_batches(
    tokens: NDArray[np.integer], context: int, batch: int, seed: int, steps: int, start: int
) -> Iterator[list[Batch]]:
    """`batch` random windows of `context` tokens each out of a stream of token ids [N], for the
    steps from `start` to `steps`."""
    for step in range(start, steps):
        offsets = np.random.default_rng((seed, step)).integers(0, len(tokens) - context, batch)
        yield [window(tokens, offsets, context)]


def window(tokens: NDArray[np.integer], offsets: NDArray[np.integer], context: int) -> Batch:
    """The windows of a stream [N] that begin at `offsets` [S], every next token of them asked
    for."""
    positions = offsets[:, None] + np.arange(context + 1)
    block = torch.from_numpy(tokens[positions].astype(np.int64))
    ones = torch.ones_like(block[:, :-1])
    return Batch(block[:, :-1], ones, ones.bool(), block[:, 1:].flatten())


def chunks(lengths: NDArray[np.int64], budget: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers of sequences with these lengths [N], longest first, in groups of at most `budget`
    padded tokens (and at least one row)."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size
