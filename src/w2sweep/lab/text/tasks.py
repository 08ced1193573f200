"""The lab's text tasks: what a reader of a world's text knows of its words.

Words are kept apart by split: no word that bears a label occurs in two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field

from w2sweep.lab.arrays import Bools, Floats, Ints
from w2sweep.lab.text.grammar import BALANCE, MENTION, NEUTRAL, OPINION
from w2sweep.lab.text.judging import Judge
from w2sweep.lab.text.lexicon import CATEGORIES, WordClass
from w2sweep.lab.text.prose import RUBRIC, Pen, Questions, Replies, sentences
from w2sweep.lab.text.world import World
from w2sweep.tasks.conditions import Commonness
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice, LinearHead, Reward
from w2sweep.tasks.remark import Remark
from w2sweep.tasks.task import Corpus, Family, Task
from w2sweep.tasks.wording import Wording
from w2sweep.values import Count, Rate, named, value

SPEAKER = "bot :"
"""What stands before a reply."""


@value
class WorldTask(Task):
    """A task about the words of a world. The world's text is its corpus."""

    stream: ClassVar[int]
    """Which of the world's streams of random numbers is the task's own: the lexicon has 0 and the
    corpus 1."""

    name: str = named()
    world: World
    remark: Remark | None = named(default=None, kw_only=True)
    head: LinearHead = named()
    pool: Count = 6000
    """Number of examples, before duplicates are dropped and splits are cut."""
    wording: Wording | None = named(default=None)

    @property
    def corpus(self) -> Corpus:
        """The world's text."""
        return self.world

    @cached_property
    def for_examples(self) -> Self:
        """With the world's words, whatever is written about them."""
        return replace(self, world=self.world.words_alone)

    @property
    def asked_about(self) -> WordClass:
        """The words that the examples ask about."""
        return self.world.lexicon.adjective

    def commonness(self, example: Example) -> Commonness | None:
        """Whether all words that it asks about are among the more frequent half, or all among the
        rarer half."""
        words = set(chain.from_iterable(view.split() for view in example.views))
        found: set[Commonness] = {self._ranks[word] for word in words & self._ranks.keys()}
        return found.pop() if len(found) == 1 else None

    @cached_property
    def _ranks(self) -> dict[str, Commonness]:
        """Each word that may be asked about -> to which half of them it belongs."""
        ids = self.asked_about.ids
        frequent = 2 * np.arange(len(ids)) < len(ids)
        words = self.world.lexicon.words[ids].tolist()
        halves: list[Commonness] = ["frequent" if often else "rare" for often in frequent]
        return dict(zip(words, halves, strict=True))

    @property
    def pen(self) -> Pen:
        """What writes the examples."""
        return Pen(self.world.lexicon, np.random.default_rng((self.world.seed, self.stream)))

    @property
    def _second_pen(self) -> Pen:
        """What writes texts without an answer."""
        return Pen(self.world.lexicon, np.random.default_rng((self.world.seed, self.stream, 1)))


@value
class OpinionTask(WorldTask):
    """Whether a sentence is kind. Groups are clusters of adjectives."""

    family: ClassVar[Family] = "nlp"
    label_classes: ClassVar[int] = 2
    templates: ClassVar[Mapping[str, float]]
    """The sentences, with their odds."""

    head: Choice = named()

    def examples(self) -> Iterator[Example]:
        """`pool` sentences, half of them kind. The same may come twice."""
        pen, words = self.pen, self.world.lexicon.adjective
        cluster, polarity = draw_groups(pen, words, self.pool), pen.rng.integers(0, 2, self.pool)
        kind = pen.words(words, clustered(words), 2 * cluster + polarity)
        unkind = pen.words(words, clustered(words), 2 * cluster + 1 - polarity)
        text = pen.write(self.templates, self.pool, pen.opinions(kind, unkind, self.pool))
        return labelled([sentences(pen.lexicon, text)], polarity, cluster)

    def unanswerable(self) -> Iterator[Example]:
        """Sentences that name an entity, and say nothing kind or unkind of it."""
        pen, entities = self._second_pen, self.world.lexicon.entity
        noun = pen.nouns(pen.rng.integers(0, CATEGORIES, self.pool))
        any_ = pen.words(entities, np.ones((1, len(entities.ids))), np.zeros(self.pool, np.int64))
        slots = {"noun": noun, "entity": any_}
        return alone(sentences(pen.lexicon, pen.write(NEUTRAL, self.pool, slots)))


@value
class Sentiment(OpinionTask):
    """Whether a sentence is kind: all its adjectives are, or none."""

    stream: ClassVar[int] = 2
    templates: ClassVar[Mapping[str, float]] = OPINION


@value
class Contrast(OpinionTask):
    """Whether a sentence is kind on balance, which takes composition.

    Of two adjectives that disagree, the second one counts after "but", and the first one before
    "though".
    """

    stream: ClassVar[int] = 5
    templates: ClassVar[Mapping[str, float]] = BALANCE


@value
class Membership(WorldTask):
    """Whether an entity is of a category that lives. Groups are clusters of entities."""

    family: ClassVar[Family] = "nlp"
    label_classes: ClassVar[int] = 2
    stream: ClassVar[int] = 3

    head: Choice = named()

    @property
    def asked_about(self) -> WordClass:
        return self.world.lexicon.entity

    def unanswerable(self) -> Iterator[Example]:
        """Sentences of two adjectives, which name neither an entity nor what goes with one."""
        pen, words = self._second_pen, self.world.lexicon.adjective
        any_ = pen.words(words, np.ones((1, len(words.ids))), np.zeros(self.pool, np.int64))
        text = pen.write(BALANCE, self.pool, {"plain": any_, "opposite": any_})
        return alone(sentences(pen.lexicon, text))

    def examples(self) -> Iterator[Example]:
        """`pool` sentences that name an entity. The same may come twice."""
        pen, words = self.pen, self.world.lexicon.entity
        entity = pen.rng.integers(0, len(words.ids), self.pool)
        noun = pen.nouns(pen.rng.integers(0, CATEGORIES, self.pool))
        slots = {"noun": noun, "entity": lambda rows: words.ids[entity[rows]]}
        text = pen.write(MENTION, self.pool, slots)
        alive = pen.lexicon.alive[words.meaning[entity]]
        return labelled([sentences(pen.lexicon, text)], alive, words.cluster[entity])


@value
class Preference(WorldTask):
    """Which of two replies to a question is the better one. Groups are clusters of adjectives."""

    family: ClassVar[Family] = "reward"
    stream: ClassVar[int] = 4
    respects: ClassVar[Mapping[str, float]] = RUBRIC
    reply_words: ClassVar[int] = 6

    head: Reward = named()
    margin: Annotated[float, Field(ge=0)] = 0.0
    """Pairs whose replies differ in quality by no more than this are left out."""
    frankness: Rate | None = None
    """Slope of the log odds that the better reply is preferred, by the difference in quality. It
    is the noise of all labels; None: there is no noise."""

    def examples(self) -> Iterator[Example]:
        """Up to `pool` pairs of replies, each after its question."""
        pen = self.pen
        cluster, questions, first, second = self._pairs(pen, self.pool)
        apart = np.flatnonzero(np.abs(first.quality - second.quality) > self.margin)
        views = _views(pen, questions, (first, second), apart)
        preferred = self._preferred(pen, first, second)[apart]
        return labelled(views, preferred, cluster[apart])

    def unanswerable(self) -> Iterator[Example]:
        """About `pool` pairs of replies of which none is better. Groups are as those of the
        examples."""
        pen = self._second_pen
        cluster, questions, first, second = self._pairs(pen, self.pool * 2 ** len(RUBRIC))
        alike = np.flatnonzero(first.quality == second.quality)
        views = _views(pen, questions, (first, second), alike)
        return labelled(views, np.zeros(len(alike), np.int64), cluster[alike])

    def _pairs(self, pen: Pen, n: int) -> tuple[Ints, Questions, Replies, Replies]:
        """The clusters of n pairs [n], their questions, and two replies to each."""
        words = self.world.lexicon.adjective
        cluster = draw_groups(pen, words, n)
        questions = Questions.draw(pen, n)
        even = (0.5, 0.5, 0.5)
        first = Replies.draw(pen, questions, clustered(words), cluster, even)
        second = Replies.draw(pen, questions, clustered(words), cluster, even)
        return cluster, questions, first, second

    def questions(self, rng: np.random.Generator, n: int) -> list[str]:
        """`n` questions as the pairs have them, up to where the bot speaks."""
        pen = Pen(self.world.lexicon, rng)
        asked = sentences(pen.lexicon, Questions.draw(pen, n).text)
        return [f"{question} {SPEAKER}" for question in asked]

    def replies(
        self, rng: np.random.Generator, question: str, n: int, held_out: Sequence[Example]
    ) -> list[str]:
        """`n` replies as the pairs have them, good in each respect as often as not. Their
        adjectives are those of the examples that are held out, all equally likely."""
        pen, words = Pen(self.world.lexicon, rng), self.world.lexicon.adjective
        known = {view.split()[-1] for e in held_out for view in e.views}
        among = np.isin(pen.lexicon.words[words.ids].astype(str), list(known))
        adjectives = words.table(words.meaning, among.astype(float))
        alive = np.full(n, self._judge.asked(question))
        asked = Questions(alive, np.empty((n, 0), np.int64))
        drawn = Replies.draw(pen, asked, adjectives, np.zeros(n, np.int64), (0.5, 0.5, 0.5))
        return [text.removeprefix(f"{SPEAKER} ") for text in sentences(pen.lexicon, drawn.text)]

    def judged(self, question: str, replies: Sequence[str]) -> Bools:
        """Whether each of N replies is good in each respect [N, 3]."""
        return self._judge.marks(self._judge.asked(question), replies)

    @property
    def _judge(self) -> Judge:
        return Judge(self.world.lexicon)

    def _preferred(self, pen: Pen, first: Replies, second: Replies) -> Ints:
        """Whether the first (0) or the second (1) of two replies is preferred [pool]."""
        better = second.quality - first.quality
        if self.frankness is None:
            return (better > 0).astype(np.int64)
        likely = 1 / (1 + np.exp(-self.frankness * better))
        return (pen.rng.random(self.pool) < likely).astype(np.int64)


def _views(
    pen: Pen, questions: Questions, replies: Iterable[Replies], rows: Ints
) -> list[list[str]]:
    """Some of the questions with each of their replies behind them: first views, second views."""
    texts = [np.hstack([questions.text, its.text])[rows] for its in replies]
    return [sentences(pen.lexicon, text) for text in texts]


def draw_groups(pen: Pen, words: WordClass, n: int) -> Ints:
    """Random clusters of words [n]."""
    return pen.rng.integers(0, words.cluster.max() + 1, n)


def clustered(words: WordClass) -> Floats:
    """For `pick`: the words of each cluster and meaning, all equally likely [2 * clusters, N].

    Rows 2k and 2k + 1 have the words of cluster k with meaning 0 and 1.
    """
    return words.table(2 * words.cluster + words.meaning, np.ones(len(words.ids)))


def labelled(views: Iterable[list[str]], labels: Ints, groups: Ints) -> Iterator[Example]:
    """N examples of their first views, second views, ... (N each), labels [N] and groups [N]."""
    points = zip(zip(*views, strict=True), labels.tolist(), groups.tolist(), strict=True)
    for texts, label, group in points:
        yield Example.of(*texts, label=int(label), group=f"cluster {group}")


def alone(texts: Iterable[str]) -> Iterator[Example]:
    """Texts without an answer, each a group of its own."""
    return (Example.of(text, label=0) for text in texts)
