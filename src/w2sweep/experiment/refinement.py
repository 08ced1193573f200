"""Iterative label refinement: labels that a student and the supervisor dispute are replaced where a
comparison says so, and the student is trained anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from w2sweep.engine.stage import Job
from w2sweep.experiment.kinds import Labels, Rows
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Splits
from w2sweep.experiment.splitting import groups_of
from w2sweep.experiment.stages import Finetune
from w2sweep.tasks.example import Example, digest
from w2sweep.values import Count, Fraction, value


@dataclass(frozen=True)
class Half(Rows):
    """One of two halves of a split, by whole groups: what shares a question is in one half."""

    splits: Splits
    on: str
    which: Literal[0, 1]
    seed: int

    @property
    def label(self) -> str:
        return f"half {self.which + 1}"

    @property
    def part(self) -> float:
        return 0.5

    @property
    def what(self) -> str:
        return f"{self.label}, {self.splits.task.name}"

    def run(self, job: Job) -> None:
        """Writes `rows.npy` [n]."""
        halves = in_halves(job.get(self.splits)[self.on], self.seed)
        np.save(job.out / "rows.npy", halves[self.which])


def in_halves(examples: Sequence[Example], seed: int) -> tuple[NDArray[np.int64], ...]:
    """The rows of two halves of N examples, ascending. Whole groups, in an order that depends on
    seed and ids, go to the half that has fewer rows so far."""
    row = {e.id: n for n, e in enumerate(examples)}
    groups = groups_of([(e,) for e in examples])
    groups.sort(key=lambda group: digest(f"half {seed} {group[0][0].id}"))
    halves: tuple[list[int], list[int]] = ([], [])
    for group in groups:
        smaller = min(halves, key=len)
        smaller.extend(row[item[0].id] for item in group)
    return tuple(np.array(sorted(half), dtype=np.int64) for half in halves)


@dataclass(frozen=True)
class Refined(Labels):
    """Labels of a split, some of which were replaced by what a model proposes that has not learned
    them. Those of other splits stay."""

    of: Labels
    """The labels so far."""
    on: str
    halves: tuple[Half, Half]
    proposers: tuple[Finetune, Finetune]
    """Each has learned its half, and proposes labels for the other one."""
    comparers: tuple[Finetune, Finetune]
    """Each has learned its half, and says of the other one which of two labels is the better."""
    most: float
    """The share of all labels that is replaced at most."""

    @property
    def label(self) -> str:
        return f"{self.of.label}, refined"

    @property
    def what(self) -> str:
        return f"{self.label}, {self.halves[0].splits.task.name}"

    def run(self, job: Job) -> None:
        """Writes the predictions, and notes how many labels were disputed and replaced."""
        answers = dict(job.get(self.of).answers)
        present = np.asarray(answers[self.on])
        rows = [job.get(half) for half in self.halves]
        proposed = crossed([self._said(job, model) for model in self.proposers], rows)
        judged = crossed([self._said(job, model) for model in self.comparers], rows)
        taken = replaced_rows(present, proposed, judged, self.most)
        refined = present.copy()
        refined[taken] = proposed[taken]
        disputed = int((present.argmax(1) != proposed.argmax(1)).sum())
        job.note(disputed=disputed, replaced=len(taken), of=len(present))
        Predictions({**answers, self.on: refined}).save(job.out)

    def _said(self, job: Job, model: Finetune) -> NDArray[np.float32]:
        return np.asarray(job.get(model).answers[self.on])


def crossed(
    said: Sequence[NDArray[np.float32]], halves: Sequence[NDArray[np.int64]]
) -> NDArray[np.float32]:
    """What is said of N examples by that one of two models which has not learned them [N, K].

    Args:
        said: by the models of the first and the second half, of all examples [N, K] each.
        halves: the rows that each has learned.
    """
    found = said[0].copy()
    found[halves[0]] = said[1][halves[0]]
    return found


def replaced_rows(
    present: NDArray[np.float32],
    proposed: NDArray[np.float32],
    judged: NDArray[np.float32],
    most: float,
) -> NDArray[np.int64]:
    """The rows whose labels are replaced, ascending: where another class is proposed, and whoever
    compares the two finds it the more likely; no more than a share of all rows, the clearest first.

    Args:
        present: labels [N, K].
        proposed: other labels [N, K].
        judged: class probabilities of who compares [N, K].
        most: the share of the N rows.
    """
    every = np.arange(len(present))
    old, new = present.argmax(1), proposed.argmax(1)
    margin = judged[every, new] - judged[every, old]
    falling = np.argsort(-margin, kind="stable")
    better = falling[margin[falling] > 0]  # of no other class there is no margin
    return np.sort(better[: int(most * len(every))])


@value
class LabelRefinement(Method):
    """Labels are refined, and then learned from scratch.

    The student's examples are halved. A model of the strong rung learns the present labels of each
    half and proposes labels for the other half, q'. Where q' says another class than q, a further
    model, which has not learned the example either, compares the two: q becomes q' where it finds
    the class of q' the more likely, up to a share `most` of all labels a round, the clearest cases
    first. The next round begins with the refined labels and with fresh models, and so does the
    student after the last round.

    Ye et al. 2025, arXiv 2501.07886 (ICLR), on texts, which a source as unreliable as the labels
    compares. Public code (iterative-label-refinement) means by its largest share one of the
    disputed labels, not of all, and so replaces the less the better the labels are.

    It reads no true label but those of the supervisor.
    """

    name: str
    loss: Loss
    rounds: Count = 2
    most: Fraction = 0.15
    """The share of labels that is replaced at most in one round."""
    comparer: Literal["weak", "strong"] = "strong"
    """The rung that compares. Of the strong one it is another model than the one that proposes. One
    of the weak rung has learned to say what the supervisor says: in the lab it lets pass a seventh
    of the proposals."""

    def student(self, s: Setting) -> Finetune:
        s.check_classes("labels are compared by class probabilities")
        labels = s.supervisor
        for _ in range(self.rounds):
            labels = self._refined(s, labels)
        return s.finetune(s.strong, labels=labels, loss=self.loss)

    def _refined(self, s: Setting, labels: Labels) -> Refined:
        halves = Half(s.splits, "student", 0, s.seed), Half(s.splits, "student", 1, s.seed)
        rung = s.weak if self.comparer == "weak" else s.strong
        proposers = [
            s.finetune(s.strong, labels=labels, loss=self.loss, rows=half) for half in halves
        ]
        seed = s.further_seed(1)
        comparers = [
            s.finetune(rung, labels=labels, loss=self.loss, rows=half, seed=seed) for half in halves
        ]
        return Refined(
            of=labels,
            on="student",
            halves=halves,
            proposers=(proposers[0], proposers[1]),
            comparers=(comparers[0], comparers[1]),
            most=self.most,
        )
