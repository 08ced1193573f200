"""Accuracy against the student's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.report.figures.axis import compute_axis
from w2sweep.report.figures.captions import chance, errors, sample
from w2sweep.report.figures.over_size import OverSize
from w2sweep.report.figures.panels import chance_handle, chance_line, distinct, errorbar
from w2sweep.report.figures.style import FAINT, HOLLOW, INK, LEVEL
from w2sweep.report.summary import SummaryRow


class Accuracy(OverSize):
    """Test accuracy against the student's size, a line a supervisor; a line of panels a method."""

    name = "accuracy"
    order = 10
    title = "Accuracy against student size"
    ylabel = "test accuracy (%)"
    sharey = "col"

    def line(self, row: SummaryRow) -> str:
        return self.method(row)

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        x = compute_axis(ax, self.ladders[rows[0].ladder], self.rungs(rows[0], "weak", "strong"))
        chance_line(ax, rows)
        best_known = {r.strong: r for r in sorted(rows, key=lambda r: r.seeds)}.values()
        ceilings = [(r.strong, r.ceiling_accuracy, r.ceiling_accuracy_se) for r in best_known]
        errorbar(ax, x, ceilings, color=INK, ls="--", **LEVEL)
        for weak in distinct(r.weak for r in rows):
            self._supervised(ax, x, [r for r in rows if r.weak == weak])

    def _supervised(self, ax: Axes, x: Mapping[str, float], rows: Sequence[SummaryRow]) -> None:
        """Draws one supervisor and its students, joined by a line."""
        color, start = self.supervisor_color(rows[0].weak), max(rows, key=lambda r: r.seeds)
        supervisor = (start.weak, start.weak_accuracy, start.weak_accuracy_se)
        students = [(r.strong, r.student_accuracy, r.student_accuracy_se) for r in rows]
        errorbar(ax, x, [supervisor, *students], color=color)
        errorbar(ax, x, students, color=color, marker="o", ls="")
        errorbar(ax, x, [supervisor], color=color, ls="", zorder=3, **HOLLOW)

    def legend(self) -> list[Line2D]:
        lines = [self._handle(weak) for weak in self.supervisors]
        own = Line2D([], [], color=FAINT, ls="", label="supervisor itself", **HOLLOW)
        ceiling = Line2D([], [], color=INK, ls="--", label="ceiling", **LEVEL)
        return [*lines, own, ceiling, *chance_handle(self.rows)]

    def _handle(self, weak: str) -> Line2D:
        color = self.supervisor_color(weak)
        return Line2D([], [], color=color, marker="o", label=f"from {weak}")

    @property
    def caption(self) -> str:
        return (
            "Students by size (x), each line those of one supervisor; it starts with the "
            "supervisor's own accuracy (hollow). Dashed: the ceiling, the student's model "
            f"finetuned on the ground truth.{chance(self.rows)} {sample(self.rows)}. "
            f"{errors(self.rows)}."
        )
