"""Readings of one training run: what the student would say if it had stopped early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from w2sweep.engine.stage import Job, Stage
from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.recipe import Criterion
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Finetune
from w2sweep.tasks.heads import Answers
from w2sweep.values import ConfigError, Count, Impossible, value

ORACLE = "stopped_on_truth_oracle"
"""The role of the reading that no student could make, for it looks at the truth."""
STOPPED: Mapping[str, Criterion] = {"stopped_on_weak_labels": "own_labels", ORACLE: "truth"}
"""Role -> by what its evaluation is chosen. Burns et al. 2023, section 5.1.1."""


@dataclass(frozen=True)
class Stopped(Labels):
    """The answers to the validation and the test split of a model at its best evaluation: as it
    would be if it had been trained with that early stop. Nothing is trained.

    It has no answers to other splits, so nobody can learn from it.

    Raises Impossible where the model stops early itself: its own last step is not known then.
    """

    of: Finetune
    by: Criterion

    def __post_init__(self) -> None:
        found = self.of.recipe.early_stop
        if found != "none":
            raise Impossible(
                f"readings of one run need its last step, but early_stop={found} does not keep it: "
                "set recipe.early_stop=none"
            )

    @property
    def label(self) -> str:
        chosen = "the truth (oracle)" if self.by == "truth" else "its own labels"
        return f"{self.of.label} stopped on {chosen}"

    @property
    def what(self) -> str:
        return f"{self.label}, {self.of.splits.task.name}"

    @property
    def inputs(self) -> list:
        labels = self._labels
        return [self.of, self.of.splits, *([labels] if labels else [])]

    def reads_whole(self, of: Stage) -> bool:
        """It reads answers to the validation and the test split."""
        return not isinstance(of, Finetune)

    def run(self, job: Job) -> None:
        """Writes the answers of the first of the evaluations that are best on the validation
        split, as training itself keeps it."""
        head, evaluations = self.of.head, job.get(self.of).evaluations
        if not evaluations:
            raise ConfigError(
                f"{self.of.what} has kept no answers of its evaluations, for an earlier version "
                "made it: train it again by cache=force"
            )
        wanted = self._wanted(job)
        scores = {
            step: head.agree(said.answers["validation"], wanted).mean()
            for step, said in evaluations.items()
        }
        best = max(scores, key=lambda step: scores[step])
        job.note(step=best)
        evaluations[best].save(job.out)

    @property
    def _labels(self) -> Labels | None:
        return self.of.labels if self.by == "own_labels" else None

    def _wanted(self, job: Job) -> Answers:
        """What the best evaluation is to say of the validation split."""
        if self._labels is not None:
            return job.get(self._labels).answers["validation"]
        return self.of.head.labels(job.get(self.of.splits)["validation"])


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
