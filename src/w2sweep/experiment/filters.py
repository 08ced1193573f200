"""Filters by what the supervisor said: the student sees the examples whose labels are surest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from w2sweep.engine.stage import Job
from w2sweep.experiment.kinds import Labels, Rows
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Finetune
from w2sweep.values import value

Kept = Annotated[float, Field(gt=0, le=1)]
Order = Literal["surest", "random"]


@dataclass(frozen=True)
class Surest(Rows):
    """A share of the examples that a supervisor puts into each class: those it is surest of, by
    max q, or any, drawn at random. Nothing but its labels is read."""

    labels: Labels
    on: str
    """The split."""
    share: float
    order: Order
    seed: int
    """Of what is random. Of equally sure ones the first in the split are taken, whose order is that
    of a hash."""

    @property
    def label(self) -> str:
        return f"{self.order} {100 * self.share:g} %"

    @property
    def part(self) -> float:
        return self.share

    @property
    def what(self) -> str:
        return f"{self.label} of what {self.labels.label} says"

    def run(self, job: Job) -> None:
        """Writes `rows.npy` [n]."""
        q = np.asarray(job.get(self.labels).answers[self.on])
        if self.order == "surest":
            scores = q.max(-1)
        else:
            scores = np.random.default_rng((self.seed, 5)).random(len(q))
        rows = first_of_each(scores, q.argmax(-1), self.share)
        job.note(examples=len(rows), of=len(q))
        np.save(job.out / "rows.npy", rows)


def first_of_each(
    scores: NDArray[np.floating], classes: NDArray[np.int64], share: float
) -> NDArray[np.int64]:
    """The rows of the highest scores, ascending [n]: `share` of each class, and at least one.

    Args:
        scores: [N]. Of equal ones the first are taken.
        classes: of each example [N].
        share: of the examples of each class.
    """
    falling = np.argsort(-scores, kind="stable")
    kept: list[NDArray[np.int64]] = []
    for k in np.unique(classes):
        own = falling[classes[falling] == k]
        kept.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(kept))


@value
class ConfidenceFilter(Method):
    """The student sees the `share` of each class, as the supervisor has it, with the highest max q,
    which of two classes is the highest |2q - 1|.

    Burns et al. 2023, appendix B (5 to 20 % of each class: it helps where the supervisor is right
    about 60 % of the examples, and not where it is about 70 or 80); Afzali et al. 2026, arXiv
    2603.04968. What is mostly left out is the control, `order: random`: as many examples, of the
    same classes, drawn at random. Students of both make as many steps as one that sees all
    examples, or a filter would be judged by how briefly it trains.
    """

    name: str
    loss: Loss
    share: Kept = 0.2
    order: Order = "surest"
    as_many_steps: bool = True
    """Passes over the few examples until it has made as many steps as on all; False: as many
    passes."""

    def student(self, s: Setting) -> Finetune:
        s.check_classes(f"{self.name} needs probabilities as labels")
        rows = Surest(s.supervisor, "student", self.share, self.order, s.seed)
        recipe = lengthened(s.recipe, self.share) if self.as_many_steps else s.recipe
        return s.finetune(s.strong, labels=s.supervisor, loss=self.loss, rows=rows, recipe=recipe)


def lengthened(recipe: Recipe, share: float) -> Recipe:
    """The recipe with as many more epochs as make up for seeing a share of the examples only."""
    return replace(recipe, epochs=round(recipe.epochs / share))
