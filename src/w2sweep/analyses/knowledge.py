"""What a frozen model knows of the world's words: a linear probe on what it holds at a word it is asked about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from w2sweep.experiment.splits import Sizes, Splits
from w2sweep.experiment.stages import Features
from w2sweep.lab.text.lexicon import WordClass
from w2sweep.lab.text.tasks import Membership, Sentiment
from w2sweep.lab.text.world import World
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice
from w2sweep.tasks.task import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from w2sweep.engine.store import Store
    from w2sweep.experiment.setting import Setting

UNTRAINED = "untrained"
"""The control: the strongest rung as it was before it read anything."""
FOLDS = 10
RIDGE = 1e-3
"""Of features with unit variance: what is added to their covariance. More of it hides what wide rungs know."""
HALVINGS = 4
"""Bins of rank: the rarer half of the words, the rarer half of the rest, and so on."""
SIZES = Sizes(supervisor=1200, student=1200, validation=400, test=1200)


@dataclass(frozen=True)
class Bin:
    """How often the probe is right on words of neighbouring ranks."""

    kind: str
    rung: str
    seed: int
    first: int
    """Rank of the most frequent of its words, from 1."""
    last: int
    words: int
    accuracy: float


@dataclass(frozen=True)
class Question:
    """A kind of words, the two meanings that it has, and the task that asks for them."""

    kind: str
    title: str
    task: Task
    words: NDArray[np.object_]  # [N], by frequency
    meaning: NDArray[np.int64]  # [N], 0 or 1
    cluster: NDArray[np.int64]  # [N]

    def probed(self, setting: Setting, rung: str) -> Features:
        """The stage with the hidden states of a rung."""
        ladder = setting.ladder
        backbone = (
            ladder.rungs[list(ladder.rungs)[-1]].untrained()
            if rung == UNTRAINED
            else ladder.rungs[rung]
        )
        assert ladder.tokenizer is not None, "pretrained rungs have read tokens"
        splits = Splits(self.task, SIZES, setting.seed)
        return Features(
            backbone, setting.init(backbone), splits, ladder.tokenizer.context, setting.seed
        )

    def answered(self, setting: Setting, rung: str, store: Store) -> list[Bin]:
        """How much the rung knows, by rank."""
        stage = self.probed(setting, rung)
        features, splits = store.get(stage), store.get(stage.splits)
        rank, hidden = self.asked(splits, features)
        right = probe(hidden, self.meaning[rank], self.cluster[rank])
        return [
            Bin(self.kind, rung, setting.seed, first + 1, last, words, accuracy)
            for first, last, words, accuracy in by_rank(right, rank, len(self.words))
        ]

    def asked(
        self, splits: Mapping[str, Sequence[Example]], features: Mapping[str, NDArray[np.float32]]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:  # -> [n], [n, width]
        """Of the examples that end on the only word of this kind in them, that word's rank and the hidden state."""
        ranks = {word: i for i, word in enumerate(self.words)}
        rank, hidden = [], []
        for name, examples in splits.items():
            for example, state in zip(examples, features[name], strict=True):
                text = example.views[0].split()
                if text[-1] in ranks and sum(word in ranks for word in text) == 1:
                    rank.append(ranks[text[-1]])
                    hidden.append(state[0])
        return np.array(rank), np.stack(hidden)


def questions(world: World) -> list[Question]:
    """Whether an adjective is kind, and whether an entity is alive."""
    lexicon, zero = world.lexicon, Choice(init="zero")

    def about(
        kind: str, title: str, task: Task, words: WordClass, meaning: NDArray[np.int64]
    ) -> Question:
        return Question(kind, title, task, lexicon.words[words.ids], meaning, words.cluster)

    adjective, entity = lexicon.adjective, lexicon.entity
    sentiment = Sentiment(name="sentiment", world=world, head=zero)
    membership = Membership(name="membership", world=world, head=zero)
    return [
        about("adjectives", "adjectives: kind or unkind", sentiment, adjective, adjective.meaning),
        about(
            "entities", "entities: alive or not", membership, entity, lexicon.alive[entity.meaning]
        ),
    ]


def probe(
    features: NDArray[np.floating], meaning: NDArray[np.int64], group: NDArray[np.int64]
) -> NDArray[np.bool_]:  # [n, width], [n], [n] -> [n]
    """Whether a ridge regression on the features tells each meaning, fitted to other groups than the one it is in."""
    right = np.zeros(len(meaning), bool)
    for fold in np.array_split(np.random.default_rng(0).permutation(np.unique(group)), FOLDS):
        test = np.isin(group, fold)
        if test.any():
            score = _ridge(
                features[~test].astype(float),
                2.0 * meaning[~test] - 1,
                features[test].astype(float),
            )
            right[test] = (score > 0) == (meaning[test] == 1)
    return right


def _ridge(
    x: NDArray, y: NDArray, asked: NDArray
) -> NDArray[np.float64]:  # [n, w], [n], [m, w] -> [m]
    centre, scale = x.mean(0), x.std(0) + 1e-12
    x, asked = (x - centre) / scale, (asked - centre) / scale
    weights = np.linalg.solve(
        x.T @ x / len(x) + RIDGE * np.eye(x.shape[1]), x.T @ (y - y.mean()) / len(x)
    )
    return asked @ weights + y.mean()


def by_rank(
    right: NDArray[np.bool_], rank: NDArray[np.int64], words: int
) -> Iterator[tuple[int, int, int, float]]:  # [n], [n]
    """(first, last + 1, words, accuracy) of each bin of ranks from 0; each of its words counts alike."""
    edges = sorted({0, *(words >> k for k in range(HALVINGS + 1))})
    seen, asked = np.unique(rank, return_inverse=True)
    accuracy = np.bincount(asked, right) / np.bincount(asked)
    for first, last in pairwise(edges):
        inside = (seen >= first) & (seen < last)
        if inside.any():
            yield first, last, int(inside.sum()), float(accuracy[inside].mean())


def overall(bins: Sequence[Bin], kind: str, rung: str) -> list[float]:
    """Accuracy over all words of a kind, a number a seed."""
    mine: dict[int, list[Bin]] = {}
    for b in bins:
        if (b.kind, b.rung) == (kind, rung):
            mine.setdefault(b.seed, []).append(b)
    return [
        sum(b.accuracy * b.words for b in its) / sum(b.words for b in its) for its in mine.values()
    ]


def records(bins: Sequence[Bin]) -> list[dict[str, Any]]:
    """A row a bin."""
    return [vars(b) for b in bins]
