"""PGR as points with intervals, a colour and a marker a method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

from w2sweep.report.figures.axis import shifted
from w2sweep.report.figures.captions import few_seeds
from w2sweep.report.figures.panels import Panels
from w2sweep.report.figures.style import COLORS, FAINT, MARKERS
from w2sweep.report.summary import SummaryRow

VIEW = (-0.6, 1.6)
"""PGR outside is drawn as an arrow at the edge, with its value: a small gap makes any PGR."""


class ByMethod(Panels):
    """A figure in which each method has its look."""

    joined: bool = True
    """Whether a line joins a method's points: not where x has no order."""
    says_pgr = (
        "(student - weak) / (ceiling - weak), from accuracies averaged over seeds: "
        "1 is the ceiling, 0 the supervisor"
    )

    def recovered(
        self, ax: Axes, rows: Sequence[SummaryRow], x: Callable[[SummaryRow], float]
    ) -> None:
        """Draws the PGR of `rows`, in an axis that is set up."""
        for level in (0, 1):
            ax.axhline(level, color=FAINT, lw=0.8, zorder=1)
        ax.set_ylim(*self.view)
        ax.yaxis.set_major_locator(MultipleLocator(0.5))
        for method in self.methods:
            mine = [(self.beside(ax, x(r), method), r) for r in rows if self.method(r) == method]
            self._curve(ax, mine, method)

    def _curve(self, ax: Axes, points: Sequence[tuple[float, SummaryRow]], method: str) -> None:
        inside = [(at, pgr, r) for at, r in points if (pgr := self._inside(r)) is not None]
        color, marker = self.look(method)
        if self.joined:
            x, y, _ = zip(*inside, strict=True) if inside else ((), (), ())
            ax.plot(x, y, color=color, alpha=0.8)
        for at, pgr, r in inside:
            fill = "white" if unbounded(r) else color
            ax.errorbar(at, pgr, _bounds(r), color=color, marker=marker, mfc=fill, lw=1.1)
        for at, r in points:
            if self._inside(r) is None:
                self._outside(ax, at, r.pgr, method)

    def _inside(self, row: SummaryRow) -> float | None:
        """A row's PGR, where it is defined and within the panel."""
        low, high = self.view
        return row.pgr if row.pgr is not None and low <= row.pgr <= high else None

    def _outside(self, ax: Axes, x: float, pgr: float | None, method: str) -> None:
        """Draws a cross where PGR is undefined, an arrow where it is off the scale; those of
        several methods are stacked."""
        height = 0.05 + 0.08 * self.methods.index(method)
        y = 1 - height if pgr is not None and pgr > 0 else height
        color, place = self.look(method)[0], ax.get_xaxis_transform()
        marker = "x" if pgr is None else "^" if pgr > 0 else "v"
        ax.plot(x, y, marker=marker, color=color, transform=place)
        if pgr is not None:
            left = x < shifted(ax, ax.get_xlim()[0], 0.5)
            ha, offset = ("left", 5) if left else ("right", -5)  # towards the middle of the panel
            beside = ((x, y), (offset, 0), place, "offset points")
            ax.annotate(f"{pgr:.1f}", *beside, color=color, ha=ha, va="center", fontsize=7)

    def legend(self) -> list[Line2D]:
        lines = [self._handle(method) for method in self.methods]
        if any(r.pgr is None for r in self.rows):
            lines.append(Line2D([], [], color=FAINT, marker="x", ls="", label="undefined"))
        if any(map(unbounded, self.rows)):
            hollow: dict[str, Any] = {"marker": "o", "mfc": "white", "ls": ""}
            lines.append(Line2D([], [], color=FAINT, label="no interval", **hollow))
        return lines

    def _handle(self, method: str) -> Line2D:
        color, marker = self.look(method)
        ls = "-" if self.joined else ""
        return Line2D([], [], color=color, marker=marker, ls=ls, label=method)

    @property
    def says_intervals(self) -> str:
        return (
            f"95 % bootstrap intervals over test examples and seeds{few_seeds(self.rows)}. "
            "Crosses: undefined, the ceiling is not above the supervisor. Hollow: the gap is so "
            "small that over 5 % of the resamples have none, so there is no interval. "
            "Arrows: off the scale."
        )

    @property
    def view(self) -> tuple[float, float]:
        """Where the points and their intervals lie, within reason."""
        numbers = [x for r in self.rows for x in (r.pgr, r.pgr_low, r.pgr_high)]
        seen = [x for x in numbers if x is not None]
        return max(VIEW[0], min([-0.1, *seen]) - 0.05), min(VIEW[1], max([1.05, *seen]) + 0.05)

    def look(self, method: str) -> tuple[str, str]:
        """A method's colour and marker."""
        i = self.methods.index(method) % len(COLORS)
        return COLORS[i], MARKERS[i]

    def beside(self, ax: Axes, x: float, method: str) -> float:
        """Where a method's point is drawn: methods lie beside each other, not over each other."""
        return shifted(ax, x, 0.018 * (self.methods.index(method) - (len(self.methods) - 1) / 2))


def _bounds(row: SummaryRow) -> list[list[float]] | None:
    """How far an interval reaches below and above its value."""
    if row.pgr is None or row.pgr_low is None or row.pgr_high is None:
        return None
    return [[row.pgr - row.pgr_low], [row.pgr_high - row.pgr]]


def unbounded(row: SummaryRow) -> bool:
    """Whether the gap is too small for an interval."""
    return row.pgr is not None and row.pgr_low is None and row.pgr_undefined_resamples > 0
