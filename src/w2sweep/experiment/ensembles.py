"""Several weak supervisors of one student: the mean of their labels, or weights that are learned
with the student."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from w2sweep.engine.stage import Job
from w2sweep.experiment.kinds import Labels, Rows
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Answered
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.weighing import Weighing
from w2sweep.tasks.heads import Answers
from w2sweep.values import Fraction, Impossible, Rate, value

Members = Annotated[int, Field(ge=2, lt=2**31)]


@dataclass(frozen=True)
class Bag(Rows):
    """A bootstrap sample of a split: as many examples as it has, drawn with replacement."""

    splits: Answered
    on: str
    seed: int

    @property
    def label(self) -> str:
        return "a bag of examples"

    @property
    def what(self) -> str:
        return f"{self.label}, {self.splits.task.name}"

    def run(self, job: Job) -> None:
        """Writes `rows.npy`: row numbers, ascending, some of them several times [N]."""
        n = len(job.get(self.splits)[self.on])
        drawn = np.random.default_rng((self.seed, 4)).integers(0, n, n)
        np.save(job.out / "rows.npy", np.sort(drawn))


@dataclass(frozen=True)
class Ensemble(Labels):
    """The mean of what several models say; of completions, the one that most of them say."""

    of: tuple[Finetune, ...]

    @property
    def label(self) -> str:
        counts = Counter(model.label for model in self.of)
        names = [name if n == 1 else f"{n} {name}" for name, n in counts.items()]
        return f"mean of {', '.join(names)}"

    @property
    def what(self) -> str:
        return f"{self.label}, {self.of[0].splits.task.name}"

    def run(self, job: Job) -> None:
        """Writes the predictions."""
        said = [job.get(model).answers for model in self.of]
        joint: dict[str, Answers] = {}
        for name in said[0]:
            joint[name] = combined([its[name] for its in said])
        Predictions(joint).save(job.out)


def combined(said: Sequence[Answers]) -> Answers:
    """One answer for each of N examples, of those of M models: the mean of class probabilities
    [N, K]; of completions [N] the most frequent, and of equally frequent ones that of the first
    model that says one of them."""
    if isinstance(said[0], list):
        return [Counter(texts).most_common(1)[0][0] for texts in zip(*said, strict=True)]
    probabilities: NDArray[np.float64] = np.mean(np.asarray(said, dtype=np.float64), axis=0)
    return probabilities.astype(np.float32)


@value
class MeanOfSupervisors(Method):
    """The student finetuned on the mean of several supervisors' labels, q = sum_m q_m / M.

    What averaging takes away is what supervisors do not err in together. So a student's gain over
    the naive one has to be held against the ensemble itself, which is compared beside it, and
    against what M supervisors cost. Bagging, Breiman 1996; for weak supervisors Sang et al. 2024
    (arXiv 2402.00667) and Xu et al. 2025 (arXiv 2505.24313). Public code often averages logits and
    calls that the mean: a confident supervisor then outvotes the others.

    No true label is read but those that all members learned from: the supervisor's.
    """

    name: str
    loss: Loss
    over: Literal["seeds", "rungs", "bags"]
    """What members differ in. `seeds`: the order of batches, and where new heads start at random.
    `rungs`: the rungs of the ladder up to the weak one. `bags`: bootstrap samples of the
    supervisor's half."""
    members: Members = 5
    """How many; of rungs there are as many as there are."""

    def student(self, s: Setting) -> Finetune:
        return s.finetune(s.strong, labels=Ensemble(self.supervisors(s)), loss=self.loss)

    def compared(self, s: Setting) -> dict[str, Labels]:
        """What the supervisors say together."""
        return {"ensemble": Ensemble(self.supervisors(s))}

    def supervisors(self, s: Setting) -> tuple[Finetune, ...]:
        """The members. Raises Impossible where there are no two of them."""
        if s.supervisor != s.weak_model:
            raise Impossible(
                "an ensemble is of several weak rungs, but the supervision is not the weak rung's "
                "own answers alone: use supervision=weak without noise"
            )
        if self.over == "rungs":
            return self._rungs(s)
        seeds = [s.further_seed(number) for number in range(self.members)]
        if self.over == "seeds":
            return tuple(s.finetune(s.weak, on="supervisor", seed=seed) for seed in seeds)
        bags = [Bag(s.splits, "supervisor", seed) for seed in seeds]
        return tuple(s.finetune(s.weak, on="supervisor", rows=bag) for bag in bags)

    def _rungs(self, s: Setting) -> tuple[Finetune, ...]:
        names = list(s.ladder.rungs)[: s.ladder.position(s.weak) + 1]
        if len(names) < 2:
            raise Impossible(
                f"an ensemble over the rungs up to the weak one needs two, but {s.weak} is the "
                f"first of ladder {s.ladder.name}: raise weak, or use method.over=bags"
            )
        return tuple(s.finetune(name, on="supervisor") for name in names)


@value
class Raven(MeanOfSupervisors):
    """Several supervisors whose weights are learned with the student: q = sum_m w_m q_m.

    w lies on the simplex and begins uniform. After each batch it makes a step of size `lr` down the
    gradient of the student's own loss, is clamped at 1e-6 and divided by its sum. In the first
    `agreed` of the steps only those examples count that all supervisors give the same class. Jeon
    et al. 2025, arXiv 2510.21332, who have it for shifts between the student's data and the test.

    With cross-entropy the slope of w_m is CE(p, q_m), so that weight goes to whom the student
    agrees with most, and of two who agree in class to the more confident one.

    Public code (mlbio-epfl/raven, its text classifier) mixes logits, not probabilities; calls
    `backward` for w and again for the student, so that the student's gradients come out doubled
    (clipping then cuts them); and leaves disagreeing examples in.
    """

    lr: Rate = 0.01
    agreed: Fraction = 0.1

    def student(self, s: Setting) -> Finetune:
        s.check_classes("weights of supervisors are learned through class probabilities")
        if self.loss.remembers:
            raise Impossible(
                f"{type(self.loss).__name__} remembers earlier batches, and so do the weights of "
                f"method={self.name}: use another loss"
            )
        weighing = Weighing(self.supervisors(s), self.lr, self.agreed)
        return replace(super().student(s), weighing=weighing)
