"""Probes and finetuned students, side by side: is the truth easier to read off a model that was
finetuned on weak labels?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.report.accuracies import MeanAccuracy
from w2sweep.report.figures.captions import errors, sample
from w2sweep.report.figures.panels import Panels, Sharing
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import COLORS, FAINT, INK
from w2sweep.report.summary import SummaryRow

PROBES = ("lp_weak", "lp_truth", "ft_weak_lp_truth")
"""The roles of the probes that such a row has."""
WEAK, TRUTH, BOTH = COLORS[0], COLORS[1], COLORS[2]
BARS = {
    "lp_weak": ("lp\nweak", WEAK, 0.45),
    "lp_truth": ("lp\ntruth", TRUTH, 0.45),
    "student": ("ft\nweak", WEAK, 0.9),
    "ft_weak_lp_truth": ("ft weak\n+ lp truth", BOTH, 0.9),
    "ceiling": ("ft\ntruth", TRUTH, 0.9),
}
"""Role -> name, colour and opacity of its bar: a colour a kind of labels, paler of probes."""


class Saliency(Panels):
    """Five bars a task: a linear probe of the pretrained model and the finetuned model, each on
    weak labels and on the truth, and a probe on the truth of the model finetuned on weak labels."""

    name = "saliency"
    order = -10
    title = "Finetuning on weak labels and linear probes"
    ylabel = "test accuracy (%)"
    sharey: Sharing = "none"
    xlabel = ""

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        probed = [r for r in rows if r.others.keys() >= set(PROBES)]
        return cls(probed, ladders) if probed else None

    def line(self, row: SummaryRow) -> str:
        """A line for each pair of models, of each method where there are several."""
        method = f", {self.method(row)}" if len(self.methods) > 1 else ""
        return f"{row.weak} to {row.strong}{method}"

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        row = rows[0]
        reached = [_reached(row, role) for role in BARS]
        for x, (found, (_, color, alpha)) in enumerate(zip(reached, BARS.values(), strict=True)):
            mean, se = 100 * found.mean, None if found.se is None else 100 * found.se
            ax.bar(x, mean, width=0.72, color=color, alpha=alpha, zorder=2)
            ax.errorbar(x, mean, se, color=INK, elinewidth=1.0, zorder=3)
            _number(ax, x, mean)
        ax.axhline(100 * row.weak_accuracy, color=FAINT, ls="--", lw=1.2, zorder=4)
        ax.set_xticks(range(len(BARS)), [name for name, _, _ in BARS.values()], fontsize=7)
        ax.grid(visible=False, axis="x")
        ax.set_ylim(*_limits(row, reached))

    def legend(self) -> list[Line2D]:
        return [Line2D([], [], color=FAINT, ls="--", label="supervisor")]

    @property
    def caption(self) -> str:
        return (
            "The student's model, used in five ways. lp: a linear probe on its frozen features; "
            "ft: finetuned; on weak labels or on the truth. ft weak + lp truth: a probe, trained "
            "on the truth, of the features of the model that was finetuned on weak labels. ft weak "
            "is the naive student, ft truth the ceiling. What learns from the truth is an oracle. "
            f"Axes begin near the lowest value. {sample(self.rows)}. {errors(self.rows)}."
        )


def _reached(row: SummaryRow, role: str) -> MeanAccuracy:
    if role in row.others:
        return row.others[role]
    return MeanAccuracy(getattr(row, f"{role}_accuracy"), getattr(row, f"{role}_accuracy_se"))


def _number(ax: Axes, x: float, percent: float) -> None:
    """Writes an accuracy beside the error bar at the top of its bar."""
    beside: dict[str, Any] = {"xytext": (2, 2), "textcoords": "offset points", "fontsize": 7}
    ax.annotate(f"{percent:.0f}", (x + 0.06, percent), **beside)


def _limits(row: SummaryRow, reached: Sequence[MeanAccuracy]) -> tuple[float, float]:
    """From a little below the lowest value to a little above the highest."""
    means = 100 * np.array([row.weak_accuracy, *(found.mean for found in reached)])
    room = max(2.0, 0.2 * (means.max() - means.min()))
    return max(0.0, means.min() - room), min(102.0, means.max() + room)
