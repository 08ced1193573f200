"""Methods: how the strong student is trained from the weak supervisor, as an expression over stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, cast

from w2sweep.losses import Loss
from w2sweep.stages import Finetune, student_set
from w2sweep.values import Impossible, value

if TYPE_CHECKING:
    from w2sweep.setting import Setting


class Method(ABC):
    """A value (a frozen dataclass). A new method is one class here and one file in conf/method."""

    name: str
    """As in tables and figures."""
    loss: Loss
    """What the student minimizes."""

    @abstractmethod
    def student(self, s: Setting) -> Finetune:
        """The student's stage."""


@value
class Naive(Method):
    """The strong model finetuned on the weak labels; with `loss=confidence`, the paper's confidence method."""

    name: str
    loss: Loss

    def student(self, s: Setting) -> Finetune:
        return s.finetune(s.ladder.rungs[s.strong], on="student", labels=s.supervisor, loss=self.loss)


@value
class Bootstrap(Method):
    """Each rung between labels for the next larger one. Burns et al. 2023, section 4.3.1."""

    name: str
    loss: Loss
    fresh_per_step: bool = False
    """A set of examples of its own for each step, as the paper has it with chess, instead of one for all."""

    def student(self, s: Setting) -> Finetune:
        rungs = s.ladder.above(s.weak, s.strong)
        if self.fresh_per_step and len(rungs) > s.sizes.student_sets:
            raise Impossible(
                f"{len(rungs)} steps from {s.weak} to {s.strong} on fresh examples need as many sets, but there are "
                f"{s.sizes.student_sets}: set sizes.student_sets={len(rungs)}"
            )
        model = s.supervisor
        for step, rung in enumerate(rungs):
            on = student_set(step if self.fresh_per_step else 0)
            model = s.finetune(s.ladder.rungs[rung], on=on, labels=model, loss=self.loss)
        return cast(Finetune, model)  # of the last step: there is one, for weak is below strong


@value
class Scratch(Method):
    """The control: naive finetuning of a student that was never pretrained, so that all it knows it was taught."""

    name: str
    loss: Loss

    def student(self, s: Setting) -> Finetune:
        return s.finetune(s.ladder.rungs[s.strong].untrained(), on="student", labels=s.supervisor, loss=self.loss)
