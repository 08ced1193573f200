"""One experimental setting: a weak supervisor, a strong student, and the strong ceiling that they
are measured by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Literal

from w2sweep.experiment.kinds import Labels, Model, Rows
from w2sweep.experiment.ladder import HomegrownRung, Ladder, Rung
from w2sweep.experiment.losses import CrossEntropy, Loss
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.shift import Shift
from w2sweep.experiment.splits import Sizes, Splits
from w2sweep.experiment.stages import Adapt, Finetune, Text
from w2sweep.experiment.tuning import Tuning
from w2sweep.tasks.task import Task
from w2sweep.values import Impossible, value

Half = Literal["supervisor", "student"]
"""The two halves of the training data, by whom they are for."""
PLAIN = CrossEntropy()
FURTHER = 1_000
"""Lies between the seeds of models that belong to one setting."""


class Supervision(ABC):
    """Who labels the student's examples. A value: one class here and one file in
    conf/supervision."""

    @abstractmethod
    def labels(self, s: Setting) -> Labels:
        """The stage that labels. Raises Impossible where it cannot, for the setting's task."""


@value
class Setting:
    """All that the student's stage depends on, but for the method."""

    task: Task
    ladder: Ladder
    weak: str
    strong: str
    sizes: Sizes
    tuning: Tuning
    recipe: Recipe
    seed: int
    supervision: Supervision
    ceiling_on: Half = "student"
    """The half the ceiling trains on: the student's (same data, other labels), or the
    supervisor's."""
    shift: Shift = Shift()
    """How the student's half differs from what models are tested on."""

    @property
    def comparable(self) -> bool:
        """Whether the supervisor is weaker than the student: elsewhere there is nothing to run."""
        return self.ladder.position(self.weak) < self.ladder.position(self.strong)

    @cached_property
    def splits(self) -> Splits:
        """The examples, the same for all models of the setting."""
        return Splits.of(self.task, self.sizes, self.seed, self.shift)

    @cached_property
    def weak_model(self) -> Finetune:
        """The weak rung, finetuned on the ground truth."""
        return self.finetune(self.weak, on="supervisor")

    @cached_property
    def supervisor(self) -> Labels:
        """What labels the student's examples. Raises Impossible where it cannot."""
        return self.supervision.labels(self)

    @cached_property
    def ceiling(self) -> Finetune:
        """The student's rung, finetuned on the ground truth."""
        return self.finetune(self.strong, on=self.ceiling_on)

    def finetune(
        self,
        rung: str | Rung,
        *,
        on: str = "student",
        labels: Labels | None = None,
        loss: Loss | None = None,
        init: Model | None = None,
        tuning: Tuning | None = None,
        recipe: Recipe | None = None,
        rows: Rows | None = None,
        seed: int | None = None,
    ) -> Finetune:
        """A rung finetuned on a split.

        Args:
            rung: its name on the ladder, or a rung that is on none.
            on: the split.
            labels: whose predictions are the labels; None: the ground truth.
            loss: None: cross-entropy.
            init: what it starts from; None: the rung as it was pretrained.
            tuning: None: the setting's.
            recipe: None: the setting's.
            rows: the examples of the split to train on; None: all.
            seed: of the batches and of a new head; None: the setting's.
        """
        start = init or self.pretrained(rung)
        name, rung = self.rung(rung)
        tuning, recipe = tuning or self.tuning, recipe or self.recipe
        return Finetune(
            backbone=rung.backbone(name),
            init=start,
            splits=self.splits,
            on=on,
            labels=labels,
            head=self.task.head,
            tuning=tuning,
            loss=loss or PLAIN,
            recipe=recipe,
            lr=tuning.peak_lr(rung.lr * recipe.lr_scale),
            seed=self.seed if seed is None else seed,
            rows=rows,
        )

    def check_classes(self, why: str) -> None:
        """Raises Impossible where the task's answers are completions, which have no probabilities
        of classes; `why` is what needs these, the first half of a sentence."""
        if self.task.head.classes is None:
            raise Impossible(
                f"{why}, but task {self.task.name} generates completions: use another method"
            )

    def further_seed(self, number: int) -> int:
        """Seeds of several models that differ in nothing else; number 0 has the setting's own."""
        return (self.seed + FURTHER * number) % 2**64

    def pretrained(self, rung: str | Rung) -> Adapt | None:
        """Where the weights of a homegrown rung come from; None of a rung of the hub."""
        name, rung = self.rung(rung)
        if not isinstance(rung, HomegrownRung) or self.ladder.tokenizer is None:
            return None
        text = Text(self.ladder.reads(self.task.corpus), self.ladder.tokenizer)
        seed = self.ladder.pretrain_seed
        return Adapt(rung.backbone(name), None, text, rung.pretraining, seed)

    def rung(self, rung: str | Rung) -> tuple[str, Rung]:
        """Its name and itself. Raises ConfigError where the ladder has none of that name."""
        if isinstance(rung, Rung):
            return "", rung
        self.ladder.position(rung)
        return rung, self.ladder.rungs[rung]
