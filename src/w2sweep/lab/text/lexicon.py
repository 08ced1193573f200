"""The words of a synthetic world, and what they mean: drawn anew with each seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from w2sweep.lab.arrays import Floats, Ints
from w2sweep.lab.text.grammar import FUNCTION_WORDS

CATEGORIES, NOUNS = 16, 8
"""Categories of entities, and nouns that go with each."""

CONSONANTS = [*"bdfgklmnprstvz", "br", "dr", "gl", "kr", "pl", "st", "tr"]
VOWELS = "aeiou"
ENDINGS = ["", "", "l", "n", "r", "s", "x"]


@dataclass(frozen=True)
class WordClass:
    """The N adjectives or the N entities of a world, in order of frequency."""

    ids: Ints
    """[N], into the lexicon."""
    meaning: Ints
    """[N]: an adjective's polarity (0 or 1), or an entity's category."""
    odds: Floats
    """[N], relative frequencies."""
    cue: Floats
    """[N], how often a word's sentences tell its meaning outright, relative to the other words."""
    cluster: Ints
    """[N], which words stay together when words are divided into splits. Each cluster has as many
    words of each meaning, and words of all frequencies."""

    @staticmethod
    def draw(
        rng: np.random.Generator,
        ids: Ints,
        meanings: int,
        spread: int,
        told: int,
        cues: tuple[float, float],
        hint: float,
    ) -> WordClass:
        """Words `ids` [N] of so many `meanings`, which are balanced at all frequencies.

        A cluster has `spread` words of each meaning. `told` of them have a cue in the range of
        `cues`, the others one of `hint` on average.
        """
        n = len(ids)
        odds = 1.0 / (np.arange(n) + 120)
        meaning = _shuffled_blocks(rng, np.arange(n) % meanings, meanings)
        cluster = _clusters(rng, meaning, meanings, spread)
        cue = hint * rng.uniform(0.5, 1.5, n)
        order = np.lexsort((rng.random(n), meaning, cluster))
        chosen = order[np.arange(n) % spread < told]
        cue[chosen] = rng.uniform(*cues, len(chosen))
        return WordClass(ids, meaning, odds, cue, cluster)

    def table(self, label: Ints, weights: Floats) -> Floats:
        """For `pick`: a row for each label with the weights of its own words alone [K, N].

        Takes the label (0 to K - 1) and the weight of each word, [N] each.
        """
        return np.where(label == np.arange(label.max() + 1)[:, None], weights, 0.0)


@dataclass(frozen=True)
class Lexicon:
    """All V words of a world by their ids, and what they mean."""

    words: NDArray[np.object_]
    """[V]"""
    categories: Ints
    """[CATEGORIES], the words for the categories."""
    nouns: Ints
    """[CATEGORIES, NOUNS], the nouns that go with entities of each category."""
    alive: Ints
    """[CATEGORIES], whether entities of a category live (1) or not (0)."""
    adjective: WordClass
    entity: WordClass

    @cached_property
    def index(self) -> dict[str, int]:
        """Word -> id."""
        return {word: id for id, word in enumerate(self.words)}

    @staticmethod
    def draw(rng: np.random.Generator, adjectives: int, entities: int) -> Lexicon:
        """A lexicon with so many adjectives and entities."""
        counts = [len(FUNCTION_WORDS), CATEGORIES, CATEGORIES * NOUNS, adjectives, entities]
        words = np.array(FUNCTION_WORDS + pseudowords(rng, sum(counts[1:])), dtype=object)
        ids = np.split(np.arange(len(words)), np.cumsum(counts)[:-1])
        _, categories, nouns, adjective, entity = ids
        alive = rng.permutation(np.arange(CATEGORIES) % 2)
        return Lexicon(
            words,
            categories,
            nouns.reshape(CATEGORIES, NOUNS),
            alive,
            adjective=WordClass.draw(
                rng, adjective, meanings=2, spread=4, told=2, cues=(0.5, 0.9), hint=0.01
            ),
            entity=WordClass.draw(
                rng, entity, meanings=CATEGORIES, spread=2, told=1, cues=(0.7, 0.95), hint=0.025
            ),
        )


def pseudowords(rng: np.random.Generator, n: int) -> list[str]:
    """`n` distinct pronounceable words of two or three syllables, none of them a function word."""
    syllables = [consonant + vowel for consonant in CONSONANTS for vowel in VOWELS]
    words: dict[str, None] = dict.fromkeys(FUNCTION_WORDS)
    while len(words) < len(FUNCTION_WORDS) + n:
        words["".join(rng.choice(syllables, rng.integers(2, 4))) + rng.choice(ENDINGS)] = None
    return list(words)[len(FUNCTION_WORDS) :]


def pick(rng: np.random.Generator, weights: Floats, rows: Ints) -> Ints:
    """For each of `rows` [n] a column [n], drawn in proportion to that row of `weights` [K, N]."""
    total = np.cumsum(weights, axis=1)
    # rows end to end, the k-th from k to k + 1: one search serves them all
    total = total / total[:, -1:] + np.arange(len(weights))[:, None]
    place = np.searchsorted(total.ravel(), rows + rng.random(len(rows)), side="right")
    return place - rows * weights.shape[1]


def _clusters(rng: np.random.Generator, meaning: Ints, meanings: int, spread: int) -> Ints:
    """The cluster of each word [N], by its meaning [N]: `spread` words of each meaning in each."""
    cluster = np.empty(len(meaning), np.int64)
    for m in range(meanings):
        own = np.flatnonzero(meaning == m)
        clusters = len(own) // spread
        cluster[own] = _shuffled_blocks(rng, np.arange(len(own)) % clusters, clusters)
    return cluster


def _shuffled_blocks(rng: np.random.Generator, values: Ints, size: int) -> Ints:
    """`values` [N] shuffled within each run of `size`, so that every stretch is balanced."""
    blocks = np.arange(len(values)) // size
    return values[np.lexsort((rng.random(len(values)), blocks))]
