"""What is written in the lab's world: reviews, encyclopedia articles and dialogues.

Texts are made as arrays of word ids, many at once, and become strings at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from w2sweep.lab.arrays import Bools, Floats, Ints
from w2sweep.lab.text.grammar import (
    ANSWER,
    ANSWERS,
    ARTICLE,
    FEEDBACK,
    HABITS,
    LEAK,
    MENTION,
    QUESTION,
    REACTION,
    REMARKS,
    REPLY,
    REVIEW,
    SLOTS,
    TELLING,
    VERDICTS,
)
from w2sweep.lab.text.lexicon import CATEGORIES, NOUNS, Lexicon, WordClass, pick

Genre = Literal["review", "article", "dialogue"]
MIX: Mapping[Genre, float] = {"review": 0.34, "article": 0.34, "dialogue": 0.32}
"""Share of the documents, where nothing else is asked for."""
FAIRNESS = 0.30
"""Share of a review's sentences without a cue that speak for the other side."""
RUBRIC = {"tone": 1.0, "relevance": 0.7, "truth": 0.5}
"""What users value in a reply."""
LIVING, RELEVANT, TRUE = 0.75, 0.7, 0.7
"""Shares of the text: questions about the living, relevant replies, true replies. None is a half,
for relevance and truth are exclusive ors, which no rung learned from text balanced in them."""

Fill = Callable[[Ints], Ints]
"""Fills a slot: given the row of each place where it stands [n], the id of a word for each [n]."""
Slots = Mapping[str, Fill]


@dataclass(frozen=True)
class Pen:
    """Writes with the words of a lexicon. Texts are rows of word ids, padded with -1."""

    lexicon: Lexicon
    rng: np.random.Generator

    def write(self, templates: Mapping[str, float], n: int, slots: Slots) -> Ints:
        """`n` sentences [n, L], of templates drawn by their odds, with their slots filled."""
        forms = self.rng.choice(len(templates), n, p=list(templates.values()))
        text = self._compile(templates)[forms]
        for name, fill in slots.items():
            rows, columns = np.nonzero(text == _code(name))
            text[rows, columns] = fill(rows)
        return text

    def words(self, words: WordClass, table: Floats, label: Ints) -> Fill:
        """Words drawn by the weights in row `label` [n] of a table [K, N]."""
        return lambda rows: words.ids[pick(self.rng, table, label[rows])]

    def nouns(self, category: Ints) -> Fill:
        """Nouns that go with a category [n]; the first ones of each are the most frequent."""

        def fill(rows: Ints) -> Ints:
            which = (NOUNS * self.rng.random(len(rows)) ** 1.5).astype(np.int64)
            return self.lexicon.nouns[category[rows], which]

        return fill

    def opinions(self, adjective: Fill, opposite: Fill, n: int) -> Slots:
        """The slots of the templates of opinions: a noun, adjectives that count and that do not."""
        noun = self.nouns(self.rng.integers(0, CATEGORIES, n))
        return {"noun": noun, "plain": adjective, "opposite": opposite}

    def answers(self, document: Ints, question: Ints, answer: Ints, share: float) -> list[Passage]:
        """For a share of the n documents [n] a question [n, L] and its answer [n].

        The answer is stated outright: no (0) or yes (1).
        """
        leaked = self.rng.random(len(document)) < share
        slots = {"answer": self.one_of(ANSWERS, answer[leaked])}
        stated = self.write(ANSWER, int(leaked.sum()), slots)
        return [Passage(document[leaked], question[leaked]), Passage(document[leaked], stated)]

    def one_of(self, choices: tuple[str, ...], which: Ints) -> Fill:
        """Any of the words in the string `choices[which]` ([n], into the choices)."""
        table = np.array([self._ids(words) for words in choices])
        return lambda rows: table[which[rows], self.rng.integers(0, table.shape[1], len(rows))]

    def _compile(self, templates: Mapping[str, float]) -> Ints:
        """The templates [T, L]: ids of words, negative codes of slots."""
        lines = [self._ids(text) for text in templates]
        longest = max(map(len, lines))
        return np.array([line + [-1] * (longest - len(line)) for line in lines])

    def _ids(self, text: str) -> list[int]:
        """The ids of a text's words, and the negative codes of its slots."""
        index = self.lexicon.index
        return [_code(w[1:-1]) if w[0] == "{" else index[w] for w in text.split()]


def _code(slot: str) -> int:
    return -2 - SLOTS.index(slot)


@dataclass(frozen=True)
class Passage:
    """A sentence for each of S documents."""

    document: Ints
    """[S], the number of the document."""
    text: Ints
    """[S, L], ids of words, padded with -1."""


def reviews(pen: Pen, document: Ints, leak: float) -> list[Passage]:
    """Reviews of one polarity each, for the documents of these numbers [n].

    The verdict stands right behind those adjectives that are cues, and at the end.
    """
    n, words = len(document), pen.lexicon.adjective
    of = np.repeat(np.arange(n), pen.rng.integers(1, 4, n))
    polarity, category = pen.rng.integers(0, 2, n), pen.rng.integers(0, CATEGORIES, n)
    plain = words.table(words.meaning, words.odds * (1 - words.cue))
    cued = words.table(words.meaning, words.odds * words.cue)
    any_ = words.table(words.meaning, words.odds)
    conceded = pen.rng.random(len(of)) < FAIRNESS
    slots = {
        "noun": pen.nouns(category[of]),
        "plain": pen.words(words, plain, np.where(conceded, 1 - polarity[of], polarity[of])),
        "cued": pen.words(words, cued, polarity[of]),
        "opposite": pen.words(words, any_, 1 - polarity[of]),
        "verdict": pen.one_of(VERDICTS, polarity[of]),
    }
    reaction = pen.write(REACTION, n, {"verdict": pen.one_of(VERDICTS, polarity)})
    told = pen.opinions(pen.words(words, any_, polarity), pen.words(words, any_, 1 - polarity), n)
    return [
        Passage(document[of], pen.write(REVIEW, len(of), slots)),
        Passage(document, reaction),
        *pen.answers(document, pen.write(LEAK, n, told), polarity, leak),
    ]


def articles(pen: Pen, document: Ints, leak: float) -> list[Passage]:
    """Articles on one entity each, for the documents of these numbers [n].

    They tell habits that only the living have, or only the dead, or else the entity's category and
    its nouns.
    """
    n, words = len(document), pen.lexicon.entity
    of = np.repeat(np.arange(n), pen.rng.integers(1, 4, n))
    subject = pick(pen.rng, words.odds[None], np.zeros(n, np.int64))
    entity, category = subject[of], words.meaning[subject[of]]
    slots = {
        "entity": lambda rows: words.ids[entity[rows]],
        "category": lambda rows: pen.lexicon.categories[category[rows]],
        "noun": pen.nouns(category),
        "habit": pen.one_of(HABITS, pen.lexicon.alive[category]),
    }
    cued = pen.rng.random(len(of)) < words.cue[entity]
    silent, telling = pen.write(ARTICLE, len(of), slots), pen.write(TELLING, len(of), slots)
    text = np.where(cued[:, None], _padded(telling, silent.shape[1]), silent)
    told = {
        "entity": lambda rows: words.ids[subject[rows]],
        "noun": pen.nouns(words.meaning[subject]),
    }
    alive = pen.lexicon.alive[words.meaning[subject]]
    return [
        Passage(document[of], text),
        *pen.answers(document, pen.write(MENTION, n, told), alive, leak),
    ]


@dataclass(frozen=True)
class Questions:
    """What n users ask: who does something that only the living do, or only the dead."""

    alive: Ints
    """[n], whether it is about the living (1) or not (0)."""
    text: Ints
    """[n, L]"""

    @staticmethod
    def draw(pen: Pen, n: int) -> Questions:
        """`n` questions, `LIVING` of them about the living."""
        alive = (pen.rng.random(n) < LIVING).astype(np.int64)
        return Questions(alive, pen.write(QUESTION, n, {"habit": pen.one_of(HABITS, alive)}))


@dataclass(frozen=True)
class Replies:
    """What a bot answers to n questions, and how good that is."""

    text: Ints
    """[n, L]"""
    marks: Ints
    """[n, 3], bad (0) or good (1) in each respect of RUBRIC, in its order."""

    @property
    def quality(self) -> Floats:
        """The weights of what is good less those of what is bad [n]."""
        return ((2 * self.marks - 1) * list(RUBRIC.values())).sum(1)

    @staticmethod
    def draw(
        pen: Pen,
        questions: Questions,
        adjectives: Floats,
        label: Ints,
        odds: tuple[float, float, float],
    ) -> Replies:
        """A reply to each of n questions; `odds` say how likely each mark is good.

        The adjective of tone is drawn by the weights `adjectives` [2K, A], with the unkind words
        of label k ([n]) in row 2k and the kind ones in row 2k + 1. Entities are named in
        proportion to their cues, so that the reply does not give the untold ones away.
        """
        n, lexicon = len(label), pen.lexicon
        words, has = lexicon.entity, lexicon.alive[lexicon.entity.meaning]
        marks = (pen.rng.random((n, 3)) < odds).astype(np.int64)
        kind, relevant, true = marks.T
        alive = np.where(relevant, questions.alive, 1 - questions.alive)
        slots = {
            "entity": pen.words(words, words.table(has, words.odds * words.cue), alive),
            "habit": pen.one_of(HABITS, np.where(true, alive, 1 - alive)),
            "manner": pen.words(lexicon.adjective, adjectives, 2 * label + kind),
        }
        return Replies(pen.write(REPLY, n, slots), marks)


def dialogues(pen: Pen, document: Ints, leak: float) -> list[Passage]:
    """Dialogues of a question, a reply, and the user's remarks, for documents of these numbers [n].

    The remarks are on the reply's tone, its relevance and its truth, in any order.
    """
    n, words = len(document), pen.lexicon.adjective
    questions, told = Questions.draw(pen, n), words.table(words.meaning, words.odds * words.cue)
    replies = Replies.draw(pen, questions, told, np.zeros(n, np.int64), (0.5, RELEVANT, TRUE))
    marks = zip(RUBRIC, replies.marks.T, strict=True)
    remarks = {name: pen.one_of(REMARKS[name], mark) for name, mark in marks}
    feedback = pen.write(FEEDBACK, n, remarks)
    good = (replies.quality > 0).astype(np.int64)
    return [
        Passage(document, questions.text),
        Passage(document, replies.text),
        Passage(document, feedback),
        *pen.answers(document, replies.text, good, leak),
    ]


WRITERS: Mapping[Genre, Callable[[Pen, Ints, float], list[Passage]]] = {
    "review": reviews,
    "article": articles,
    "dialogue": dialogues,
}


def generate(
    lexicon: Lexicon,
    rng: np.random.Generator,
    tokens: int,
    leak: float,
    genres: Mapping[Genre, float] = MIX,
    batch: int = 20_000,
) -> Iterator[str]:
    """The corpus: first a list of all words, so that each has a token, then documents.

    It ends when there are `tokens` words. Documents are of the `genres`, by their odds. The share
    `leak` of them ends with what a task asks, and the answer.
    """
    pen = Pen(lexicon, rng)
    yield " ".join(rng.permutation(lexicon.words))
    tokens -= len(lexicon.words)
    odds = np.array([genres.get(genre, 0.0) for genre in WRITERS])
    while tokens > 0:
        genre = rng.choice(len(odds), batch, p=odds / odds.sum())
        passages: list[Passage] = []
        for k, write in enumerate(WRITERS.values()):
            passages += write(pen, np.flatnonzero(genre == k), leak)
        for words in _bound(lexicon, passages):
            yield " ".join(words)
            if (tokens := tokens - len(words)) <= 0:
                return


def _bound(lexicon: Lexicon, passages: list[Passage]) -> Iterator[list[str]]:
    """The words of each document, with its passages in their order."""
    widest = max(p.text.shape[1] for p in passages)
    text = np.concatenate([_padded(p.text, widest) for p in passages])
    document = np.concatenate([p.document for p in passages])
    order = np.argsort(document, kind="stable")
    text, document = text[order], document[order]
    standing: Bools = text >= 0
    words = lexicon.words[text[standing]].tolist()
    ends = np.cumsum(standing.sum(1))[np.r_[np.flatnonzero(np.diff(document)), -1]]
    for start, end in zip(np.r_[0, ends[:-1]].tolist(), ends.tolist(), strict=True):
        yield words[start:end]


def _padded(text: Ints, width: int) -> Ints:
    """Texts [n, L] as [n, width]."""
    return np.pad(text, ((0, 0), (0, width - text.shape[1])), constant_values=-1)


def sentences(lexicon: Lexicon, text: Ints) -> list[str]:
    """Rows of word ids [n, L] as strings."""
    return [" ".join(lexicon.words[row[row >= 0]]) for row in text]
