"""PGR as points with intervals, a colour and a marker a method."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

from w2sweep.report.figures.axis import shifted
from w2sweep.report.figures.plot import COLORS, FAINT, MARKERS, Plot, few_seeds
from w2sweep.report.summary import SummaryRow

VIEW = (-0.6, 1.6)
"""PGR outside is drawn as an arrow at the edge, with its value: a small gap makes any PGR."""


class ByMethod(Plot):
    """A plot in which each method has its look."""

    joined: bool = True
    """Whether a line joins a method's points: not where x has no order."""
    says_pgr = "(student - weak) / (ceiling - weak), from accuracies averaged over seeds: 1 is the ceiling, 0 the supervisor"

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
            self.curve(ax, mine, method)

    def curve(self, ax: Axes, points: Sequence[tuple[float, SummaryRow]], method: str) -> None:
        color, marker = self.look(method)
        low, high = self.view
        inside = [(at, r.pgr, r) for at, r in points if r.pgr is not None and low <= r.pgr <= high]
        if self.joined:
            ax.plot(
                [at for at, _, _ in inside], [pgr for _, pgr, _ in inside], color=color, alpha=0.8
            )
        for at, pgr, r in inside:
            bounds = (
                None
                if r.pgr_low is None or r.pgr_high is None
                else [[pgr - r.pgr_low], [r.pgr_high - pgr]]
            )
            ax.errorbar(
                at,
                pgr,
                bounds,
                color=color,
                marker=marker,
                mfc="white" if unbounded(r) else color,
                lw=1.1,
            )
        for at, r in points:
            if r.pgr is None or not low <= r.pgr <= high:
                self.outside(ax, at, r.pgr, method)

    def outside(self, ax: Axes, x: float, pgr: float | None, method: str) -> None:
        """A cross where PGR is undefined, an arrow where it is off the scale; those of several methods are stacked."""
        height = 0.05 + 0.08 * self.methods.index(method)
        y = 1 - height if pgr is not None and pgr > 0 else height
        style = {"color": self.look(method)[0], "transform": ax.get_xaxis_transform()}
        ax.plot(x, y, marker="x" if pgr is None else "^" if pgr > 0 else "v", **style)
        if pgr is not None:
            middle = shifted(ax, ax.get_xlim()[0], 0.5)
            side, offset = (
                ("left", 5) if x < middle else ("right", -5)
            )  # towards the middle of the panel
            ax.annotate(
                f"{pgr:.1f}", (x, y), (offset, 0), style["transform"], "offset points",
                color=style["color"], ha=side, va="center", fontsize=7,
            )  # fmt: skip

    def legend(self) -> list[Line2D]:
        ls = "-" if self.joined else ""
        lines = [
            Line2D([], [], color=c, marker=m, ls=ls, label=n)
            for n in self.methods
            for c, m in [self.look(n)]
        ]
        if any(r.pgr is None for r in self.rows):
            lines.append(Line2D([], [], color=FAINT, marker="x", ls="", label="undefined"))
        if any(map(unbounded, self.rows)):
            lines.append(
                Line2D([], [], color=FAINT, marker="o", mfc="white", ls="", label="no interval")
            )
        return lines

    @property
    def says_intervals(self) -> str:
        return (
            f"95 % bootstrap intervals over test examples and seeds{few_seeds(self.rows)}. Crosses: undefined, the "
            "ceiling is not above the supervisor. Hollow: the gap is so small that over 5 % of the resamples have "
            "none, so there is no interval. Arrows: off the scale."
        )

    @property
    def view(self) -> tuple[float, float]:
        """Where the points and their intervals lie, within reason."""
        seen = [x for r in self.rows for x in (r.pgr, r.pgr_low, r.pgr_high) if x is not None]
        return max(VIEW[0], min([-0.1, *seen]) - 0.05), min(VIEW[1], max([1.05, *seen]) + 0.05)

    def look(self, method: str) -> tuple[str, str]:
        i = self.methods.index(method) % len(COLORS)
        return COLORS[i], MARKERS[i]

    def beside(self, ax: Axes, x: float, method: str) -> float:
        """Methods are drawn beside each other instead of over each other."""
        return shifted(ax, x, 0.018 * (self.methods.index(method) - (len(self.methods) - 1) / 2))


def unbounded(row: SummaryRow) -> bool:
    """Whether the gap is too small for an interval."""
    return row.pgr is not None and row.pgr_low is None and row.pgr_undefined_resamples > 0
