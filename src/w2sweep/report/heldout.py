"""Losses of language models on held-out text, over the seeds of a group of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from w2sweep.results.cell import Result


@dataclass(frozen=True)
class HeldOut:
    """A language model over seeds: what it has read, and its loss on held-out text."""

    rung: str
    size: int
    """Parameters."""
    tokens: int
    """Read of the text that the loss is on."""
    before: int
    """Tokens read before."""
    losses: Mapping[int, float]
    """Seed -> nats a token."""
    accuracies: Mapping[int, float]
    """Seed -> test accuracy of the compared model that begins with it, where there is one."""


def heldout(results: Sequence[Result]) -> dict[str, HeldOut]:
    """The language models of cells that differ in the seed alone, by name."""
    names = dict.fromkeys(name for r in results for name in r.language_models)
    return {name: _over_seeds(name, results) for name in names}


def _over_seeds(name: str, results: Sequence[Result]) -> HeldOut:
    having = [r for r in results if name in r.language_models]
    models = {r.seed: r.language_models[name] for r in having}
    first = models[having[0].seed]
    losses = {seed: model.loss for seed, model in models.items()}
    accuracies = {r.seed: r.accuracy(name) for r in having if name in r.models}
    size = having[0].rungs[first.rung].size
    return HeldOut(first.rung, size, first.tokens, first.before, losses, accuracies)
