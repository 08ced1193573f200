"""Texts that say how the supervisor labels them. Burns et al. 2023, appendix E.3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from w2sweep.engine.stage import Job
from w2sweep.experiment.splits import Answered, Splits, answered, read_examples, write_examples
from w2sweep.experiment.stages import Labels
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Answers, Choice
from w2sweep.tasks.remark import Remark
from w2sweep.tasks.task import Task


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
