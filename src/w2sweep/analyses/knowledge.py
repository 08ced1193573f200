"""What a frozen model knows of the world's words: a linear probe on its hidden state at a word that
it is asked about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2sweep.engine.store import Store
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Sizes, Splits
from w2sweep.experiment.stages import Features
from w2sweep.lab.text.tasks import Membership, Sentiment
from w2sweep.lab.text.world import World
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice
from w2sweep.tasks.task import Task

UNTRAINED = "untrained"
"""The control: the strongest rung as it was before it read anything."""
FOLDS = 10
RIDGE = 1e-3
"""What is added to the covariance of features with unit variance. More of it hides what wide rungs
know."""
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
    words: NDArray[np.object_]
    """[W], the most frequent first."""
    meaning: NDArray[np.int64]
    """[W], 0 or 1."""
    cluster: NDArray[np.int64]
    """[W], of words that are used alike."""

    def probed(self, setting: Setting, rung: str) -> Features:
        """The stage with the hidden states of a rung."""
        ladder = setting.ladder
        assert ladder.tokenizer is not None, "pretrained rungs have read tokens"
        strongest = list(ladder.rungs)[-1]
        model = ladder.rungs[strongest].untrained() if rung == UNTRAINED else ladder.rungs[rung]
        return Features(
            backbone=model.backbone(rung),
            init=setting.pretrained(model if rung == UNTRAINED else rung),
            splits=Splits.of(self.task, SIZES, setting.seed),
            head=self.task.head,
            max_tokens=ladder.tokenizer.context,
            seed=setting.seed,
        )

    def answered(self, setting: Setting, rung: str, store: Store) -> list[Bin]:
        """How much the rung knows, by rank."""
        stage = self.probed(setting, rung)
        rank, hidden = self.asked(store.get(stage.splits), store.get(stage))
        right = probe(hidden, self.meaning[rank], self.cluster[rank])
        return [
            Bin(self.kind, rung, setting.seed, first + 1, last, words, accuracy)
            for first, last, words, accuracy in by_rank(right, rank, len(self.words))
        ]

    def asked(
        self, splits: Mapping[str, Sequence[Example]], features: Mapping[str, NDArray[np.float32]]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The examples that end on the only word of this kind in them.

        Returns that word's rank [n] and the hidden state [n, width].

        Args:
            splits: name -> N examples.
            features: name -> [N, views, width].
        """
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

    adjective, entity = lexicon.adjective, lexicon.entity
    sentiment = Sentiment(name="sentiment", world=world, head=zero)
    membership = Membership(name="membership", world=world, head=zero)
    return [
        Question(
            kind="adjectives",
            title="adjectives: kind or unkind",
            task=sentiment,
            words=lexicon.words[adjective.ids],
            meaning=adjective.meaning,
            cluster=adjective.cluster,
        ),
        Question(
            kind="entities",
            title="entities: alive or not",
            task=membership,
            words=lexicon.words[entity.ids],
            meaning=lexicon.alive[entity.meaning],
            cluster=entity.cluster,
        ),
    ]


def probe(
    features: NDArray[np.floating], meaning: NDArray[np.int64], group: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether a ridge regression on the features tells each meaning, [n].

    It is fitted to other groups than the one that the meaning is in.

    Args:
        features: [n, width].
        meaning: [n], 0 or 1.
        group: [n].
    """
    right = np.zeros(len(meaning), bool)
    target, features = 2.0 * meaning - 1, features.astype(float)
    for fold in np.array_split(np.random.default_rng(0).permutation(np.unique(group)), FOLDS):
        test = np.isin(group, fold)
        if test.any():
            score = _ridge(features[~test], target[~test], features[test])
            right[test] = (score > 0) == (meaning[test] == 1)
    return right


def _ridge(x: NDArray, y: NDArray, asked: NDArray) -> NDArray[np.float64]:
    """What a regression of y [n] on x [n, width] says of `asked` [m, width]: [m]."""
    centre, scale = x.mean(0), x.std(0) + 1e-12
    x, asked = (x - centre) / scale, (asked - centre) / scale
    covariance = x.T @ x / len(x) + RIDGE * np.eye(x.shape[1])
    weights = np.linalg.solve(covariance, x.T @ (y - y.mean()) / len(x))
    return asked @ weights + y.mean()


def by_rank(
    right: NDArray[np.bool_], rank: NDArray[np.int64], words: int
) -> Iterator[tuple[int, int, int, float]]:
    """(first rank, last rank + 1, words, accuracy) of each bin of ranks from 0.

    Each of a bin's words counts alike.

    Args:
        right: [n], whether the probe was right.
        rank: [n], of the word that it was asked about.
        words: how many there are.
    """
    edges = sorted({0, *(words >> k for k in range(HALVINGS + 1))})
    seen, asked = np.unique(rank, return_inverse=True)
    accuracy = np.bincount(asked, right) / np.bincount(asked)
    for first, last in pairwise(edges):
        inside = (seen >= first) & (seen < last)
        if inside.any():
            yield first, last, int(inside.sum()), float(accuracy[inside].mean())


def overall(bins: Sequence[Bin], kind: str, rung: str) -> list[float]:
    """Accuracy over all words of a kind, a number a seed."""
    right: dict[int, float] = defaultdict(float)
    words: dict[int, int] = defaultdict(int)
    for b in bins:
        if (b.kind, b.rung) == (kind, rung):
            right[b.seed] += b.accuracy * b.words
            words[b.seed] += b.words
    return [right[seed] / words[seed] for seed in right]


def bin_records(bins: Sequence[Bin]) -> list[dict[str, Any]]:
    """A record a bin, for `knowledge.csv`."""
    return [vars(b) for b in bins]
