"""Ladders: ordered families of pretrained models, each size a rung with what depends on size.

This is what configurations say; stages hold the backbones that rungs name.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from math import log
from typing import Any

from w2sweep.experiment.backbone import (
    Backbone,
    HubModel,
    Pretraining,
    SmallLlama,
    Tokenizer,
    check_depth,
)
from w2sweep.experiment.recipe import Precision
from w2sweep.experiment.shape import Shape, shape_of_model
from w2sweep.tasks.task import Corpus
from w2sweep.tasks.text_file import CorpusOrFile
from w2sweep.values import ConfigError, Count, Natural, Rate, Seed, value

EMBEDDING_LR = 5.0
"""Multiplies the rate of embeddings in pretraining from random weights: rare words are met so
seldom that theirs must learn faster (measured in docs/lab.md)."""


@value
class Rung(ABC):
    """One size of a ladder: a backbone, how fast to finetune it, and facts for the axes of figures.

    No stage holds a rung. Pretraining and features hold its backbone alone, finetuning also a
    learning rate, and facts are in no identity: they can be corrected at no cost.
    """

    lr: Rate
    """Peak learning rate of finetuning."""

    @abstractmethod
    def backbone(self, name: str) -> Backbone:
        """The model, which messages call `name`."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Parameters without embeddings, which figures and compute go by (Kaplan et al. 2020): of a
        small model most are embeddings, of a large one next to none. Where nobody says how many
        are, all of them."""

    @property
    def parameters(self) -> int:
        """All parameters that its ladder tells of."""
        return self.size

    @property
    def counted(self) -> int | None:
        """All parameters by the model's own configuration, to hold against `parameters`; None where
        that is not at hand, or where `size` is computed from it."""
        return None

    @property
    @abstractmethod
    def tokens_read(self) -> int:
        """Tokens of pretraining, counted with repetition."""

    @abstractmethod
    def untrained(self) -> Rung:
        """The same architecture with random weights: it owes nothing to pretraining."""

    @property
    def compute(self) -> float:
        """Pretraining compute in FLOPs, as 6 x parameters x tokens."""
        return 6.0 * self.size * self.tokens_read


@value
class HubRung(Rung):
    """A pretrained model of the Hugging Face hub, or of a local folder."""

    model: str
    """Its name on the hub, or the path of a folder written by `save_pretrained`."""
    params: Count
    """All of them that are used: with embeddings, and of `layers` alone where these are given."""
    pretrain_tokens: Natural
    revision: str | None = None
    trust_remote_code: bool = False
    """Runs code that comes with the model. Off unless you trust its authors."""
    scratch: bool = False
    """Random weights in the model's architecture."""
    shape: Shape | None = None
    """For estimates of memory, and for how many of `params` are embeddings; None: it is guessed
    from `params`, or read in a local folder. Its depth is that of the whole model."""
    layers: Count | None = None
    """Only so many layers of the model, the first ones, with its final norm and its head, so that
    one download makes a ladder; None: all."""
    embedding_params: Natural | None = None
    """As many of `params` are embeddings (of tokens, of positions, and an unembedding that is not
    the embedding); None: as `shape` says, or none where there is no shape."""

    def __post_init__(self) -> None:
        if (self.embedding_params or 0) >= self.params:
            raise ConfigError(
                f"embedding_params: found {self.embedding_params:,}, expected fewer than all "
                f"params, {self.params:,}"
            )
        if self.shape:
            check_depth(self.model, self.layers, self.shape.depth)

    def backbone(self, name: str) -> HubModel:
        where = (self.model, self.revision, self.trust_remote_code, self.scratch, self.layers)
        if name not in self._backbones:
            self._backbones[name] = HubModel(
                *where, rung=name, parameters=self.params, shape=self._cut(self.shape)
            )
        return self._backbones[name]

    @cached_property
    def _backbones(self) -> dict[str, HubModel]:
        return {}

    @property
    def size(self) -> int:
        return self.params - self._embeddings

    @property
    def parameters(self) -> int:
        return self.params

    @property
    def counted(self) -> int | None:
        """Parameters by the config.json of the folder, or of the hub's, if that was fetched."""
        found = self._cut(shape_of_model(self.model, self.revision))
        return found and found.parameters

    def _cut(self, whole: Shape | None) -> Shape | None:
        """The shape of the layers that are used."""
        return replace(whole, depth=self.layers) if whole and self.layers else whole

    @property
    def _embeddings(self) -> int:
        if self.embedding_params is not None:
            return self.embedding_params
        told = self.shape.embeddings if self.shape else 0
        return told if told < self.params else 0  # else the shape is not that of this model

    @property
    def tokens_read(self) -> int:
        return 0 if self.scratch else self.pretrain_tokens

    def untrained(self) -> HubRung:
        return replace(self, scratch=True)


@value
class HomegrownRung(Rung):
    """A small Llama-shaped model that w2sweep pretrains itself, on the task's corpus."""

    width: Count
    depth: Count
    heads: Count
    tokens: Natural
    """Pretraining tokens, counted with repetition; 0 leaves the weights random."""
    pretrain_lr: Rate
    pretrain_batch: Count = 16
    """Sequences a pretraining step."""
    pretrain_warmup: Count = 50
    """Steps over which the learning rate grows, but never more than a tenth of all steps."""
    precision: Precision = "32-true"
    """Of pretraining. bf16 pays from a width of 48 on, where the processor gains from it."""

    def __post_init__(self) -> None:
        _ = self.backbone("")

    def backbone(self, name: str) -> SmallLlama:
        if name not in self._backbones:
            self._backbones[name] = SmallLlama(self.width, self.depth, self.heads, rung=name)
        return self._backbones[name]

    @cached_property
    def _backbones(self) -> dict[str, SmallLlama]:
        return {}

    @cached_property
    def pretraining(self) -> Pretraining:
        """How it is pretrained."""
        return Pretraining(
            tokens=self.tokens,
            lr=self.pretrain_lr,
            batch=self.pretrain_batch,
            warmup=self.pretrain_warmup,
            precision=self.precision,
            embedding_lr=EMBEDDING_LR,
        )

    @property
    def size(self) -> int:
        return self.backbone("").parameters

    @property
    def tokens_read(self) -> int:
        return self.tokens

    def untrained(self) -> HomegrownRung:
        return replace(self, tokens=0)


@value
class Ladder:
    """Rungs by name, weakest first."""

    name: str
    rungs: dict[str, Rung]
    tokenizer: Tokenizer | None = None
    """Only of ladders with homegrown rungs."""
    corpus: CorpusOrFile = None
    """What homegrown rungs read instead of the text of the task."""
    corpus_tokens: Count | None = None
    """Length of a corpus that is written on the spot, such as the lab's worlds; None: what the
    task says."""
    pretrain_seed: Seed = 0

    def __post_init__(self) -> None:
        homegrown = any(isinstance(rung, HomegrownRung) for rung in self.rungs.values())
        if homegrown and self.tokenizer is None:
            raise ConfigError(
                f"ladder {self.name} has homegrown rungs but no tokenizer: "
                "give it one (ladder.tokenizer)"
            )

    def position(self, rung: str) -> int:
        """How many rungs lie below. Raises ConfigError where the ladder has no such rung."""
        if rung not in self.rungs:
            there = ", ".join(self.rungs)
            raise ConfigError(f"no rung '{rung}' on ladder '{self.name}'; it has {there}")
        return list(self.rungs).index(rung)

    def reads(self, text: Corpus) -> Corpus:
        """What homegrown rungs are pretrained on for a task with this text."""
        corpus: Any = self.corpus or text
        if self.corpus_tokens is None:
            return corpus
        if not hasattr(corpus, "tokens"):
            raise ConfigError(
                f"ladder {self.name} asks for {self.corpus_tokens} tokens of "
                f"{type(corpus).__name__}, which has a length of its own: "
                "set ladder.corpus_tokens=null"
            )
        return replace(corpus, tokens=self.corpus_tokens)

    def between(self, weak: str, strong: str, count: int | None = None) -> list[str]:
        """The rungs between two, weakest first; no more than `count`, chosen so that the steps from
        `weak` to `strong` are as even as they can be in the logarithm of pretraining compute."""
        names = list(self.rungs)[self.position(weak) : self.position(strong) + 1]
        inner = names[1:-1]
        if count is None or count >= len(inner):
            return inner
        at = _heights([self.rungs[name].compute for name in names])
        even = [at[0] + (at[-1] - at[0]) * i / (count + 1) for i in range(1, count + 1)]

        def unevenness(chosen: Sequence[int]) -> float:
            return sum((at[i] - height) ** 2 for i, height in zip(chosen, even, strict=True))

        best = min(itertools.combinations(range(1, len(names) - 1), count), key=unevenness)
        return [names[i] for i in best]


def _heights(compute: Sequence[float]) -> list[float]:
    """The logarithms of compute; where some rung has none, the rungs are taken as equally far
    apart."""
    known = min(compute) > 0
    return list(map(log, compute)) if known else list(map(float, range(len(compute))))
