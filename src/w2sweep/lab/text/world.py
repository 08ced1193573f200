"""The lab's synthetic world: words that mean something, and a corpus about them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from w2sweep.lab.text.lexicon import Lexicon
from w2sweep.lab.text.prose import MIX, Genre, generate
from w2sweep.tasks.task import Corpus
from w2sweep.values import Count, Fraction, Rate, Seed, value


@value
class World(Corpus):
    """A language with adjectives that are kind or unkind, and entities of sixteen categories.

    Half of the categories are alive. No text names polarity or life; a reader infers them from
    what is written around a word. Words have flattened Zipfian frequencies. Some of them are told:
    half of their sentences or more give their meaning away. That of the others shows in what goes
    with them, and hardly elsewhere. So the better a model learns from little text, the more words
    it knows.
    """

    version: ClassVar[int] = 2
    """Raised when the same seed gives other text, for then results with the earlier text must not
    be found any more."""
    added: ClassVar[frozenset[str]] = frozenset({"genres"})
    """Fields that came later: at their default they are no part of the identity."""

    seed: Seed
    adjectives: Annotated[int, Field(gt=0, multiple_of=8)] = 1280
    entities: Annotated[int, Field(gt=0, multiple_of=32)] = 1280
    tokens: Count = 3_600_000
    """Length of the corpus in words."""
    leak: Fraction = 0.0
    """Share of the documents that state outright what a task asks: the knob of pretraining
    leakage."""
    genres: Annotated[dict[Genre, Rate], Field(min_length=1)] | None = None
    """The kinds of documents that are written, and their odds; None: all three, about a third
    each. The words are the same, and all of them are listed first, so that texts of other genres
    have the same tokens."""

    @cached_property
    def lexicon(self) -> Lexicon:
        """The words and what they mean."""
        return Lexicon.draw(np.random.default_rng((self.seed, 0)), self.adjectives, self.entities)

    @property
    def words_alone(self) -> World:
        """A world with the same words, and the default text about them."""
        return World(self.seed, self.adjectives, self.entities)

    def documents(self) -> Iterator[str]:
        """Documents of the genres, after a list of all words."""
        rng = np.random.default_rng((self.seed, 1))
        return generate(self.lexicon, rng, self.tokens, self.leak, self.genres or MIX)
