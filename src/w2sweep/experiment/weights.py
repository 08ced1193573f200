"""A finetuned model itself, and what it answers on a task that it was not finetuned on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from w2sweep.engine.stage import Job, Stage
from w2sweep.experiment.kinds import Model
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.splits import Splits
from w2sweep.experiment.stages import Finetune

T = TypeVar("T")


@dataclass(frozen=True)
class Weights(Model):
    """The finetuned model itself, which `Finetune` does not keep.

    Its folder is an ordinary Hugging Face model, with adapters merged; beside it, where the model
    has a head of its own, are `head.safetensors` (`weight` [outputs, width], maybe `bias`
    [outputs]) and `head.json`. A sweep that needs a model with and without its weights trains it
    once; weights of a model that was finetuned by an earlier sweep are trained again.
    """

    spreads: ClassVar = True

    of: Finetune

    @property
    def inputs(self) -> list[Stage]:
        features = self.of.features
        backbone = [features.init] if features and features.init else []
        return [self.of, *self.of.inputs, *backbone]

    @property
    def delivered_by(self) -> Stage | None:
        return self.of

    def reads_whole(self, of: Stage) -> bool:
        """It waits for the model that it is of, and reads nothing of it."""
        return of is not self.of

    @property
    def what(self) -> str:
        return f"weights of {self.of.what}"

    @property
    def size(self) -> int:
        return self.of.backbone.parameters

    @property
    def tags(self) -> list[str]:
        return self.of.tags

    def run(self, job: Job) -> None:
        """Writes the folder, by training `of` again: nobody kept it."""
        from w2sweep.learning.finetuning import train_again

        train_again(self, job)


@dataclass(frozen=True)
class Afterwards(Stage[T]):
    """What a finetuned model says, asked after it was trained."""

    spreads: ClassVar = True

    of: Weights

    @property
    def size(self) -> int:
        return self.of.size

    @property
    def tags(self) -> list[str]:
        return self.of.tags


@dataclass(frozen=True)
class Applied(Afterwards[Predictions]):
    """What a finetuned model answers to the test split of a task that it was not finetuned on."""

    splits: Splits
    """Of the other task, which is answered by the same head."""

    @property
    def what(self) -> str:
        return f"{self.of.of.what}, applied to {self.splits.task.name}"

    def run(self, job: Job) -> None:
        """Writes the predictions."""
        from w2sweep.learning.applying import apply

        apply(self, job)

    def read(self, path: Path) -> Predictions:
        """The answers, of the split `test` alone."""
        return Predictions.load(path)
