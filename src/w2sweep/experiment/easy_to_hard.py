"""Easy-to-hard generalization: students that saw easy examples only, marked on hard ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from w2sweep.experiment.difficulty import Difficulty, Kind, Known, Levels, Subset
from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Graded, Method
from w2sweep.experiment.prompting import ZERO_SHOT, Prompting
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Finetune
from w2sweep.values import ConfigError, Impossible, as_tuple, value

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

    def __post_init__(self) -> None:
        if self.easy_to is None or self.hard_from is None or self.easy_to < self.hard_from:
            return
        raise ConfigError(
            f"easy_to, hard_from: found {self.easy_to:g} and {self.hard_from:g}, expected easy "
            "examples below hard ones: lower method.easy_to, or raise method.hard_from"
        )

    def student(self, s: Setting) -> Finetune:
        labels = s.supervisor if self.labels == "weak" else None
        return s.finetune(s.strong, labels=labels, loss=self.loss, rows=self._rows(s))

    def true_labels(self, s: Setting) -> int:
        return round(self.share * s.sizes.student) if self.labels == "truth" else 0

    def compared(self, s: Setting) -> dict[str, Labels]:
        """The student as it was pretrained, where the task says how it is asked: a floor."""
        asks = Prompting(ZERO_SHOT, self.loss, shots=0, shows="truth")
        try:
            return {"zero_shot": asks.student(s)}
        except Impossible:  # nothing is lost: the cell compares one model less
            return {}

    def graded(self, s: Setting) -> Graded:
        return Graded(self._difficulty(s), self.train_on, self.labels)

    def _rows(self, s: Setting) -> Subset:
        of_a_class = s.sizes.student // (s.task.head.classes or 1)
        if round(self.share * of_a_class) < 1:
            raise ConfigError(
                f"method.share: found {self.share:g}, which is no example of the {of_a_class} of "
                "each class (sizes.student): raise it"
            )
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
        rungs, known = self._rungs(s), s.task.difficulties is not None
        if self.difficulty == "task" and not known:
            raise ConfigError(
                f"task {s.task.name} does not know how hard its examples are: use "
                "method.difficulty=ladder"
            )
        if known and self.difficulty != "ladder":
            return Known(s.splits)
        self._check_levels(s, rungs)
        return Levels(tuple(s.finetune(rung, on="supervisor") for rung in rungs))

    def _check_levels(self, s: Setting, rungs: Sequence[str]) -> None:
        """Raises ConfigError where rungs cannot judge, or cut-offs are none of their levels, as
        ratings are not."""
        if len(rungs) < 2:
            raise ConfigError(
                f"method.rungs: found {', '.join(rungs) or 'none'}, expected two rungs or more to "
                "tell easy examples from hard ones"
            )
        highest = len(rungs)
        given = {"easy_to": self.easy_to, "hard_from": self.hard_from}
        for key, level in given.items():
            if level is not None and not 0 <= level <= highest:
                raise ConfigError(
                    f"method.{key}: found {level:g}, but task {s.task.name} is judged by {highest} "
                    f"rungs, whose levels are 0 to {highest}: give it one of these, or null"
                )

    def _rungs(self, s: Setting) -> list[str]:
        """Those that judge, the weakest first. Raises ConfigError where the ladder lacks one, or
        one comes twice."""
        if self.rungs is None:
            return list(s.ladder.rungs)[: s.ladder.position(s.strong) + 1]
        if len(set(self.rungs)) < len(self.rungs):
            found = ", ".join(self.rungs)
            raise ConfigError(f"method.rungs: found {found}, expected each rung once")
        return sorted(self.rungs, key=s.ladder.position)
