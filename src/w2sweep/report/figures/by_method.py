"""PGR as points with intervals, a colour and a marker a method."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from w2sweep.report.figures.axis import shifted
from w2sweep.report.figures.panels import ALL, Panels
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import COLORS, FAINT, MARKERS
from w2sweep.report.summary import SummaryRow
from w2sweep.report.table import over

VIEW = (-0.6, 1.6)
"""PGR outside is drawn as an arrow at the edge, with its value: a small gap makes any PGR."""
TICKS = (-0.5, 0.0, 0.5, 1.0, 1.5)
MOST_METHODS = 28
"""In one figure: there are seven colours, and so each is there four times."""
STRIP = 0.13
"""Height of the strip below the values, for what has none, as a share of their range."""
UNCLEAR: dict[str, Any] = {"marker": "o", "mfc": "white"}
"""What a PGR without a clear gap is drawn as."""


class ByMethod(Panels):
    """A figure in which each method has its look."""

    joined: bool = True
    """Whether a line joins a method's points: not where x has no order."""
    says_pgr = (
        "(student - weak) / (ceiling - weak), from accuracies averaged over seeds: "
        "1 is the ceiling, 0 the supervisor"
    )

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders):
        super().__init__(rows, ladders)
        if len(self.methods) > MOST_METHODS:
            self.left_out.append(f"The first {MOST_METHODS} of {len(self.methods)} methods: {ALL}.")
            self.methods = self.methods[:MOST_METHODS]
            self.rows = [row for row in rows if self.method(row) in self.methods]

    @property
    def measured(self) -> Sequence[SummaryRow]:
        """The rows whose PGR is drawn."""
        return self.rows

    def recovered(
        self, ax: Axes, rows: Sequence[SummaryRow], x: Callable[[SummaryRow], float]
    ) -> None:
        """Draws the PGR of `rows`, in an axis that is set up."""
        for level in (0, 1):
            ax.axhline(level, color=FAINT, lw=0.8, zorder=1)
        low, high = self.view
        ax.set_ylim(self._floor, high)
        ax.yaxis.set_major_locator(FixedLocator([t for t in TICKS if low <= t <= high]))
        if self._floor < low:
            ax.axhspan(self._floor, low, color="#f0f0f0", lw=0, zorder=3)  # intervals end at it
        for method in self.methods:
            mine = [(self.beside(ax, x(r), method), r) for r in rows if self.method(r) == method]
            self._curve(ax, mine, method)

    def _curve(self, ax: Axes, points: Sequence[tuple[float, SummaryRow]], method: str) -> None:
        low, high = self.view
        clear = [(at, r.pgr, r) for at, r in points if r.pgr is not None and not r.unclear]
        inside = [point for point in clear if low <= point[1] <= high]
        color, marker = self.look(method)
        if self.joined:
            x, y, _ = zip(*inside, strict=True) if inside else ((), (), ())
            ax.plot(x, y, color=color, alpha=0.8)
        for at, pgr, r in inside:
            ax.errorbar(at, pgr, _bounds(r), color=color, marker=marker, lw=1.1)
        for at, pgr, _ in clear:
            if not low <= pgr <= high:
                self._arrow(ax, at, pgr, method)
        for at, r in points:
            if r.pgr is None or r.unclear:
                self._valueless(ax, at, r, method)

    def _arrow(self, ax: Axes, x: float, pgr: float, method: str) -> None:
        """Draws where a PGR off the scale lies; those of several methods are stacked."""
        low, high = self.view
        height = (0.05 + 0.08 * self.methods.index(method)) * (high - low)
        y = high - height if pgr > 0 else low + height
        color = self.look(method)[0]
        ax.plot(x, y, marker="^" if pgr > 0 else "v", color=color)
        left = x < shifted(ax, ax.get_xlim()[0], 0.5)
        ha, offset = ("left", 5) if left else ("right", -5)  # towards the middle of the panel
        beside = ((x, y), (offset, 0), "data", "offset points")
        ax.annotate(f"{pgr:.1f}", *beside, color=color, ha=ha, va="center", fontsize=7)

    def _valueless(self, ax: Axes, x: float, row: SummaryRow, method: str) -> None:
        """Marks, in the strip below the values, a PGR that is undefined or says nothing."""
        y = (self._floor + self.view[0]) / 2
        look: dict[str, Any] = {"marker": "x"} if row.pgr is None else UNCLEAR
        ax.plot(x, y, color=self.look(method)[0], ls="", ms=4.5, zorder=4, **look)

    def legend(self) -> list[Line2D]:
        lines = [self._handle(method) for method in self.methods]
        if any(r.pgr is None for r in self.measured):
            lines.append(Line2D([], [], color=FAINT, marker="x", ls="", label="undefined"))
        if any(r.unclear for r in self.measured):
            lines.append(Line2D([], [], color=FAINT, label="no clear gap", ls="", **UNCLEAR))
        return lines

    def _handle(self, method: str) -> Line2D:
        color, marker = self.look(method)
        ls = "-" if self.joined else ""
        return Line2D([], [], color=color, marker=marker, ls=ls, label=method)

    @property
    def says_intervals(self) -> str:
        said = [f"95 % intervals {over(r.seeds for r in self.rows)}. Arrows: off the scale."]
        if any(r.pgr is None for r in self.measured):
            said.append("Crosses below: undefined, the ceiling is not above the supervisor.")
        if any(r.unclear for r in self.measured):
            said.append(
                "Hollow below: ceiling and supervisor cannot be told apart, so PGR may be anything."
            )
        return " ".join(said)

    @property
    def view(self) -> tuple[float, float]:
        """Where the points and their intervals lie, within reason."""
        clear = [r for r in self.measured if not r.unclear]
        numbers = [x for r in clear for x in (r.pgr, r.pgr_low, r.pgr_high)]
        seen = [x for x in numbers if x is not None]
        return max(VIEW[0], min([-0.1, *seen]) - 0.05), min(VIEW[1], max([1.05, *seen]) + 0.05)

    @property
    def _floor(self) -> float:
        """Where the panel ends: below the values, in a strip of its own, where some have none."""
        low, high = self.view
        valueless = any(r.pgr is None or r.unclear for r in self.measured)
        return low - STRIP * (high - low) if valueless else low

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
