"""The lab's text tasks: what a reader of the world's text knows of its words, asked of words kept apart by split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field

from w2sweep.lab.text.grammar import BALANCE, MENTION, OPINION
from w2sweep.lab.text.prose import Pen, Questions, Replies, sentences
from w2sweep.lab.text.world import CATEGORIES, Floats, Ints, Kind, World
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice, Reward
from w2sweep.tasks.task import Corpus, Family, Task
from w2sweep.values import Count, named, value


class InWorld(Task):
    """A task of a world: `pool` examples before duplicates are dropped and splits are cut."""

    world: World
    pool: int
    stream: ClassVar[int]
    """Its own stream of the world's random numbers; the lexicon and the corpus have 0 and 1."""

    @property
    def corpus(self) -> Corpus:
        return self.world

    @property
    def for_examples(self) -> Self:
        """With the world's words, whatever is written about them."""
        return replace(self, world=self.world.words_alone)

    @property
    def pen(self) -> Pen:
        return Pen(self.world.lexicon, np.random.default_rng((self.world.seed, self.stream)))


@value
class OfOpinion(InWorld):
    """Whether a sentence is kind. Groups are clusters of adjectives."""

    family: ClassVar[Family] = "nlp"
    templates: ClassVar[Mapping[str, float]]

    name: str = named()
    world: World
    head: Choice = named()
    pool: Count = 6000

    def examples(self) -> Iterator[Example]:
        pen, words = self.pen, self.world.lexicon.adjective
        cluster, polarity = draw_groups(pen, words, self.pool), pen.rng.integers(0, 2, self.pool)
        kind, unkind = (
            pen.words(words, clustered(words), 2 * cluster + p) for p in (polarity, 1 - polarity)
        )
        text = pen.write(self.templates, self.pool, pen.opinions(kind, unkind, self.pool))
        return labelled(zip(sentences(pen.lexicon, text), strict=True), polarity, cluster)


@value
class Sentiment(OfOpinion):
    """Whether a sentence is kind: all its adjectives are, or none. Groups are clusters of adjectives."""

    stream: ClassVar[int] = 2
    templates: ClassVar[Mapping[str, float]] = OPINION


@value
class Contrast(OfOpinion):
    """Whether a sentence is kind on balance: of two adjectives that disagree, "but" lets the second count, "though" the
    first, so that it takes composition. Groups are clusters of adjectives."""

    stream: ClassVar[int] = 5
    templates: ClassVar[Mapping[str, float]] = BALANCE


@value
class Membership(InWorld):
    """Whether an entity is of a category that lives. Groups are clusters of entities."""

    family: ClassVar[Family] = "nlp"
    stream: ClassVar[int] = 3

    name: str = named()
    world: World
    head: Choice = named()
    pool: Count = 6000

    def examples(self) -> Iterator[Example]:
        pen, words = self.pen, self.world.lexicon.entity
        entity = pen.rng.integers(0, len(words.ids), self.pool)
        noun = pen.nouns(pen.rng.integers(0, CATEGORIES, self.pool))
        text = pen.write(
            MENTION, self.pool, {"noun": noun, "entity": lambda rows: words.ids[entity[rows]]}
        )
        alive = pen.lexicon.alive[words.meaning[entity]]
        return labelled(
            zip(sentences(pen.lexicon, text), strict=True), alive, words.cluster[entity]
        )


@value
class Preference(InWorld):
    """Which of two replies to a question is the better one. Groups are clusters of adjectives."""

    family: ClassVar[Family] = "reward"
    stream: ClassVar[int] = 4

    name: str = named()
    world: World
    head: Reward = named()
    pool: Count = 6000
    margin: Annotated[float, Field(ge=0)] = 0.0
    """Pairs whose replies differ in quality by no more than this are left out."""
    frankness: Annotated[float, Field(gt=0)] | None = None
    """Slope of the log odds that the better reply is preferred, the noise of all labels; None: there is no noise."""

    def examples(self) -> Iterator[Example]:
        pen, words = self.pen, self.world.lexicon.adjective
        cluster = draw_groups(pen, words, self.pool)
        questions = Questions.draw(pen, self.pool)
        first, second = (
            Replies.draw(pen, questions, clustered(words), cluster, (0.5, 0.5, 0.5))
            for _ in range(2)
        )
        apart = np.flatnonzero(np.abs(first.quality - second.quality) > self.margin)
        views = [
            sentences(pen.lexicon, np.hstack([questions.text, r.text])[apart])
            for r in (first, second)
        ]
        return labelled(
            zip(*views, strict=True), self._preferred(pen, first, second)[apart], cluster[apart]
        )

    def _preferred(
        self, pen: Pen, first: Replies, second: Replies
    ) -> Ints:  # [pool], 1: the second
        better = second.quality - first.quality
        if self.frankness is None:
            return (better > 0).astype(np.int64)
        return (pen.rng.random(self.pool) < 1 / (1 + np.exp(-self.frankness * better))).astype(
            np.int64
        )


def draw_groups(pen: Pen, words: Kind, n: int) -> Ints:
    """Clusters of words, [n]."""
    return pen.rng.integers(0, words.cluster.max() + 1, n)


def clustered(words: Kind) -> Floats:  # [K, N]
    """For `pick`: rows 2k and 2k + 1 have the words of cluster k, by meaning, all equally likely."""
    return words.table(2 * words.cluster + words.meaning, np.ones(len(words.ids)))


def labelled(views: Iterable[tuple[str, ...]], labels: Ints, groups: Ints) -> Iterator[Example]:
    """Examples; the same text may come twice."""
    for texts, label, group in zip(views, labels.tolist(), groups.tolist(), strict=True):
        yield Example.of(*texts, label=int(label), group=f"cluster {group}")
