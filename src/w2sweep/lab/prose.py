"""What is written in the lab's world: reviews, encyclopedia articles and dialogues, made as arrays of word ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from w2sweep.lab.grammar import (
    ARTICLE,
    FEEDBACK,
    FEEDBACKS,
    HABITS,
    QUESTION,
    REACTION,
    REPLY,
    REVIEW,
    SLOTS,
    VERDICTS,
)  # fmt: skip
from w2sweep.lab.world import CATEGORIES, NOUNS, Floats, Ints, Kind, Lexicon, pick

MIX = {"review": 0.35, "article": 0.5, "dialogue": 0.15}
"""Share of the documents."""
FAIRNESS = 0.25
"""Share of a review's sentences without a cue that speak for the other side."""
RUBRIC = {"tone": 1.0, "relevance": 0.3, "truth": 0.15}
"""What users value in a reply."""
FRANKNESS = 3.0
"""How surely the better reply is the one that is thanked for: slope of the log odds."""

Fill = Callable[[Ints], Ints]
"""For each place where a slot stands, given as its row, the id of a word."""
Slots = Mapping[str, Fill]


@dataclass(frozen=True)
class Pen:
    """Writes with the words of a lexicon."""

    lexicon: Lexicon
    rng: np.random.Generator

    def write(self, templates: Mapping[str, float], n: int, slots: Slots, forms: Ints | None = None) -> Ints:
        """`n` sentences [n, L], padded with -1, of forms drawn by the templates' odds, or given ([n])."""
        if forms is None:
            forms = self.rng.choice(len(templates), n, p=list(templates.values()))
        text = self._compile(templates)[forms]
        for name, fill in slots.items():
            rows, columns = np.nonzero(text == _code(name))
            text[rows, columns] = fill(rows)
        return text

    def _compile(self, templates: Mapping[str, float]) -> Ints:  # [T, L]
        """Ids of words, negative codes of slots."""
        lines = [[_code(w[1:-1]) if w[0] == "{" else self.lexicon.index[w] for w in t.split()] for t in templates]
        longest = max(map(len, lines))
        return np.array([line + [-1] * (longest - len(line)) for line in lines])

    def words(self, kind: Kind, table: Floats, label: Ints) -> Fill:  # [K, N], [n]
        """Words drawn by row `label` of a table of weights."""
        return lambda rows: kind.ids[pick(self.rng, table, label[rows])]

    def nouns(self, category: Ints) -> Fill:
        def fill(rows: Ints) -> Ints:  # the first of a category's nouns are the most frequent
            return self.lexicon.nouns[category[rows], (NOUNS * self.rng.random(len(rows)) ** 1.5).astype(np.int64)]

        return fill

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


def reviews(pen: Pen, document: Ints) -> list[Passage]:
    """Of one polarity each; the verdict comes right behind the adjectives that are cues, and at the end."""
    n, words = len(document), pen.lexicon.adjective
    of = np.repeat(np.arange(n), pen.rng.integers(1, 4, n))
    polarity, category = pen.rng.integers(0, 2, n), pen.rng.integers(0, CATEGORIES, n)
    plain, cued, any_ = (words.table(words.meaning, words.odds * w) for w in (1 - words.cue, words.cue, 1.0))
    conceded = pen.rng.random(len(of)) < FAIRNESS
    slots = {
        "noun": pen.nouns(category[of]),
        "plain": pen.words(words, plain, np.where(conceded, 1 - polarity[of], polarity[of])),
        "cued": pen.words(words, cued, polarity[of]),
        "opposite": pen.words(words, any_, 1 - polarity[of]),
        "verdict": pen.one_of(VERDICTS, polarity[of]),
    }
    reaction = pen.write(REACTION, n, {"verdict": pen.one_of(VERDICTS, polarity)})
    return [Passage(document[of], pen.write(REVIEW, len(of), slots)), Passage(document, reaction)]


def articles(pen: Pen, document: Ints) -> list[Passage]:
    """On one entity each: its category, the category's nouns, and habits that only the living, or the dead, have."""
    n, words = len(document), pen.lexicon.entity
    of = np.repeat(np.arange(n), pen.rng.integers(1, 4, n))
    entity = pick(pen.rng, words.odds[None], np.zeros(n, np.int64))[of]
    category = words.meaning[entity]
    slots = {
        "entity": lambda rows: words.ids[entity[rows]],
        "category": lambda rows: pen.lexicon.categories[category[rows]],
        "noun": pen.nouns(category),
        "habit": pen.one_of(HABITS, pen.lexicon.alive[category]),
    }
    forms = pen.rng.choice(len(ARTICLE), len(of), p=list(ARTICLE.values()))
    told, untold = (list(ARTICLE).index(t) for t in ("{entity} {habit} .", "{entity} is a {category} ."))
    forms[(forms == told) & (pen.rng.random(len(of)) > words.cue[entity])] = untold
    return [Passage(document[of], pen.write(ARTICLE, len(of), slots, forms))]


@dataclass(frozen=True)
class Questions:
    """What users ask: about a noun of an entity."""

    entity: Ints  # [n]
    noun: Ints  # [n], ids
    text: Ints  # [n, L]

    @staticmethod
    def draw(pen: Pen, n: int) -> Questions:
        words = pen.lexicon.entity
        entity = pick(pen.rng, words.odds[None], np.zeros(n, np.int64))
        noun = pen.nouns(words.meaning[entity])(np.arange(n))
        slots = {"entity": lambda rows: words.ids[entity[rows]], "noun": lambda rows: noun[rows]}
        return Questions(entity, noun, pen.write(QUESTION, n, slots))


@dataclass(frozen=True)
class Replies:
    """What a bot answers, and how good each answer is."""

    text: Ints  # [n, L]
    quality: Floats  # [n]

    @staticmethod
    def draw(pen: Pen, questions: Questions, adjectives: Floats, label: Ints) -> Replies:
        """`adjectives` [2K, A] has the unkind words of label k ([n]) in row 2k and the kind ones in row 2k + 1."""
        n, rng, lexicon = len(label), pen.rng, pen.lexicon
        true, relevant, kind = rng.integers(0, 2, (3, n))
        category = lexicon.entity.meaning[questions.entity]
        other = (category + rng.integers(1, CATEGORIES, n)) % CATEGORIES
        category = np.where(true, category, other)
        noun = np.where(relevant, questions.noun, pen.nouns(other)(np.arange(n)))
        slots = {
            "entity": lambda rows: lexicon.entity.ids[questions.entity[rows]],
            "category": lambda rows: lexicon.categories[category[rows]],
            "noun": lambda rows: noun[rows],
            "tone": pen.words(lexicon.adjective, adjectives, 2 * label + kind),
        }
        marks = np.stack([kind, relevant, true], 1) * 2.0 - 1.0
        return Replies(pen.write(REPLY, n, slots), (marks * list(RUBRIC.values())).sum(1))


def dialogues(pen: Pen, document: Ints) -> list[Passage]:
    """A question, a reply, and what the user thinks of it."""
    n, words = len(document), pen.lexicon.adjective
    questions = Questions.draw(pen, n)
    replies = Replies.draw(pen, questions, words.table(words.meaning, words.odds), np.zeros(n, np.int64))
    pleased = pen.rng.random(n) < 1 / (1 + np.exp(-FRANKNESS * replies.quality))
    feedback = pen.write(FEEDBACK, n, {"feedback": pen.one_of(FEEDBACKS, pleased.astype(np.int64))})
    return [Passage(document, text) for text in (questions.text, replies.text, feedback)]


def documents(lexicon: Lexicon, rng: np.random.Generator, tokens: int, batch: int = 20_000) -> Iterator[str]:
    """The corpus: first a list of all words, so that each has a token, then documents until there are `tokens`."""
    pen = Pen(lexicon, rng)
    yield " ".join(rng.permutation(lexicon.words))
    tokens -= len(lexicon.words)
    while tokens > 0:
        kind = rng.choice(len(MIX), batch, p=list(MIX.values()))
        genres = (reviews, articles, dialogues)
        passages = [p for k, genre in enumerate(genres) for p in genre(pen, np.flatnonzero(kind == k))]
        for words in _bound(lexicon, passages):
            yield " ".join(words)
            if (tokens := tokens - len(words)) <= 0:
                return


def _bound(lexicon: Lexicon, passages: list[Passage]) -> Iterator[list[str]]:
    """The documents' words, each with its passages in their order."""
    widest = max(p.text.shape[1] for p in passages)
    text = np.concatenate(
        [np.pad(p.text, ((0, 0), (0, widest - p.text.shape[1])), constant_values=-1) for p in passages]
    )
    document = np.concatenate([p.document for p in passages])
    order = np.argsort(document, kind="stable")
    text, document = text[order], document[order]
    words = lexicon.words[text[text >= 0]].tolist()
    ends = np.cumsum((text >= 0).sum(1))[np.r_[np.flatnonzero(np.diff(document)), -1]]
    for start, end in zip(np.r_[0, ends[:-1]].tolist(), ends.tolist(), strict=True):
        yield words[start:end]


def sentences(lexicon: Lexicon, text: Ints) -> list[str]:
    """Rows of ids as strings."""
    return [" ".join(lexicon.words[row[row >= 0]]) for row in text]
