"""Methods: how the strong student is trained from the weak supervisor, as expressions of stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Literal

from w2sweep.experiment.backbone import Pretraining
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splitting import student_set
from w2sweep.experiment.stages import Adapt, Finetune, Labels, OwnTokenizer, SplitTexts, Text
from w2sweep.experiment.told import Told
from w2sweep.tasks.heads import Choice
from w2sweep.values import Count, Impossible, Natural, Rate, value


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
class Reading:
    """How a model reads the texts of a split, as a language model."""

    epochs: Count
    """Passes over the texts."""
    lr_scale: Rate
    """Multiplies the rung's learning rate of finetuning."""
    batch: Count
    """Sequences a step."""


@value
class Generative(Method):
    """Generative finetuning: the student first reads all texts of its split as a language model,
    and knows what it is asked about before it is told what to answer. Burns et al. 2023, section
    5.2.2.

    No label is read in the first phase. Ceilings are compared with it and without.
    """

    name: str
    loss: Loss
    reading: Reading
    supervisor: bool = False
    """Whether the supervisor reads the texts of its own split first, too. Figure 18."""

    def student(self, s: Setting) -> Finetune:
        read = self._read(s, s.strong, "student")
        return s.finetune(s.strong, labels=self._supervisor(s), loss=self.loss, init=read)

    def compared(self, s: Setting) -> dict[str, Labels]:
        """The ceiling that has read as the student has; and the supervisor, where it is another
        than the setting's."""
        read = self._read(s, s.strong, "student")
        ceiling = s.finetune(s.strong, on=s.ceiling_on, init=read)
        models: dict[str, Labels] = {"ceiling_generative": ceiling}
        return {"supervisor": self._supervisor(s), **models} if self.supervisor else models

    def _supervisor(self, s: Setting) -> Labels:
        if not self.supervisor:
            return s.supervisor
        if s.supervisor != s.weak_model:
            raise Impossible(
                "with method.supervisor=true the weak rung reads before it labels, but the "
                "supervision is not its own answers alone: use supervision=weak without noise"
            )
        read = self._read(s, s.weak, "supervisor")
        return s.finetune(s.weak, on="supervisor", init=read)

    def _read(self, s: Setting, rung: str, split: str) -> Adapt:
        """The rung after its first phase."""
        name, its = s.rung(rung)
        before, backbone = s.pretrained(rung), its.backbone(name)
        longest = s.recipe.max_tokens
        if s.ladder.tokenizer:
            longest = min(longest, s.ladder.tokenizer.context)
        tokenizer = OwnTokenizer(before or backbone, longest)  # type: ignore[arg-type]
        recipe = Pretraining(
            tokens=0,
            epochs=self.reading.epochs,
            lr=its.lr * self.reading.lr_scale,
            batch=self.reading.batch,
            precision=s.recipe.precision,
        )
        return Adapt(backbone, before, Text(SplitTexts(s.splits, split), tokenizer), recipe, s.seed)


@value
class NaiveTold(Method):
    """Naive finetuning on texts that end with what the supervisor says of them: all a student
    needs to imitate it is to read. Burns et al. 2023, appendix E.3.

    The student is told in the test split, too; one of the ceilings as well.
    """

    name: str
    loss: Loss

    def student(self, s: Setting) -> Finetune:
        return self._told(s, s.finetune(s.strong, labels=s.supervisor, loss=self.loss))

    def compared(self, s: Setting) -> dict[str, Labels]:
        """The ceiling that is told the supervisor's labels, and is taught the truth."""
        return {"ceiling_told": self._told(s, s.finetune(s.strong))}

    def _told(self, s: Setting, model: Finetune) -> Finetune:
        """The model, reading told texts. Raises Impossible where the task has none."""
        task, head = s.task, s.task.head
        if not isinstance(head, Choice) or task.remark is None:
            raise Impossible(
                f"a told student reads its supervisor's class behind a text, but task {task.name} "
                "has no task.remark, or no text with a class: use method=naive"
            )
        if (found := len(task.remark.names)) != head.classes:
            raise Impossible(
                f"task.remark.names: found {found} names, but task {task.name} has {head.classes} "
                "classes: name each of them"
            )
        return replace(model, splits=Told(s.splits, s.supervisor, head, task.remark))
