"""Easy-to-hard generalization: students that saw easy examples only, marked on hard ones."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from w2sweep.experiment.difficulty import Difficulty, Kind, Known, Levels, Subset
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Graded, Method
from w2sweep.experiment.prompting import Prompting
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Finetune, Labels
from w2sweep.values import ConfigError, as_tuple, value

Share = Annotated[float, Field(gt=0, le=1)]
Rungs = Annotated[tuple[str, ...] | None, BeforeValidator(as_tuple)]


@value
class EasyToHard(Method):
    """The strong model finetuned on the easy, the hard, or any examples: equally many of each.

    Burns et al. 2023, appendix C, which has them with the truth.
    """

    name: str
    loss: Loss
    train_on: Kind
    labels: Literal["truth", "weak"] = "truth"
    """Whose labels the student sees. With the truth there is no weak supervision, and PGR only says
    where the student lies between supervisor and ceiling."""
    share: Share = 0.5
    """Of the student's examples that it sees. The paper: the easiest 30 or 50 %."""
    difficulty: Literal["auto", "task", "ladder"] = "auto"
    """Who says how hard an example is. `task`: the task itself, such as by a puzzle's rating.
    `ladder`: its rungs, finetuned on the truth of the supervisor's half. `auto`: the task where it
    can."""
    rungs: Rungs = None
    """Those that say so, weakest first; None: all up to the student's."""
    easy_to: float | None = None
    """The highest difficulty of an easy example, such as a rating of 1000; None: the easiest ones
    are easy."""
    hard_from: float | None = None
    """The lowest difficulty of a hard example; None: the hardest ones are hard."""

    def student(self, s: Setting) -> Finetune:
        labels = s.supervisor if self.labels == "weak" else None
        return s.finetune(s.strong, labels=labels, loss=self.loss, rows=self._rows(s))

    def compared(self, s: Setting) -> dict[str, Labels]:
        """The student as it was pretrained, where the task says how it is asked: a floor."""
        asks = Prompting("zero_shot", self.loss, shots=0, shows="truth")
        try:
            return {"zero_shot": asks.student(s)}
        except ConfigError:  # nothing is lost: the cell compares one model less
            return {}

    def graded(self, s: Setting) -> Graded:
        return Graded(self._difficulty(s), self.train_on, self.labels)

    def _rows(self, s: Setting) -> Subset:
        return Subset(
            difficulty=self._difficulty(s),
            splits=s.splits,
            on="student",
            kind=self.train_on,
            share=self.share,
            easy_to=self.easy_to,
            hard_from=self.hard_from,
            seed=s.seed,
        )

    def _difficulty(self, s: Setting) -> Difficulty:
        """The task's own, or the ladder's. Raises ConfigError where what is asked for is not
        there."""
        known = s.task.difficulties is not None
        if self.difficulty == "task" and not known:
            raise ConfigError(
                f"task {s.task.name} does not know how hard its examples are: use "
                "method.difficulty=ladder"
            )
        if known and self.difficulty != "ladder":
            return Known(s.splits)
        return Levels(tuple(s.finetune(rung, on="supervisor") for rung in self._rungs(s)))

    def _rungs(self, s: Setting) -> list[str]:
        names = list(s.ladder.rungs)[: s.ladder.position(s.strong) + 1]
        rungs = names if self.rungs is None else sorted(self.rungs, key=s.ladder.position)
        if len(rungs) < 2:
            raise ConfigError(
                f"method.rungs: found {', '.join(rungs) or 'none'}, expected two rungs or more to "
                "tell easy examples from hard ones"
            )
        return rungs
