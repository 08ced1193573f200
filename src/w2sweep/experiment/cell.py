"""Cells: the points of a sweep's grid."""

from __future__ import annotations

from w2sweep.experiment.methods import Method
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Labels
from w2sweep.experiment.tuning import LinearProbe
from w2sweep.values import Impossible, value


@value
class Cell:
    """A setting and a method. Raises Impossible where the two make no sense together."""

    setting: Setting
    method: Method

    def __post_init__(self) -> None:
        s = self.setting
        for rung in (s.weak, s.strong):
            s.ladder.position(rung)
        _ = self.student  # the method may have something to say about the setting
        self._check_batches()
        if s.task.head.classes is None:
            self._check_generates()

    @property
    def student(self) -> Labels:
        """The stage whose answers are the student's."""
        return self.method.student(self.setting)

    @property
    def compared(self) -> dict[str, Labels]:
        """The models that the cell compares, by role."""
        s = self.setting
        always = {"supervisor": s.supervisor, "student": self.student, "ceiling": s.ceiling}
        return always | self.method.compared(s)

    def _check_batches(self) -> None:
        found, loss = self.setting.recipe.batch_size, self.method.loss
        if found < loss.smallest_batch:
            raise Impossible(
                f"{type(loss).__name__} compares the examples of a batch and needs at least "
                f"{loss.smallest_batch}: raise recipe.batch_size, which is {found}"
            )

    def _check_generates(self) -> None:
        generates = f"but task {self.setting.task.name} generates completions"
        if isinstance(self.setting.tuning, LinearProbe):
            raise Impossible(
                f"a linear probe chooses between classes, {generates}: use tuning=full or lora"
            )
        if self.method.loss.binary:
            loss = type(self.method.loss).__name__
            raise Impossible(
                f"{loss} needs two classes, {generates}: use method=naive or bootstrap"
            )
