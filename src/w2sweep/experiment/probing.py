"""Probes on a student's frozen features, fitted to weak labels: what they would have said of an
example decides whether its label is learned, or takes the label's place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from w2sweep.engine.stage import Job
from w2sweep.experiment.kinds import Labels, Rows
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Features, Finetune
from w2sweep.tasks.heads import Answers, LinearHead
from w2sweep.values import Count, Rate, value

Floats = NDArray[np.floating]
Dropped = Annotated[float, Field(ge=0, lt=1)]


Said = tuple[NDArray[np.float32], list[NDArray[np.float32]]]


class LabelProbe(ABC):
    """What is fitted to weak labels of features. A value: a new probe is one class here."""

    @abstractmethod
    def says(self, x: Floats, q: Floats, others: Sequence[Floats], head: LinearHead) -> Said:
        """Probabilities of the examples that it is fitted to [N, K], each as if its own label had
        not been seen, and of other examples [M, K] each.

        Args:
            x: features [N, views, width].
            q: labels [N, K].
            others: features of other examples [M, views, width] each.
            head: how features become classes.
        """


@value
class Knn(LabelProbe):
    """The mean label of the `neighbors` nearest examples, by Euclidean distance. Of a pair it is
    the distance of the differences of both texts' features, and each pair is there in both orders.
    """

    neighbors: Count = 50

    def says(self, x: Floats, q: Floats, others: Sequence[Floats], head: LinearHead) -> Said:
        from w2sweep.learning.probing import nearest

        return nearest(x, q, others, self.neighbors)


@value
class Logistic(LabelProbe):
    """Logistic regression for soft labels: mean cross-entropy + `l2` times the squared weights."""

    l2: Rate = 1e-3
    folds: Annotated[int, Field(ge=2)] = 5
    """Its own examples are judged by regressions on the other folds, row n being in fold n mod
    `folds`."""

    def says(self, x: Floats, q: Floats, others: Sequence[Floats], head: LinearHead) -> Said:
        from w2sweep.learning.probing import regressed

        return regressed(x, q, others, head, self.l2, self.folds)


@dataclass(frozen=True)
class Probed(Labels):
    """What a probe says of all examples that are answered, fitted to the labels of one split. It
    reads no truth."""

    features: Features
    labels: Labels
    on: str
    """The split that it is fitted to."""
    probe: Knn | Logistic

    @property
    def label(self) -> str:
        return f"{self.labels.label} by {type(self.probe).__name__.lower()} probe"

    @property
    def what(self) -> str:
        return f"labels of {self.label}, {self.features.splits.task.name}"

    def run(self, job: Job) -> None:
        """Writes the answers [N, K] of each split."""
        x, q, head = job.get(self.features), job.get(self.labels).answers, self.features.head
        assert isinstance(head, LinearHead), "methods refuse to probe for completions"
        others = [name for name in q if name != self.on]
        further = [x[name] for name in others]
        own, said = self.probe.says(x[self.on], np.asarray(q[self.on]), further, head)
        answers: dict[str, Answers] = {self.on: own, **dict(zip(others, said, strict=True))}
        Predictions(answers).save(job.out)


@dataclass(frozen=True)
class Undisputed(Rows):
    """The examples of a split whose labels a probe disputes least, by the total variation between
    the two, 1/2 sum |r_k - q_k|; of two classes |r - q|."""

    probed: Probed
    drop: float
    """The share of the examples that is left out."""

    @property
    def label(self) -> str:
        return f"all but {100 * self.drop:g} % disputed"

    @property
    def part(self) -> float:
        return 1 - self.drop

    @property
    def what(self) -> str:
        return f"{self.label} by {self.probed.label}"

    @property
    def inputs(self) -> list[Any]:
        return [self.probed, self.probed.labels]

    def run(self, job: Job) -> None:
        """Writes `rows.npy` [n]."""
        on = self.probed.on
        r, q = (job.get(stage).answers[on] for stage in (self.probed, self.probed.labels))
        rows = undisputed(np.asarray(r), np.asarray(q), self.drop)
        job.note(examples=len(rows), of=len(q))
        np.save(job.out / "rows.npy", rows)


def undisputed(r: NDArray[np.floating], q: NDArray[np.floating], drop: float) -> NDArray[np.int64]:
    """The rows where two answers [N, K] differ least, ascending; `drop`: the share that is left
    out."""
    distance = np.abs(r - q).sum(-1) / 2
    rising = np.argsort(distance, kind="stable")
    return np.sort(rising[: len(rising) - round(drop * len(rising))])


@value
class ProbeFilter(Method):
    """The student sees all but the `drop` of its examples where the weak label differs most from
    what a probe says, fitted to the weak labels on the pretrained student's features.

    EleutherAI, w2s (w2s/probe.py, `filter`; a tenth, 50 neighbours), a documented negative. In that
    code the probe has seen the label that it judges: a nearest neighbour counts itself among its
    neighbours, and the logistic regression was fitted to the very label. Here no label has a say in
    its own trial: neighbours are others, and regressions are fitted to other folds. The code reads
    the middle layer, and drops validation examples as well; here it is the last layer, at the last
    token, and all validation examples stay.
    """

    name: str
    loss: Loss
    probe: Knn | Logistic
    drop: Dropped = 0.1

    def student(self, s: Setting) -> Finetune:
        rows = Undisputed(_probed(s, self.name, self.probe), self.drop)
        return s.finetune(s.strong, labels=s.supervisor, loss=self.loss, rows=rows)


@value
class ProbeRelabel(Method):
    """The student learns what a probe says, fitted to the weak labels on the pretrained student's
    features, in place of what the supervisor says.

    EleutherAI, w2s (w2s/sft.py, `probe_relabel`), a documented negative. As in `ProbeFilter`, no
    label has a say in what takes its own place. A cell also compares the probe itself.
    """

    name: str
    loss: Loss
    probe: Knn | Logistic

    def student(self, s: Setting) -> Finetune:
        labels = _probed(s, self.name, self.probe)
        return s.finetune(s.strong, labels=labels, loss=self.loss)

    def compared(self, s: Setting) -> dict[str, Labels]:
        return {"probe": _probed(s, self.name, self.probe)}


def _probed(s: Setting, method: str, probe: Knn | Logistic) -> Probed:
    """What a probe says on features of the student as it was pretrained."""
    s.check_classes(f"{method} needs probabilities as labels")
    model = s.finetune(s.strong)
    features = Features(
        model.backbone,
        model.init,
        model.splits,
        model.head,
        model.recipe.max_tokens,
        model.seed,
        model.base,
    )
    return Probed(features, s.supervisor, "student", probe)
