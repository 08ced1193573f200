"""Prompting beside finetuning: the paper's figure of section 5.2.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.report.figures.axis import compute_axis
from w2sweep.report.figures.by_method import ByMethod
from w2sweep.report.figures.captions import chance, errors, sample
from w2sweep.report.figures.panels import chance_handle, chance_line, errorbar
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import FAINT, INK, LEVEL
from w2sweep.report.summary import SummaryRow

PROMPTED = {
    "zero_shot": "zero-shot",
    "few_shot_truth": "few-shot, true labels (oracle)",
    "few_shot_weak": "few-shot, weak labels",
}
"""The methods that ask a model instead of training it, and what the legend calls them."""


class Prompting(ByMethod):
    """Test accuracy against the student's size, a line a way to elicit what it knows: prompted
    dashed, finetuned solid."""

    name = "prompting"
    order: ClassVar[int] = 5
    title = "Prompting and finetuning against student size"
    ylabel = "test accuracy (%)"
    sharey = "none"

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """The figure of all rows, where some are of prompted students."""
        prompted = any(r.method in PROMPTED for r in rows)
        return cls(rows, ladders) if prompted else None

    def line(self, row: SummaryRow) -> str:
        return f"from {row.weak}"

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        x = compute_axis(ax, self.ladders[rows[0].ladder], self.rungs(rows[0], "strong"))
        chance_line(ax, rows)
        best_known = {r.strong: r for r in sorted(rows, key=lambda r: r.seeds)}.values()
        ceilings = [(r.strong, r.ceiling_accuracy, r.ceiling_accuracy_se) for r in best_known]
        errorbar(ax, x, ceilings, color=INK, ls="-", lw=1.0, **LEVEL)
        ax.axhline(100 * max(rows, key=lambda r: r.seeds).weak_accuracy, color=FAINT, lw=1.2)
        for method in self.methods:
            mine = [r for r in rows if self.method(r) == method]
            if mine:
                color, marker = self.look(method)
                places = {r.strong: self.beside(ax, x[r.strong], method) for r in mine}
                points = [(r.strong, r.student_accuracy, r.student_accuracy_se) for r in mine]
                errorbar(ax, places, points, color=color, marker=marker, ls=_ls(mine[0].method))

    def legend(self) -> list[Line2D]:
        named = {self.method(r): r.method for r in self.rows}
        lines = [self._line(shown, method) for shown, method in named.items()]
        ceiling = Line2D([], [], color=INK, lw=1.0, label="ceiling", **LEVEL)
        supervisor = Line2D([], [], color=FAINT, lw=1.2, label="supervisor itself")
        return [*lines, ceiling, supervisor, *chance_handle(self.rows)]

    def _line(self, shown: str, method: str) -> Line2D:
        color, marker = self.look(shown)
        told = shown.replace(method, PROMPTED.get(method, f"finetuned, {method}"))
        return Line2D([], [], color=color, marker=marker, ls=_ls(method), label=told)

    @property
    def caption(self) -> str:
        return (
            "Students by size (x). Dashed: asked and not trained, zero-shot or after a few "
            "demonstrations, whose labels are the ground truth (an oracle) or the supervisor's. "
            "Solid: finetuned on weak labels. Levels: the ceiling, the student's model finetuned "
            f"on the ground truth.{chance(self.rows)} {sample(self.rows)}. {errors(self.rows)}."
        )


def _ls(method: str) -> str:
    return "--" if method in PROMPTED else "-"
