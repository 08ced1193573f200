"""Methods: how the strong student is trained from the weak supervisor, as expressions of stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from w2sweep.experiment.difficulty import Difficulty
from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splitting import student_set
from w2sweep.experiment.stages import Adapt, Finetune
from w2sweep.values import Impossible, Natural, named, value


@dataclass(frozen=True)
class Graded:
    """What a cell needs to tell how right its models are on easy and on hard test examples."""

    difficulty: Difficulty
    trained_on: str
    """The examples that the student saw, in a word."""
    labels: str
    """Whose labels it saw, in a word."""


@value
class Method(ABC):
    """How a student is trained. A new method is one class here and one file in conf/method."""

    name: str
    """What tables and figures call it."""
    loss: Loss
    """What the student minimizes."""
    kind: Literal["method", "control", "oracle"] = named(default="method", kw_only=True)
    """What it is for: something to do; a `control`, which says what the gain of others means; an
    `oracle`, which reads the truth of the student's examples, so that nobody could do it."""

    @abstractmethod
    def student(self, s: Setting) -> Labels:
        """The stage whose answers are the student's."""

    def compared(self, s: Setting) -> dict[str, Labels]:
        """Further models that a cell compares, by the name of their role: tables and figures have
        supervisor, student and ceiling without being told."""
        return {}

    def true_labels(self, s: Setting) -> int:
        """How many true labels of other examples than the supervisor's own the student is made
        with. None, for most: what has some needs a control that spends as many directly. Where it
        is as many as there are examples, the student is an oracle."""
        return 0

    def graded(self, s: Setting) -> Graded | None:
        """How hard test examples are, where a cell is to tell accuracies by that. A compared model
        has to read it too: sweeps plan the models of their cells, and what these read."""
        return None

    def language_models(self, s: Setting) -> dict[str, Adapt]:
        """Language models whose loss on their text's held-out end a cell records, by name. One that
        a compared model begins with has the name of that model's role."""
        return {}


@value
class Naive(Method):
    """The strong model finetuned on the weak labels. Burns et al. 2023, section 3.

    With `loss=confidence` it is the paper's confidence method, section 4.3.2.
    """

    name: str
    loss: Loss

    def student(self, s: Setting) -> Finetune:
        return s.finetune(s.strong, labels=s.supervisor, loss=self.loss)


@value
class Bootstrap(Method):
    """Rungs between supervisor and student, each of which labels for the next larger one. Burns et
    al. 2023, section 4.3.1."""

    name: str
    loss: Loss
    intermediate: Natural | Literal["all"] = 2
    """How many rungs between, spread evenly over pretraining compute, or all of them. The paper has
    two."""
    fresh_per_step: bool | Literal["auto"] = "auto"
    """A set of examples of its own for each step, as the paper has it with chess, instead of one
    for all. `auto`: where there are as many sets (`sizes.student_sets`)."""

    def student(self, s: Setting) -> Labels:
        between = None if self.intermediate == "all" else self.intermediate
        rungs = [*s.ladder.between(s.weak, s.strong, between), s.strong]
        fresh = self._fresh(s, len(rungs))
        model = s.supervisor
        for step, rung in enumerate(rungs):
            on = student_set(step if fresh else 0)
            model = s.finetune(rung, on=on, labels=model, loss=self.loss)
        return model

    def _fresh(self, s: Setting, steps: int) -> bool:
        """Whether each step has examples of its own. Raises Impossible where that is asked for and
        there are too few sets."""
        enough = steps <= s.sizes.student_sets
        if self.fresh_per_step is True and not enough:
            raise Impossible(
                f"{steps} steps from {s.weak} to {s.strong} on fresh examples need as many sets, "
                f"but there are {s.sizes.student_sets}: set sizes.student_sets={steps}"
            )
        return enough if self.fresh_per_step == "auto" else self.fresh_per_step


@value
class Scratch(Method):
    """The control: naive finetuning of a student that was never pretrained, so that all it knows
    it was taught."""

    name: str
    loss: Loss

    def student(self, s: Setting) -> Finetune:
        untrained = s.ladder.rungs[s.strong].untrained()
        return s.finetune(untrained, labels=s.supervisor, loss=self.loss)
