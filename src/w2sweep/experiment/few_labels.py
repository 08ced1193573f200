"""A few true labels of the student's examples, and what they are worth when they are spent
directly: the controls of every method that spends some in a cleverer way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field

from w2sweep.engine.stage import Job
from w2sweep.experiment.kinds import Labels, Rows
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Splits
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.supervision import lowest
from w2sweep.experiment.weights import Weights
from w2sweep.tasks.heads import Answers, Head
from w2sweep.values import ConfigError, Count, Rate, value

Share = Annotated[float, Field(gt=0, le=1)]
"""Of the student's examples. The labels of 80 examples of 800 are what a person gives in an
hour."""


@dataclass(frozen=True)
class Slice(Rows):
    """Examples of a split, drawn at random, whose true labels are known. Methods that spend as many
    labels have the same ones, and those of a smaller share are a part of them."""

    splits: Splits
    on: str
    share: float
    """Of the split."""
    seed: int

    @property
    def label(self) -> str:
        return f"{100 * self.share:g} % of the true labels"

    @property
    def part(self) -> float:
        return self.share

    @property
    def what(self) -> str:
        return f"{self.label}, {self.splits.task.name}"

    def run(self, job: Job) -> None:
        """Writes `rows.npy` [n]. It reads no label."""
        examples = job.get(self.splits)[self.on]
        n = round(self.share * len(examples))
        # not in the order in which noise turns labels, or the two would meet
        ids = [f"slice {e.id}" for e in examples]
        drawn = lowest(np.zeros(len(ids)), ids, n, self.seed)
        job.note(examples=n, of=len(ids))
        np.save(job.out / "rows.npy", np.flatnonzero(drawn))


@dataclass(frozen=True)
class Mixed(Labels):
    """A model's answers, with the truth in their place where it is known."""

    of: Labels
    splits: Splits
    on: str
    """The split of which some of the truth is known."""
    rows: Slice
    head: Head

    @property
    def label(self) -> str:
        return f"{self.of.label} with {self.rows.label}"

    @property
    def what(self) -> str:
        return f"{self.label}, {self.splits.task.name}"

    def run(self, job: Job) -> None:
        """Writes the predictions."""
        answers = dict(job.get(self.of).answers)
        truth = self.head.labels(job.get(self.splits)[self.on])
        answers[self.on] = replaced(answers[self.on], truth, job.get(self.rows))
        Predictions(answers).save(job.out)


def replaced(answers: Answers, by: Answers, rows: np.ndarray) -> Answers:
    """The answers to N examples, with others in their place in some rows [n]."""
    if isinstance(answers, list):
        wanted = set(rows.tolist())
        pairs = zip(answers, by, strict=True)
        return [str(new if i in wanted else old) for i, (old, new) in enumerate(pairs)]
    found = np.array(answers)
    found[rows] = np.asarray(by)[rows]
    return found


def labelled(s: Setting, share: float) -> Slice:
    """The examples whose true labels a method may spend. Raises ConfigError where there is none."""
    if round(share * s.sizes.student) < 1:
        raise ConfigError(
            f"method.share: found {share:g}, which is no example of the {s.sizes.student} of the "
            "student (sizes.student): raise it"
        )
    return Slice(s.splits, "student", share, s.seed)


@value
class Spending(Method):
    """A method that is given a few true labels."""

    name: str
    loss: Loss
    share: Share = 0.1
    """Of the student's examples, whose true labels are known."""

    def true_labels(self, s: Setting) -> int:
        return round(self.share * s.sizes.student)


@value
class MixedTruth(Spending):
    """The control: weak labels, with true ones in the place of a share of them. q_i is one-hot at
    the truth for i in the labelled slice, and the supervisor's elsewhere.

    Mallen and Belrose 2024, arXiv 2410.13215, on what a few good labels are worth beside many bad
    ones. A share of 1 is the ceiling. Public comparisons of filters that are trained on labels
    mostly leave it out.
    """

    def student(self, s: Setting) -> Finetune:
        known = labelled(s, self.share)
        labels = Mixed(s.supervisor, s.splits, "student", known, s.task.head)
        return s.finetune(s.strong, labels=labels, loss=self.loss)


@value
class FewTrue(Spending):
    """The control: the strong model finetuned on a few true labels alone, for as many steps as
    others make. There is no weak supervision in it."""

    def student(self, s: Setting) -> Finetune:
        epochs = round(s.recipe.epochs / self.share)
        recipe = replace(s.recipe, epochs=epochs)
        return s.finetune(s.strong, rows=labelled(s, self.share), loss=self.loss, recipe=recipe)


@value
class WeakThenTrue(Spending):
    """Weak labels first, and then a few true ones: the naive student is finetuned once more, on the
    truth of the labelled slice.

    Mallen and Belrose 2024, arXiv 2410.13215 (sequential training). Public code mostly begins the
    second phase with a new head, which throws away what the first one taught it; here it goes on
    from the first one's.
    """

    epochs: Count | None = None
    """Of the second phase; None: the recipe's."""
    head_lr: Rate = 1.0
    """Of the second phase, whose head is no new one."""

    def student(self, s: Setting) -> Finetune:
        first = Weights(s.finetune(s.strong, labels=s.supervisor, loss=self.loss))
        epochs = self.epochs or s.recipe.epochs
        recipe = replace(s.recipe, epochs=epochs, head_lr=self.head_lr)
        return s.finetune(s.strong, rows=labelled(s, self.share), init=first, recipe=recipe)
