"""What is computed and what it depends on.

Supervisor, ceiling, student and every bootstrapping step are one type of stage, `Finetune`: its
field `labels` is the stage whose predictions label its data, most often another `Finetune`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from w2sweep.engine.stage import Job, Stage
from w2sweep.experiment.backbone import (
    FINETUNED_TOGETHER,
    PRETRAINED_TOGETHER,
    Backbone,
    HubModel,
    Pretraining,
    Tokenizer,
    small_shape,
)
from w2sweep.experiment.kinds import Labels, Model, Rows
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.predictions import Later, Predictions, load_evaluations
from w2sweep.experiment.recipe import Recipe, WeightPrecision
from w2sweep.experiment.splits import Answered, Splits
from w2sweep.experiment.tuning import Base, Full, LinearProbe, Lora, Tuning
from w2sweep.experiment.weighing import Weighing
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Answers, Head
from w2sweep.tasks.task import Corpus
from w2sweep.values import Impossible

LEARNED = "learned.safetensors"
"""In the result of a finetuned model: its parameters that learned, where they are kept."""


def _of_backbone(backbone: Backbone) -> dict[str, str | float]:
    return {"rung": backbone.label, "parameters": backbone.parameters}


def _snake(x: object) -> str:
    """The name of a class as configurations write it: `cross_entropy`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(x).__name__).lower()


@dataclass(frozen=True)
class OwnTokenizer:
    """The tokenizer of a model that is there already."""

    model: HubModel | Model
    context: int
    """Longest sequence in tokens."""


@dataclass(frozen=True)
class SplitTexts:
    """The texts of one split, without their labels: of a pair both responses, each after its
    dialogue; of a puzzle the position, without the move."""

    splits: Splits
    of: str
    """The split that is read; "validation" is what the reader's loss is measured on."""

    def documents(self, splits: Mapping[str, Sequence[Example]]) -> tuple[list[str], list[str]]:
        """What is read and what is held out, given the result of `splits`. Each text comes once,
        in the order of the examples."""
        return _texts(splits[self.of]), _texts(splits["validation"])


def _texts(examples: Sequence[Example]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(e.views for e in examples)))


@dataclass(frozen=True)
class Text(Stage[Path]):
    """A corpus as one stream of tokens, with the tokenizer that made it."""

    corpus: Corpus | SplitTexts
    tokenizer: Tokenizer | OwnTokenizer

    @property
    def what(self) -> str:
        if isinstance(self.corpus, SplitTexts):
            return f"tokens of split {self.corpus.of}, {self.corpus.splits.task.name}"
        return f"tokens of {type(self.corpus).__name__.lower()}"

    def run(self, job: Job) -> None:
        """Writes the tokenizer's files, `train.npy` and `heldout.npy` (token ids, [N] each)."""
        from w2sweep.learning.tokens import tokenize

        tokenize(self, job)

    def read(self, path: Path) -> Path:
        """The folder."""
        return path


@dataclass(frozen=True)
class Adapt(Model):
    """A backbone trained on as a language model. With no tokens to read it is what it was."""

    # 2, 3: sums in another order, which in the lab grows to another model of the same quality
    version: ClassVar[int] = 3
    spreads: ClassVar = True

    backbone: Backbone
    init: Model | None
    """Where its weights come from. None: of a model of the hub its own, else random ones."""
    text: Text
    recipe: Pretraining
    seed: int

    @property
    def role(self) -> str:
        fresh = self.init is None and not isinstance(self.backbone, HubModel)
        return "pretrain" if fresh else "adapt"

    @property
    def what(self) -> str:
        return f"{self.role} {self.backbone.label}"

    @property
    def size(self) -> int:
        return self.backbone.parameters

    @property
    def tags(self) -> list[str]:
        return [self.backbone.label]

    @property
    def told(self) -> dict[str, str | float]:
        return {**_of_backbone(self.backbone), "seed": self.seed, "tokens": self.recipe.tokens}

    @property
    def together(self) -> Hashable | None:
        """Small models of one shape that learn alike, each from a text of its own."""
        shape = small_shape(self.backbone, PRETRAINED_TOGETHER)
        steps = self.recipe.steps(1, self.text.tokenizer.context)
        return (shape, self.recipe, self.text.tokenizer) if shape and steps else None

    def run(self, job: Job) -> None:
        """Writes the model, its tokenizer, `curves.jsonl`, and `pretrain.json` with its losses."""
        from w2sweep.learning.pretraining import adapt

        adapt(self, job)

    @classmethod
    def run_together(cls, runs: Sequence[tuple[Self, Job]]) -> Iterator[Exception | None]:
        from w2sweep.learning.pretraining import adapt_together

        return adapt_together(runs)


@dataclass(frozen=True)
class Features(Stage[dict[str, NDArray[np.float32]]]):
    """The frozen backbone's final hidden states at the last token, for linear probes.

    Burns et al. 2023, appendix D.2.
    """

    added: ClassVar[frozenset[str]] = frozenset({"base"})
    spreads: ClassVar = True

    backbone: Backbone
    init: Model | None
    splits: Answered
    head: Head
    """Decides where a probe starts."""
    max_tokens: int
    seed: int
    base: Base = "fp32"
    """What the backbone is kept in. Features are in fp32 either way."""

    @property
    def what(self) -> str:
        return f"features {self.backbone.label}, {self.splits.task.name}"

    @property
    def size(self) -> int:
        return self.backbone.parameters

    def run(self, job: Job) -> None:
        """Writes `features.safetensors`."""
        from w2sweep.learning.features import features

        features(self, job)

    def read(self, path: Path) -> dict[str, NDArray[np.float32]]:
        """Split -> [N, views, width], and `head`: the rows that a probe starts from
        [outputs, width]."""
        from safetensors.numpy import load_file

        return load_file(path / "features.safetensors")


@dataclass(frozen=True)
class Finetune(Labels):
    """A backbone finetuned on the split `on`, and what it then predicts of the others."""

    added: ClassVar[frozenset[str]] = frozenset({"rows", "weighing"})
    spreads: ClassVar = True

    backbone: Backbone
    init: Model | None
    """Where its weights come from. None: the hub. From `Weights` it takes the head too, unless it
    is a linear probe, which always starts with a new one."""
    splits: Answered
    on: str
    labels: Labels | None
    """The stage whose predictions are the labels; None: the ground truth."""
    head: Head
    tuning: Tuning
    loss: Loss
    recipe: Recipe
    lr: float
    """Peak learning rate."""
    seed: int
    rows: Rows | None = None
    """The examples of `on` that it trains on; None: all of them. It answers all of them."""
    weighing: Weighing | None = None
    """Supervisors whose weights are learned with the model; `labels` is their plain mean."""

    def __post_init__(self) -> None:
        if self.recipe.precision == "bf16-true" and not isinstance(self.tuning, Full):
            raise Impossible(
                "recipe.precision=bf16-true keeps weights that learn in bf16, but with "
                f"tuning={type(self.tuning).__name__} those of the backbone do not: use "
                "tuning.base=bf16 recipe.precision=32-true, or tuning=full"
            )

    @property
    def base(self) -> Base:
        """What the weights of the backbone are kept in."""
        if isinstance(self.tuning, Full):
            return "bf16" if self.recipe.precision == "bf16-true" else "fp32"
        return self.tuning.base

    @property
    def precision(self) -> WeightPrecision:
        """What it computes in: bf16 where adapters learn beside a backbone in bf16."""
        low = isinstance(self.tuning, Lora) and self.tuning.base == "bf16"
        return "bf16-mixed" if low else self.recipe.precision

    @property
    def features(self) -> Features | None:
        """What a linear probe reads instead of the backbone itself."""
        if not isinstance(self.tuning, LinearProbe):
            return None
        limit = self.recipe.max_tokens
        base = self.tuning.base
        return Features(self.backbone, self.init, self.splits, self.head, limit, self.seed, base)

    @property
    def inputs(self) -> list[Stage]:
        if self.features is None:
            return super().inputs
        several = self.weighing.supervisors if self.weighing else ()
        read = (self.features, self.splits, self.labels, self.rows, *several)
        return [stage for stage in read if stage is not None]

    @property
    def role(self) -> str:
        if self.on == "supervisor":
            return "supervisor"
        return "ceiling" if self.labels is None and self.rows is None else "student"

    @property
    def label(self) -> str:
        return self.backbone.label

    @property
    def what(self) -> str:
        source = f" <- {self.labels.label}" if self.labels else ""
        some = f", {self.rows.label}" if self.rows else ""
        some += ", weights learned" if self.weighing else ""
        oracle = ", stopped on the truth (oracle)" if self.recipe.early_stop == "truth" else ""
        return f"{self.role} {self.label}{source}{some}, {self.splits.task.name}{oracle}"

    @property
    def size(self) -> int:
        """A linear probe runs no more than a head: what it reads comes from `Features`."""
        return 0 if self.features else self.backbone.parameters

    @property
    def tags(self) -> list[str]:
        return [self.backbone.label]

    @property
    def told(self) -> dict[str, str | float]:
        task = self.splits.task
        known = {"task": task.name, "family": task.family, **_of_backbone(self.backbone)}
        learned = {"loss": _snake(self.loss), "tuning": _snake(self.tuning), "lr": self.lr}
        teacher = {"teacher": self.labels.label} if self.labels else {}
        return {**known, **learned, **teacher, "seed": self.seed}

    @property
    def together(self) -> Hashable | None:
        """Small models of one shape that learn one task alike, on the same split: seeds, labels,
        losses and texts may differ."""
        shape = small_shape(self.backbone, FINETUNED_TOGETHER)
        plain = isinstance(self.tuning, Full) and self.recipe.precision == "32-true"
        task = (self.splits.task.name, self.on, self.rows is None)
        return (shape, self.recipe, self.lr, self.head, task) if shape and plain else None

    def reads_whole(self, of: Stage) -> bool:
        """Of labels it reads those of its own split, and of the validation split."""
        return of is not self.labels or getattr(of, "on", self.on) == self.on

    def run(self, job: Job) -> None:
        """Writes the predictions, those at every evaluation, and `curves.jsonl`.

        What it would say of the examples that it trained on, nobody reads but who learns from it:
        where the sweep has no such stage, a small model is kept in its place
        (`learned.safetensors`: the parameters that learned).
        """
        from w2sweep.learning.finetuning import finetune

        finetune(self, job)

    @classmethod
    def run_together(cls, runs: Sequence[tuple[Self, Job]]) -> Iterator[Exception | None]:
        from w2sweep.learning.finetuning import finetune_together

        return finetune_together(runs)

    def read(self, path: Path) -> Predictions:
        """Where a model was kept, it answers its own split when that is asked for."""
        answers = Predictions.load(path).answers
        if (path / LEARNED).exists():
            answers = Later(answers, {self.on: partial(self._answer, path)})
        return Predictions(answers, self.evaluations(path))

    def _answer(self, path: Path) -> Answers:
        from w2sweep.learning.finetuning import answer_later

        return answer_later(self, path)

    def evaluations(self, path: Path) -> dict[int, Predictions]:
        """What was predicted of `validation` and `test` at each evaluation, by optimizer step;
        `path` is where the store has the result."""
        return load_evaluations(path)
