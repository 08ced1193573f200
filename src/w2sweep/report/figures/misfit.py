"""Misfit against what the student gains over its supervisor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Self

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.report.figures.by_method import ByMethod
from w2sweep.report.figures.captions import sample
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import COLORS, FAINT
from w2sweep.report.summary import SummaryRow
from w2sweep.results.intervals import Estimate

FEWEST = 3
"""Students of a task: with fewer there is no trend to see."""
LOSS, ACCURACY = "loss_gained", "accuracy_gained"
YLABEL = {LOSS: "gain in test loss\n(nats)", ACCURACY: "gain in test accuracy\n(points)"}
"""The lines of panels: diagnostic -> what stands beside its y axes."""
EQUAL = {"color": FAINT, "ls": "--", "lw": 1.0}


class Misfit(ByMethod):
    """Gain of students over their supervisor against their distance from it, a point a row."""

    name = "misfit"
    order = 50
    title = "Gain over the supervisor against misfit"
    xlabel = "misfit, KL(student || supervisor) on the test split (nats)"
    sharey = "row"
    measures = YLABEL
    joined = False

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """The figure of the tasks with enough students, or None."""
        having = [r for r in rows if {"misfit", LOSS, ACCURACY} <= r.diagnostics.keys()]
        counts = Counter(r.task for r in having)
        enough = [r for r in having if counts[r.task] >= FEWEST]
        figure = cls(enough, ladders) if enough else None
        return figure if figure and len(figure.methods) <= len(COLORS) else None

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        ax.axhline(0, color=FAINT, lw=0.8, zorder=1)
        if line == LOSS:
            ax.axline((0, 0), slope=1, zorder=1, **EQUAL)
        else:
            ax.yaxis.set_major_formatter(_points)
        sizes = self.rungs(rows[0], "strong")
        for row in rows:
            x, y = row.diagnostics["misfit"], row.diagnostics[line]
            self._point(ax, row, (x, y), size=4 + 4 * sizes.index(row.strong) / len(sizes))
        ax.set_xlim(0, 1.08 * max(map(_reach, rows)))

    def _point(self, ax: Axes, row: SummaryRow, at: tuple[Estimate, Estimate], size: float) -> None:
        (x, x_error), (y, y_error) = [(found.value, found.se) for found in at]
        assert x is not None
        assert y is not None
        color, marker = self.look(self.method(row))
        ax.errorbar(x, y, y_error, x_error, color=color, marker=marker, ms=size, elinewidth=0.9)

    def legend(self) -> list[Line2D]:
        methods = [self._handle(method) for method in self.methods]
        return [*methods, Line2D([], [], label="gain = misfit", **EQUAL)]

    @property
    def caption(self) -> str:
        return (
            "Each point is a student, the larger the marker the larger the student: how far its "
            "probabilities are from its supervisor's, and how much better it is. Dashed: in theory "
            "(Charikar et al. 2024; Mulgund and Pabbaraju 2025) the loss of a student on or above "
            "this line falls by at least its misfit. That holds for a student that is the nearest, "
            "in this very divergence, of a convex class of models which has the truth in it, and "
            "of cross-entropy, not of accuracy; networks trained on cross-entropy with weak labels "
            f"are neither, so points may lie below. {sample(self.rows)}. Error bars: ± one "
            "standard error between seeds, none of one seed."
        )


def _reach(row: SummaryRow) -> float:
    """Where a point's error bar ends."""
    found = row.diagnostics["misfit"]
    return (found.value or 0.0) + (found.se or 0.0)


def _points(share: float, _: object) -> str:
    """A tick's share in points."""
    return f"{round(100 * share, 3):g}"
