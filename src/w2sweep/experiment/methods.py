"""Methods: how the strong student is trained from the weak supervisor, as expressions of stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from typing import Literal

from w2sweep.experiment.losses import Loss
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splitting import student_set
from w2sweep.experiment.stages import Finetune, Labels, Weights
from w2sweep.experiment.stopping import STOPPED, Stopped
from w2sweep.experiment.tuning import LinearProbe
from w2sweep.values import Count, Impossible, Natural, value


@value
class Method(ABC):
    """How a student is trained. A new method is one class here and one file in conf/method."""

    name: str
    """What tables and figures call it."""
    loss: Loss
    """What the student minimizes."""

    @abstractmethod
    def student(self, s: Setting) -> Labels:
        """The stage whose answers are the student's."""

    def compared(self, s: Setting) -> dict[str, Labels]:
        """Further models that a cell compares, by the name of their role: tables and figures have
        supervisor, student and ceiling without being told."""
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


@value
class Stopping(Method):
    """The weak labels learned for longer, and looked at more often, than by the naive student: at
    the last step, where it is best by the weak labels, and where it is best by the truth, which is
    an oracle. Burns et al. 2023, section 5.1.1.

    All three are readings of one run. Supervisor and ceiling are those of other methods.
    """

    name: str
    loss: Loss
    epochs: Count | None = None
    """None: those of the recipe."""
    evaluations: Count = 12

    def student(self, s: Setting) -> Finetune:
        epochs = self.epochs or s.recipe.epochs
        recipe = replace(s.recipe, epochs=epochs, evaluations=self.evaluations)
        return s.finetune(s.strong, labels=s.supervisor, loss=self.loss, recipe=recipe)

    def compared(self, s: Setting) -> dict[str, Labels]:
        student = self.student(s)
        return {role: Stopped(student, by) for role, by in STOPPED.items()}


@value
class Saliency(Method):
    """The naive student, and linear probes: of the model as it was pretrained, for weak and for
    true labels, and of the naive student, for true labels. The last says whether finetuning on weak
    labels makes the truth easier to read off the features. Burns et al. 2023, section 5.2.3 and
    appendix D.2."""

    name: str
    loss: Loss
    """Of the finetuned student, and of the probe for weak labels."""
    tuning: LinearProbe
    probe: Recipe
    """How probes are trained."""

    def student(self, s: Setting) -> Finetune:
        if s.task.head.classes is None:
            raise Impossible(
                f"a linear probe chooses between classes, but task {s.task.name} generates "
                "completions: use another method"
            )
        return s.finetune(s.strong, labels=s.supervisor, loss=self.loss)

    def compared(self, s: Setting) -> dict[str, Labels]:
        probe = partial(s.finetune, s.strong, tuning=self.tuning, recipe=self.probe)
        return {
            "lp_weak": probe(labels=s.supervisor, loss=self.loss),
            "lp_truth": probe(),
            "ft_weak_lp_truth": probe(init=Weights(self.student(s))),
        }
