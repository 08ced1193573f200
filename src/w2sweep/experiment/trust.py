"""Trust filters: a small head on the teacher's hidden states learns from a few true labels when the
teacher is right, and the student sees the labels that it trusts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from w2sweep.engine.stage import Job, Stage
from w2sweep.experiment.few_labels import Mixed, Slice, Spending, labelled
from w2sweep.experiment.kinds import Labels, Rows
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Splits
from w2sweep.experiment.stages import Features, Finetune
from w2sweep.experiment.weights import Weights
from w2sweep.tasks.heads import Head
from w2sweep.values import Fraction, Natural, Rate, value


@dataclass(frozen=True)
class Trust(Stage[NDArray[np.float64]]):
    """How likely a teacher's label of each example of a split is right: s in 0..1, [N]."""

    features: Features
    """Final hidden states of the teacher."""
    labels: Labels
    """Whose labels are judged."""
    splits: Splits
    on: str
    known: Slice
    """The examples of which the truth is known. No other true label is read."""
    head: Head
    hidden: int
    """Units between hidden state and score; 0: none, which is logistic regression."""
    penalty: float
    """Half of it times the squared weights is added to the mean cross-entropy."""
    seed: int

    @property
    def what(self) -> str:
        return f"trust in {self.labels.label} by {self.known.what}"

    def run(self, job: Job) -> None:
        """Writes `trust.npy` [N]."""
        from w2sweep.learning.trusting import trust

        trust(self, job)

    def read(self, path: Path) -> NDArray[np.float64]:
        return np.load(path / "trust.npy")


@dataclass(frozen=True)
class Trusted(Rows):
    """The examples of a split whose labels are trusted: s >= tau, and not known."""

    trust: Trust
    tau: float
    least: float
    """The share of the unknown examples that is taken in any case, the most trusted ones."""
    with_known: bool
    """Whether the examples whose truth is known are learned too."""

    @property
    def label(self) -> str:
        also = ", and those known" if self.with_known else ""
        return f"examples trusted by {self.trust.known.label}{also}"

    @property
    def part(self) -> float:
        return 1.0 if self.with_known else 1.0 - self.trust.known.part

    @property
    def what(self) -> str:
        return f"{self.label}, {self.trust.splits.task.name}"

    @property
    def inputs(self) -> list[Stage]:
        return [self.trust, self.trust.known]

    def run(self, job: Job) -> None:
        """Writes `rows.npy` [n]."""
        scores, known = job.get(self.trust), job.get(self.trust.known)
        rows = trusted(scores, known, self.tau, self.least)
        job.note(examples=len(rows), of=len(scores))
        if self.with_known:
            rows = np.union1d(rows, known)
        np.save(job.out / "rows.npy", rows)


def trusted(
    scores: NDArray[np.float64], known: NDArray[np.int64], tau: float, least: float
) -> NDArray[np.int64]:
    """The rows that are trusted, ascending [n].

    Args:
        scores: s of each example [N].
        known: rows that are left out.
        tau: the lowest score that is trusted.
        least: the share of the other rows that is taken in any case; of equal scores the first.
    """
    unknown = np.setdiff1d(np.arange(len(scores)), known)
    falling = unknown[np.argsort(-scores[unknown], kind="stable")]
    n = max(int((scores[unknown] >= tau).sum()), round(least * len(unknown)))
    return np.sort(falling[:n])


@value
class TrustFilter(Spending):
    """The student sees the weak labels with s(x, q) >= tau. s is a small head on the last hidden
    state of the finetuned teacher and on its label; it is trained to say whether the weak label is
    right on a slice of the student's examples whose truth is known. With rungs between it is a
    chain: each student is the teacher of the next one, and is judged anew.

    Uzunoglu et al. 2026, arXiv 2606.01000. The slice is held out: no student of the chain learns
    it, so that every teacher is judged on examples that it has not seen. That costs examples, and
    it spends true labels: hold it against `mixed_truth`, `few_true` and `weak_then_true` of the
    same share, or let the student learn the slice too (`with_known`). Published comparisons hold it
    against students that were given no true label at all.

    Where the supervision is not the weak rung's own answers (noise, simulated errors), their
    features are still the weak rung's.
    """

    intermediate: Natural = 0
    """Rungs between supervisor and student, as in bootstrapping."""
    tau: Fraction = 0.75
    """The lowest score of a trusted label."""
    least: Fraction = 0.2
    """The share of the examples that is learned however little they are trusted."""
    hidden: Natural = 0
    """Units of the head; 0: logistic regression."""
    penalty: Rate = 0.01
    """On its weights."""
    with_known: bool = False
    """Whether the student also learns the slice, with its true labels."""

    def student(self, s: Setting) -> Finetune:
        s.check_classes("a trust filter reads the hidden state that a class is chosen by")
        rungs = [*s.ladder.between(s.weak, s.strong, self.intermediate), s.strong]
        teacher, labels = s.weak_model, s.supervisor
        for rung in rungs:
            teacher = labels = self._taught(s, rung, teacher, labels)
        return teacher

    def _taught(self, s: Setting, rung: str, teacher: Finetune, labels: Labels) -> Finetune:
        """A rung finetuned on those of these labels that are trusted; the teacher is the model
        whose hidden states say so."""
        known = labelled(s, self.share)
        trust = Trust(
            features=features_of(teacher),
            labels=labels,
            splits=s.splits,
            on="student",
            known=known,
            head=s.task.head,
            hidden=self.hidden,
            penalty=self.penalty,
            seed=s.seed,
        )
        rows = Trusted(trust, self.tau, self.least, self.with_known)
        if self.with_known:
            labels = Mixed(labels, s.splits, "student", known, s.task.head)
        return s.finetune(rung, labels=labels, loss=self.loss, rows=rows)


def features_of(model: Finetune) -> Features:
    """The final hidden states of a finetuned model."""
    longest = model.recipe.max_tokens
    return Features(
        model.backbone, Weights(model), model.splits, model.head, longest, model.seed, model.base
    )
