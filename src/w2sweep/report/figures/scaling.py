"""Accuracy and PGR against the student's size."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.report.figures.axis import compute_axis
from w2sweep.report.figures.pgr import ByMethod
from w2sweep.report.figures.plot import FAINT, INK, Plot, distinct, errorbar, errors, sample
from w2sweep.report.summary import SummaryRow


class Accuracy(Plot):
    """Test accuracy against the student's size, a line a supervisor; a line of panels a method."""

    name = "accuracy"
    title = "Accuracy against student size"
    ylabel = "test accuracy (%)"
    sharey = "col"

    def line(self, row: SummaryRow) -> str:
        return self.method(row)

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        x = compute_axis(ax, self.ladders[rows[0].ladder], self.rungs(rows[0], "weak", "strong"))
        ceilings = {r.strong: r for r in sorted(rows, key=lambda r: r.seeds)}.values()
        errorbar(
            ax,
            x,
            [(r.strong, r.ceiling_accuracy, r.ceiling_accuracy_se) for r in ceilings],
            color=INK,
            ls="--",
            marker="_",
            ms=8,
        )
        for weak in distinct(r.weak for r in rows):
            color, mine = self.supervisor_color(weak), [r for r in rows if r.weak == weak]
            start = max(mine, key=lambda r: r.seeds)
            supervisor = (weak, start.weak_accuracy, start.weak_accuracy_se)
            students = [(r.strong, r.student_accuracy, r.student_accuracy_se) for r in mine]
            errorbar(ax, x, [supervisor, *students], color=color)
            errorbar(ax, x, students, color=color, marker="o", ls="")
            errorbar(
                ax, x, [supervisor], color=color, marker="o", ls="", mfc="white", ms=6, zorder=3
            )

    def legend(self) -> list[Line2D]:
        lines = [
            Line2D([], [], color=self.supervisor_color(w), marker="o", label=f"from {w}")
            for w in self.supervisors
        ]
        own = Line2D(
            [], [], color=FAINT, marker="o", mfc="white", ms=6, ls="", label="supervisor itself"
        )
        return [*lines, own, Line2D([], [], color=INK, ls="--", marker="_", ms=8, label="ceiling")]

    @property
    def caption(self) -> str:
        return (
            "Students by size (x), each line those of one supervisor; it starts with the supervisor's own accuracy "
            "(hollow). Dashed: the ceiling, the student's model finetuned on the ground truth. "
            f"{sample(self.rows)}. {errors(self.rows)}."
        )


class Recovery(ByMethod):
    """PGR against the student's size, a line a method; a line of panels a supervisor."""

    name = "pgr"
    title = "Performance gap recovered against student size"
    ylabel = "PGR"
    sharey = "all"

    def line(self, row: SummaryRow) -> str:
        return f"from {row.weak}"

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        x = compute_axis(ax, self.ladders[rows[0].ladder], self.rungs(rows[0], "strong"))
        self.recovered(ax, rows, lambda r: x[r.strong])

    @property
    def caption(self) -> str:
        return f"{self.says_pgr}. {sample(self.rows)}. Error bars: {self.says_intervals}"
