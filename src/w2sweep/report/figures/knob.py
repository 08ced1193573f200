"""Accuracy, PGR and agreement against the one thing that a sweep turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.report.figures.by_method import ByMethod
from w2sweep.report.figures.captions import chance, errors, sample
from w2sweep.report.figures.panels import chance_handle, chance_line, errorbar
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import FAINT, HOLLOW, INK, LEVEL
from w2sweep.report.figures.turned import Turned, turned
from w2sweep.report.summary import SummaryRow

YLABEL = {
    "accuracy": "test accuracy (%)",
    "PGR": "PGR",
    "agreement": "agreement on supervisor's\nerrors (pale: the rest) (%)",
}
"""The lines of panels: measure -> what stands beside its y axes."""
PALE = 0.3


class Knob(ByMethod):
    """Everything that is measured against what is turned: accuracy, PGR, and whether errors are
    imitated."""

    name = "knob"
    order = 0
    sharey = "row"
    measures = YLABEL

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders, knob: Turned):
        super().__init__(rows, ladders)
        self.knob, self.joined = knob, knob.ordered
        self.xlabel, self.title = knob.name, f"Against {knob.name}"

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """The figure of all rows, where they differ in one thing."""
        knob = turned(rows, ladders)
        return None if knob is None else cls(rows, ladders, knob)

    def method(self, row: SummaryRow) -> str:
        return row.method

    def column(self, row: SummaryRow) -> str:
        pair = f", {row.weak} to {row.strong}" if self.knob.pairs else ""
        return super().column(row) + pair

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        x = self.knob.axis(ax)
        if line == "accuracy":
            self._accuracies(ax, rows, x)
        elif line == "PGR":
            self.recovered(ax, rows, lambda r: x[self.knob.value(r)])
        else:
            self._agreements(ax, rows, x)

    def _accuracies(self, ax: Axes, rows: Sequence[SummaryRow], x: Mapping[str, float]) -> None:
        chance_line(ax, rows)
        # Supervisors and ceilings are shared by all methods, some of which may have fewer seeds.
        best_known = {self.knob.value(r): r for r in sorted(rows, key=lambda r: r.seeds)}.items()
        ceilings = [(v, r.ceiling_accuracy, r.ceiling_accuracy_se) for v, r in best_known]
        supervisors = [(v, r.weak_accuracy, r.weak_accuracy_se) for v, r in best_known]
        errorbar(ax, x, ceilings, color=INK, ls=self._ls("--"), **LEVEL)
        errorbar(ax, x, supervisors, color=FAINT, ls=self._ls("-"), **HOLLOW)
        for method in self.methods:
            self._students(ax, rows, x, method, "student_accuracy")

    def _agreements(self, ax: Axes, rows: Sequence[SummaryRow], x: Mapping[str, float]) -> None:
        ax.set_ylim(-5, 105)
        for method in self.methods:
            self._students(ax, rows, x, method, "agreement_weak_right", alpha=PALE)
            self._students(ax, rows, x, method, "agreement_weak_wrong")

    def _students(
        self,
        ax: Axes,
        rows: Sequence[SummaryRow],
        x: Mapping[str, float],
        method: str,
        measure: str,
        **style,
    ) -> None:
        """Draws one measure of a method's students, in percent."""
        points = [self._point(r, measure) for r in rows if self.method(r) == method]
        known = [(v, mean, se) for v, mean, se in points if mean is not None]
        if known:
            color, marker = self.look(method)
            places = {v: self.beside(ax, at, method) for v, at in x.items()}
            errorbar(ax, places, known, color=color, marker=marker, ls=self._ls("-"), **style)

    def _point(self, row: SummaryRow, measure: str) -> tuple[str, float | None, float | None]:
        return self.knob.value(row), getattr(row, measure), getattr(row, f"{measure}_se")

    def _ls(self, joined: str) -> str:
        return joined if self.joined else ""

    def legend(self) -> list[Line2D]:
        solid, dashed = self._ls("-"), self._ls("--")
        supervisor = Line2D([], [], color=FAINT, ls=solid, label="supervisor itself", **HOLLOW)
        ceiling = Line2D([], [], color=INK, ls=dashed, label="ceiling", **LEVEL)
        return [*super().legend(), ceiling, supervisor, *chance_handle(self.rows)]

    @property
    def caption(self) -> str:
        return (
            "Test accuracy of supervisor, students and ceiling (the student's model finetuned on "
            f"the ground truth); PGR, {self.says_pgr}; and how often the student answers as its "
            "supervisor does where the supervisor is wrong, and, paler, where it is right."
            f"{chance(self.rows)} {sample(self.rows)}. {errors(self.rows)}; "
            f"of PGR, {self.says_intervals}"
        )
