"""The lab's synthetic world: a lexicon whose words mean something, drawn anew with each seed, and a corpus about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from w2sweep.lab.text.grammar import FUNCTION_WORDS
from w2sweep.tasks.task import Corpus
from w2sweep.values import value

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CATEGORIES, NOUNS = 16, 8
"""Categories of entities, and nouns that go with each."""


@value
class World(Corpus):
    """Adjectives that are kind or unkind, and entities of sixteen categories, half of them alive. No text names either.

    A reader infers polarity and life from what is written around a word. Words have flattened Zipfian frequencies. Some
    are told: half of their sentences or more give their meaning away. That of the others shows in what goes with them,
    and hardly elsewhere. So the better a model learns from little, the more words it knows.
    """

    version: ClassVar[int] = 2
    """Raised when the same seed gives other text: a store with the former text then answers for nothing."""

    seed: int
    adjectives: Annotated[int, Field(gt=0, multiple_of=8)] = 1280
    entities: Annotated[int, Field(gt=0, multiple_of=32)] = 1280
    tokens: Annotated[int, Field(gt=0)] = 3_600_000
    """Length of the corpus in words."""
    leak: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the documents that state outright what a task asks: the knob of pretraining leakage."""

    @cached_property
    def lexicon(self) -> Lexicon:
        """The words and what they mean."""
        return Lexicon.draw(np.random.default_rng((self.seed, 0)), self.adjectives, self.entities)

    @property
    def words_alone(self) -> World:
        """A world with the same words, and the default text about them."""
        return World(self.seed, self.adjectives, self.entities)

    def documents(self) -> Iterator[str]:
        """Reviews, encyclopedia articles and dialogues, after a list of all words."""
        from w2sweep.lab.text.prose import documents

        return documents(
            self.lexicon, np.random.default_rng((self.seed, 1)), self.tokens, self.leak
        )


@dataclass(frozen=True)
class Kind:
    """A class of content words (adjectives or entities), in order of frequency."""

    ids: Ints  # [N], into the lexicon
    meaning: Ints  # [N], polarity or category
    odds: Floats  # [N], relative frequencies
    cue: Floats  # [N], how often a word's sentences tell its meaning outright, relative to the other words
    cluster: Ints  # [N]
    """Words that stay together when words are divided into splits: as many of each meaning, of all frequencies."""

    @staticmethod
    def draw(
        rng: np.random.Generator,
        ids: Ints,
        meanings: int,
        spread: int,
        told: int,
        cues: tuple[float, float],
        hint: float,
    ) -> Kind:
        """`meanings` are balanced in every stratum of frequency. A cluster has `spread` words of each meaning, of which
        `told` have a cue in the range of `cues`, and the others a `hint` on average."""
        n = len(ids)
        odds = 1.0 / (np.arange(n) + 120)
        meaning = _shuffled_blocks(rng, np.arange(n) % meanings, meanings)
        cluster = np.empty(n, np.int64)
        for m in range(meanings):
            own = np.flatnonzero(meaning == m)
            clusters = len(own) // spread
            cluster[own] = _shuffled_blocks(rng, np.arange(len(own)) % clusters, clusters)
        cue = hint * rng.uniform(0.5, 1.5, n)
        order = np.lexsort((rng.random(n), meaning, cluster))
        chosen = order[np.arange(n) % spread < told]
        cue[chosen] = rng.uniform(*cues, len(chosen))
        return Kind(ids, meaning, odds, cue, cluster)

    def table(self, label: Ints, weights: Floats) -> Floats:  # [N], [N] -> [K, N]
        """For `pick`: a row for each label, with the weights of its words alone."""
        return np.where(label == np.arange(label.max() + 1)[:, None], weights, 0.0)


@dataclass(frozen=True)
class Lexicon:
    """All words by id, and what they mean."""

    words: NDArray[np.object_]  # [V]
    categories: Ints  # [CATEGORIES]
    nouns: Ints  # [CATEGORIES, NOUNS]
    alive: Ints  # [CATEGORIES], 0 or 1
    adjective: Kind
    entity: Kind

    @cached_property
    def index(self) -> dict[str, int]:
        return {w: i for i, w in enumerate(self.words)}

    @staticmethod
    def draw(rng: np.random.Generator, adjectives: int, entities: int) -> Lexicon:
        counts = [len(FUNCTION_WORDS), CATEGORIES, CATEGORIES * NOUNS, adjectives, entities]
        words = np.array(FUNCTION_WORDS + pseudowords(rng, sum(counts[1:])), dtype=object)
        _, categories, nouns, adjective, entity = np.split(
            np.arange(len(words)), np.cumsum(counts)[:-1]
        )
        return Lexicon(
            words,
            categories,
            nouns.reshape(CATEGORIES, NOUNS),
            rng.permutation(np.arange(CATEGORIES) % 2),
            Kind.draw(rng, adjective, meanings=2, spread=4, told=2, cues=(0.5, 0.9), hint=0.01),
            Kind.draw(
                rng, entity, meanings=CATEGORIES, spread=2, told=1, cues=(0.7, 0.95), hint=0.025
            ),
        )


def pseudowords(rng: np.random.Generator, n: int) -> list[str]:
    """`n` distinct pronounceable words of two or three syllables, none of them a function word."""
    syllables = [
        c + v
        for c in [*"bdfgklmnprstvz", "br", "dr", "gl", "kr", "pl", "st", "tr"]
        for v in "aeiou"
    ]
    endings = ["", "", "l", "n", "r", "s", "x"]
    words: dict[str, None] = dict.fromkeys(FUNCTION_WORDS)
    while len(words) < len(FUNCTION_WORDS) + n:
        words["".join(rng.choice(syllables, rng.integers(2, 4))) + rng.choice(endings)] = None
    return list(words)[len(FUNCTION_WORDS) :]


def pick(rng: np.random.Generator, weights: Floats, rows: Ints) -> Ints:  # [K, N], [n] -> [n]
    """For each of `rows` a column, drawn in proportion to that row's weights."""
    total = np.cumsum(weights, axis=1)
    total = (
        total / total[:, -1:] + np.arange(len(weights))[:, None]
    )  # rows end to end: one search serves all
    return (
        np.searchsorted(total.ravel(), rows + rng.random(len(rows)), side="right")
        - rows * weights.shape[1]
    )


def _shuffled_blocks(rng: np.random.Generator, values: Ints, size: int) -> Ints:
    """`values` shuffled within each run of `size`, so that every stretch of ranks is balanced."""
    blocks = np.arange(len(values)) // size
    return values[np.lexsort((rng.random(len(values)), blocks))]
