"""Texts that say how the supervisor labels them. Burns et al. 2023, appendix E.3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from w2sweep.engine.stage import Job
from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Answered, Splits, answered, read_examples, write_examples
from w2sweep.experiment.stages import Finetune
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Answers, Choice
from w2sweep.tasks.remark import Remark
from w2sweep.tasks.task import Task
from w2sweep.values import Impossible, value


@dataclass(frozen=True)
class Told(Answered):
    """The answered splits, in which each text ends with a remark on what a model says of it."""

    splits: Splits
    labels: Labels
    """The model whose most likely class is told, right or wrong."""
    head: Choice
    remark: Remark

    @property
    def task(self) -> Task:
        return self.splits.task

    @property
    def what(self) -> str:
        return f"texts that tell what {self.labels.label} says, {self.task.name}"

    def run(self, job: Job) -> None:
        """Writes `<split>.jsonl`: the same examples in the same order, with longer texts."""
        splits, said = job.get(self.splits), job.get(self.labels).answers
        for name, answers in said.items():
            write_examples(job.out / f"{name}.jsonl", self._told(splits[name], answers))

    def _told(self, examples: Sequence[Example], answers: Answers) -> list[Example]:
        given = zip(examples, self.head.hard(answers).tolist(), strict=True)
        return [replace(e, views=(self.remark.behind(e.views[0], k),)) for e, k in given]

    def read(self, path: Path) -> dict[str, list[Example]]:
        """The examples of each answered split, in the order of their ids."""
        names = answered(self.splits.sizes.asked)
        return {name: read_examples(path / f"{name}.jsonl") for name in names}


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
        """The ceiling that is told the supervisor's labels, and is taught the truth. Raises
        Impossible where ceilings learn from the supervisor's half, of which nobody is told."""
        if s.ceiling_on != "student":
            raise Impossible(
                "a told ceiling reads what the supervisor says of its examples, but of its own "
                f"half, ceiling_on={s.ceiling_on}, it says nothing: use ceiling_on=student"
            )
        return {"ceiling_told": self._told(s, s.finetune(s.strong))}

    def _told(self, s: Setting, model: Finetune) -> Finetune:
        """The model, reading told texts. Raises Impossible where the task has none."""
        task, head = s.task, s.task.head
        if not isinstance(head, Choice) or task.remark is None:
            raise Impossible(
                f"a told student reads its supervisor's class behind a text, but task {task.name} "
                "has no task.remark, or no text with a class: set the one, or use method=naive"
            )
        if (found := len(task.remark.names)) != head.classes:
            raise Impossible(
                f"task.remark.names: found {found} names, but task {task.name} has {head.classes} "
                "classes: name each of them"
            )
        return replace(model, splits=Told(s.splits, s.supervisor, head, task.remark))
