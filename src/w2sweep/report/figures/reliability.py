"""Accuracy against confidence: whether probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from w2sweep.report.extremes import of_strongest, of_weakest
from w2sweep.report.figures.captions import sample
from w2sweep.report.figures.panels import WRAP, Panels
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import COLORS, FAINT, INK
from w2sweep.report.summary import SummaryRow
from w2sweep.results import diagnostics, intervals
from w2sweep.results.cell import CEILING, STUDENT, SUPERVISOR

FEWEST = 20
"""Bins with fewer examples, of all seeds together, are noise and not drawn."""
MOST_LINES = 3
"""With more methods each task has a figure of its own, whose panels are methods."""
MOST_PANELS = 12
"""Of more methods such a figure shows those calibrated best, and as many calibrated worst."""
LOOKS: dict[str, dict[str, Any]] = {
    SUPERVISOR: {"color": FAINT, "marker": "o", "mfc": "white"},
    CEILING: {"color": INK, "marker": "_", "ls": "--"},
    STUDENT: {"color": COLORS[0], "marker": "s"},
}
"""Of the models, the last on top."""


class Reliability(Panels):
    """Accuracy against confidence of supervisor, student and ceiling, of the weakest supervisor and
    the strongest student.

    A line of panels is a method; where there are many, a task has a figure of a panel a method.
    """

    name = "reliability"
    order = 60
    title = "Reliability of probabilities"
    xlabel = "confidence: the probability of the answer that is given (%)"
    ylabel = "accuracy (%)"
    sharey = "all"
    widest = WRAP

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders):
        super().__init__(rows, ladders)
        self._many = len(self.methods) > MOST_LINES
        self._extremes = len(self.methods) > MOST_PANELS
        if self._extremes:
            kept = _extremes(rows, self.method)
            self.rows = [row for row in rows if self.method(row) in kept]

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """The figure of each task's largest gap, or None."""
        shown = [r for r in of_strongest(of_weakest(rows)) if len(r.reliability) == len(LOOKS)]
        return cls(shown, ladders) if shown else None

    def line(self, row: SummaryRow) -> str:
        return super().column(row) if self._many else self.method(row)

    def column(self, row: SummaryRow) -> str:
        return self.method(row) if self._many else super().column(row)

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
    def _selection(self) -> str:
        if not self._extremes:
            return ""
        half, of = MOST_PANELS // 2, f"Of {len(self.methods)} methods"
        return f"{of} the {half} whose students are calibrated best, and the {half} worst. "

    @property
    def caption(self) -> str:
        pairs = dict.fromkeys(f"{r.strong} from {r.weak}" for r in self.rows)
        return (
            "Of the answers that are given with about the same probability, how many are right: "
            "below the dotted line a model is surer than it should be, above it less sure. "
            f"{self._selection}{', '.join(pairs)}; {sample(self.rows)}, all seeds together; "
            f"bins of fewer than {FEWEST} examples are left out. "
            "Error bars: ± one standard error over test examples."
        )


def _extremes(rows: Sequence[SummaryRow], method: Callable[[SummaryRow], str]) -> set[str]:
    """The methods whose students have the lowest and the highest mean calibration errors."""
    errors: dict[str, list[float]] = {}
    for row in rows:
        error = diagnostics.calibration_error(row.reliability[STUDENT])
        errors.setdefault(method(row), []).append(error)
    ordered = sorted(errors, key=lambda name: fmean(errors[name]))
    return {*ordered[: MOST_PANELS // 2], *ordered[-MOST_PANELS // 2 :]}


def _curve(ax: Axes, curve: NDArray[np.float64], look: dict[str, Any]) -> None:
    """Draws the bins that have enough examples."""
    confidence, accuracy, count = curve[curve[:, 2] >= FEWEST].T
    error = np.sqrt(intervals.variances(accuracy, count))
    ax.errorbar(100 * confidence, 100 * accuracy, 100 * error, elinewidth=0.9, ms=4, **look)
