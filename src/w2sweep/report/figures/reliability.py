"""Accuracy against confidence: whether probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from w2sweep.report.extremes import of_strongest, of_weakest
from w2sweep.report.figures.captions import sample
from w2sweep.report.figures.panels import Panels
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import COLORS, FAINT, INK
from w2sweep.report.summary import SummaryRow
from w2sweep.results import intervals
from w2sweep.results.cell import CEILING, STUDENT, SUPERVISOR

FEWEST = 20
"""Bins with fewer examples, of all seeds together, are noise and not drawn."""
MOST_LINES = 3
"""With more lines of panels the figure would drown the page."""
LOOKS: dict[str, dict[str, Any]] = {
    SUPERVISOR: {"color": FAINT, "marker": "o", "mfc": "white"},
    CEILING: {"color": INK, "marker": "_", "ls": "--"},
    STUDENT: {"color": COLORS[0], "marker": "s"},
}
"""Of the models, the last on top."""


class Reliability(Panels):
    """Accuracy against confidence of supervisor, student and ceiling; a line of panels a method.

    Of the weakest supervisor and the strongest student.
    """

    name = "reliability"
    order = 60
    title = "Reliability of probabilities"
    xlabel = "confidence: the probability of the answer that is given (%)"
    ylabel = "accuracy (%)"
    sharey = "all"

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """The figure of each task's largest gap, or None."""
        shown = [r for r in of_strongest(of_weakest(rows)) if len(r.reliability) == len(LOOKS)]
        figure = cls(shown, ladders) if shown else None
        return figure if figure and len(figure.lines) <= MOST_LINES else None

    def line(self, row: SummaryRow) -> str:
        return self.method(row)

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        ax.plot([0, 100], [0, 100], color=FAINT, ls=":", lw=1.0, zorder=1)
        for role, look in LOOKS.items():
            _curve(ax, rows[0].reliability[role], look)
        guess = 100 * (min(r.chance or 0.0 for r in self.rows))
        ax.set_xlim(guess - 3, 103)
        ax.set_ylim(guess - 13, 103)

    def legend(self) -> list[Line2D]:
        handles = [Line2D([], [], label=role, **look) for role, look in LOOKS.items()]
        return [*handles, Line2D([], [], color=FAINT, ls=":", lw=1.0, label="calibrated")]

    @property
    def caption(self) -> str:
        pairs = dict.fromkeys(f"{r.strong} from {r.weak}" for r in self.rows)
        return (
            "Of the answers that are given with about the same probability, how many are right: "
            "below the dotted line a model is surer than it should be, above it less sure. "
            f"{', '.join(pairs)}; {sample(self.rows)}, all seeds together; bins of fewer than "
            f"{FEWEST} examples are left out. Error bars: ± one standard error over test examples."
        )


def _curve(ax: Axes, curve: NDArray[np.float64], look: dict[str, Any]) -> None:
    """Draws the bins that have enough examples."""
    confidence, accuracy, count = curve[curve[:, 2] >= FEWEST].T
    error = np.sqrt(intervals.variances(accuracy, count))
    ax.errorbar(100 * confidence, 100 * accuracy, 100 * error, elinewidth=0.9, ms=4, **look)
