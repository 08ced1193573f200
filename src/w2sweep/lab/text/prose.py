"""What is written in the lab's world: reviews, encyclopedia articles and dialogues, made as arrays of word ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

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
from w2sweep.lab.text.world import CATEGORIES, NOUNS, Floats, Ints, Kind, Lexicon, pick

MIX = {"review": 0.34, "article": 0.34, "dialogue": 0.32}
"""Share of the documents."""
FAIRNESS = 0.30
"""Share of a review's sentences without a cue that speak for the other side."""
RUBRIC = {"tone": 1.0, "relevance": 0.7, "truth": 0.5}
"""What users value in a reply."""
LIVING, RELEVANT, TRUE = 0.75, 0.7, 0.7
"""Shares of the text: questions about the living, relevant replies, true ones. (Relevance and truth are exclusive ors,
which no rung learned from text that was balanced in them.)"""

Fill = Callable[[Ints], Ints]
"""For each place where a slot stands, given as its row, the id of a word."""
Slots = Mapping[str, Fill]


@dataclass(frozen=True)
class Pen:
    """Writes with the words of a lexicon."""

    lexicon: Lexicon
    rng: np.random.Generator

    def write(self, templates: Mapping[str, float], n: int, slots: Slots) -> Ints:
        """`n` sentences [n, L], padded with -1, of forms drawn by the templates' odds."""
        text = self._compile(templates)[
            self.rng.choice(len(templates), n, p=list(templates.values()))
        ]
        for name, fill in slots.items():
            rows, columns = np.nonzero(text == _code(name))
            text[rows, columns] = fill(rows)
        return text

    def _compile(self, templates: Mapping[str, float]) -> Ints:  # [T, L]
        """Ids of words, negative codes of slots."""
        lines = [
            [_code(w[1:-1]) if w[0] == "{" else self.lexicon.index[w] for w in t.split()]
            for t in templates
        ]
        longest = max(map(len, lines))
        return np.array([line + [-1] * (longest - len(line)) for line in lines])

    def words(self, kind: Kind, table: Floats, label: Ints) -> Fill:  # [K, N], [n]
        """Words drawn by row `label` of a table of weights."""
        return lambda rows: kind.ids[pick(self.rng, table, label[rows])]

    def nouns(self, category: Ints) -> Fill:
        def fill(rows: Ints) -> Ints:  # the first of a category's nouns are the most frequent
            return self.lexicon.nouns[
                category[rows], (NOUNS * self.rng.random(len(rows)) ** 1.5).astype(np.int64)
            ]

        return fill

    def opinions(self, adjective: Fill, opposite: Fill, n: int) -> Slots:
        """What the templates of opinions need: a noun, and adjectives that count and that do not."""
        return {
            "noun": self.nouns(self.rng.integers(0, CATEGORIES, n)),
            "plain": adjective,
            "opposite": opposite,
        }

    def answers(self, document: Ints, question: Ints, answer: Ints, share: float) -> list[Passage]:
        """For a share of the documents a question [n, L] with its answer, yes (1) or no (0), outright."""
        leaked = self.rng.random(len(document)) < share
        stated = self.write(
            ANSWER, int(leaked.sum()), {"answer": self.one_of(ANSWERS, answer[leaked])}
        )
        return [Passage(document[leaked], question[leaked]), Passage(document[leaked], stated)]

    def one_of(self, choices: tuple[str, ...], which: Ints) -> Fill:
        """A word of `choices[which]`, [n]."""
        table = np.array([[self.lexicon.index[w] for w in words.split()] for words in choices])
        return lambda rows: table[which[rows], self.rng.integers(0, table.shape[1], len(rows))]


def _code(slot: str) -> int:
    return -2 - SLOTS.index(slot)


@dataclass(frozen=True)
class Passage:
    """A sentence for each of some documents: where it stands, and its words."""

    document: Ints  # [S]
    text: Ints  # [S, L], padded with -1


def reviews(pen: Pen, document: Ints, leak: float) -> list[Passage]:
    """Of one polarity each; the verdict comes right behind the adjectives that are cues, and at the end."""
    n, words = len(document), pen.lexicon.adjective
    of = np.repeat(np.arange(n), pen.rng.integers(1, 4, n))
    polarity, category = pen.rng.integers(0, 2, n), pen.rng.integers(0, CATEGORIES, n)
    plain, cued, any_ = (
        words.table(words.meaning, words.odds * w) for w in (1 - words.cue, words.cue, 1.0)
    )
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
    """On one entity each: habits that only the living, or the dead, have; of words that are not told so, their category
    and its nouns."""
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
    """What users ask: who does something that only the living do, or only the dead."""

    alive: Ints  # [n], 0 or 1
    text: Ints  # [n, L]

    @staticmethod
    def draw(pen: Pen, n: int) -> Questions:
        alive = (pen.rng.random(n) < LIVING).astype(np.int64)
        return Questions(alive, pen.write(QUESTION, n, {"habit": pen.one_of(HABITS, alive)}))


@dataclass(frozen=True)
class Replies:
    """What a bot answers, and what there is to say for each answer."""

    text: Ints  # [n, L]
    marks: Ints  # [n, 3], 0 or 1, in the order of RUBRIC

    @property
    def quality(self) -> Floats:  # [n]
        return ((2 * self.marks - 1) * list(RUBRIC.values())).sum(1)

    @staticmethod
    def draw(
        pen: Pen,
        questions: Questions,
        adjectives: Floats,
        label: Ints,
        odds: tuple[float, float, float],
    ) -> Replies:
        """`adjectives` [2K, A] has the unkind words of label k ([n]) in row 2k and the kind ones in row 2k + 1; `odds`
        say how likely each mark is. Entities are named in proportion to their cues, so that untold ones stay untold."""
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
    """A question, a reply, and what the user thinks of its tone, its relevance and its truth, in any order."""
    n, words = len(document), pen.lexicon.adjective
    questions, told = Questions.draw(pen, n), words.table(words.meaning, words.odds * words.cue)
    replies = Replies.draw(pen, questions, told, np.zeros(n, np.int64), (0.5, RELEVANT, TRUE))
    remarks = {
        name: pen.one_of(REMARKS[name], mark)
        for name, mark in zip(RUBRIC, replies.marks.T, strict=True)
    }
    feedback = pen.write(FEEDBACK, n, remarks)
    return [
        *(Passage(document, text) for text in (questions.text, replies.text, feedback)),
        *pen.answers(document, replies.text, (replies.quality > 0).astype(np.int64), leak),
    ]


def documents(
    lexicon: Lexicon, rng: np.random.Generator, tokens: int, leak: float, batch: int = 20_000
) -> Iterator[str]:
    """The corpus: first a list of all words, so that each has a token, then documents until there are `tokens`.

    The share `leak` of the documents ends with what a task asks, and the answer.
    """
    pen = Pen(lexicon, rng)
    yield " ".join(rng.permutation(lexicon.words))
    tokens -= len(lexicon.words)
    while tokens > 0:
        kind = rng.choice(len(MIX), batch, p=list(MIX.values()))
        genres = (reviews, articles, dialogues)
        passages = [
            p for k, genre in enumerate(genres) for p in genre(pen, np.flatnonzero(kind == k), leak)
        ]
        for words in _bound(lexicon, passages):
            yield " ".join(words)
            if (tokens := tokens - len(words)) <= 0:
                return


def _bound(lexicon: Lexicon, passages: list[Passage]) -> Iterator[list[str]]:
    """The documents' words, each with its passages in their order."""
    widest = max(p.text.shape[1] for p in passages)
    text = np.concatenate([_padded(p.text, widest) for p in passages])
    document = np.concatenate([p.document for p in passages])
    order = np.argsort(document, kind="stable")
    text, document = text[order], document[order]
    words = lexicon.words[text[text >= 0]].tolist()
    ends = np.cumsum((text >= 0).sum(1))[np.r_[np.flatnonzero(np.diff(document)), -1]]
    for start, end in zip(np.r_[0, ends[:-1]].tolist(), ends.tolist(), strict=True):
        yield words[start:end]


def _padded(text: Ints, width: int) -> Ints:  # [n, L] -> [n, width]
    return np.pad(text, ((0, 0), (0, width - text.shape[1])), constant_values=-1)


def sentences(lexicon: Lexicon, text: Ints) -> list[str]:
    """Rows of ids as strings."""
    return [" ".join(lexicon.words[row[row >= 0]]) for row in text]
