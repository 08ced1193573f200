"""Bars of accuracy where there is a second ceiling, and PGR against either."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from w2sweep.report.figures.captions import errors, sample
from w2sweep.report.figures.panels import ALL, Panels, Sharing, distinct
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import COLORS, FAINT, INK
from w2sweep.report.summary import BASELINE, SummaryRow
from w2sweep.report.table import over
from w2sweep.results.intervals import Estimate

MEASURES = {"accuracy": "test accuracy (%)", "PGR": "PGR (hollow: against\nthe hatched ceiling)"}
VIEW = (-0.4, 1.4)
"""PGR outside is not drawn, nor are the ends of intervals."""
PLAIN: dict[str, Any] = {"facecolor": "white", "edgecolor": INK, "lw": 0.8}
SUPERVISOR: dict[str, Any] = {"facecolor": "#cccccc", "edgecolor": "#cccccc", "lw": 0.8}
HATCHED: dict[str, Any] = {"hatch": "///", "edgecolor": INK}
"""What is added to the looks of supervisors and ceilings that are the second of their kind."""


class Bar(NamedTuple):
    """A model's accuracy."""

    mean: float
    se: float | None
    look: dict[str, Any]


class TwoCeilings(Panels):
    """Above, accuracies: supervisors, students by method, ceilings. Below, PGR of each method's
    student against either ceiling. A column a task."""

    second: ClassVar[str]
    """The role of the second ceiling."""
    hatched: ClassVar[str]
    """What the legend says of the second ceiling."""
    order = -10
    sharey: Sharing = "none"
    xlabel = ""
    lines_are_named = False

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders):
        super().__init__(rows, ladders)
        whole = len(self.methods)
        if whole > len(COLORS):
            self.rows = [r for r in rows if r.method == BASELINE or self.second in r.others]
            self.methods = distinct(self.method(r) for r in self.rows)
            shown = f"{BASELINE} and what has a second ceiling, of {whole} methods"
            self.left_out.append(f"Shown: {shown}; {ALL}.")

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        return cls(rows, ladders) if any(cls.second in r.others for r in rows) else None

    @property
    @abstractmethod
    def says(self) -> str:
        """What the caption says of what is hatched."""

    @property
    def lines(self) -> list[str]:
        return [f"{measure} {pair}" for pair in self._pairs for measure in MEASURES]

    @property
    def _pairs(self) -> list[str]:
        return distinct(f"{r.weak} to {r.strong}" for r in self.rows)

    def ylabel_of(self, line: str) -> str:
        measure, _, pair = line.partition(" ")
        return MEASURES[measure] + (f"\n{pair}" if len(self._pairs) > 1 else "")

    def rows_of(self, column: str, line: str) -> list[SummaryRow]:
        pair = line.partition(" ")[2]
        mine = [r for r in self.rows if self.column(r) == column]
        return [r for r in mine if f"{r.weak} to {r.strong}" == pair]

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        if line.startswith("accuracy"):
            self._accuracies(ax, rows)
        else:
            self._recovered(ax, rows)
        ax.grid(visible=False, axis="x")

    def _accuracies(self, ax: Axes, rows: Sequence[SummaryRow]) -> None:
        bars = self._bars(rows)
        means = 100 * np.array([bar.mean for bar in bars])
        for x, (bar, mean) in enumerate(zip(bars, means, strict=True)):
            bounds = None if bar.se is None else 100 * bar.se
            ax.bar(x, mean, 0.75, yerr=bounds, ecolor=INK, zorder=2, **bar.look)
            place = ((x, mean), (3, 2), "data", "offset points")
            ax.annotate(f"{mean:.0f}", *place, fontsize=7)
        ax.set_xticks([])
        room = max(2.0, 0.25 * (means.max() - means.min()))
        ax.set_ylim(max(0.0, means.min() - room), min(103.0, means.max() + room))

    def _bars(self, rows: Sequence[SummaryRow]) -> list[Bar]:
        """A supervisor, wherever it is another one than before, with its students; ceilings."""
        bars: list[Bar] = []
        supervisors: list[float] = []
        for r in rows:
            if r.weak_accuracy not in supervisors:
                look = SUPERVISOR | HATCHED if supervisors else SUPERVISOR
                bars.append(Bar(r.weak_accuracy, r.weak_accuracy_se, look))
                supervisors.append(r.weak_accuracy)
            look = {"color": self._color(self.method(r))}
            bars.append(Bar(r.student_accuracy, r.student_accuracy_se, look))
        plain = max(rows, key=lambda r: r.seeds)
        bars.append(Bar(plain.ceiling_accuracy, plain.ceiling_accuracy_se, PLAIN))
        second = next((r.others[self.second] for r in rows if self.second in r.others), None)
        if second is not None:
            bars.append(Bar(second.mean, second.se, PLAIN | HATCHED))
        return bars

    def _recovered(self, ax: Axes, rows: Sequence[SummaryRow]) -> None:
        for level in (0, 1):
            ax.axhline(level, color=FAINT, lw=0.8, zorder=1)
        for x, r in enumerate(rows):
            look = {"color": self._color(self.method(r)), "marker": "o"}
            self._point(ax, x - 0.12, r.recovered, **look)
            if self.second in r.others:
                self._point(ax, x + 0.12, r.others[self.second].pgr, mfc="white", **look)
        ax.set_xticks(range(len(rows)), [self.method(r) for r in rows])
        ax.set_xlim(-0.5, len(rows) - 0.5)
        ax.set_ylim(*VIEW)

    def _point(self, ax: Axes, x: float, pgr: Estimate, **look: Any) -> None:
        """A PGR with its interval; paler where there is none, for its gap is unclear."""
        if pgr.value is None or not VIEW[0] <= pgr.value <= VIEW[1]:
            ax.plot(x, VIEW[0] + 0.08, marker="x", color=look["color"], ls="")
        elif pgr.low is None or pgr.high is None:
            ax.plot(x, pgr.value, ls="", alpha=0.45, **look)
        else:
            reach = [[pgr.value - pgr.low], [pgr.high - pgr.value]]
            ax.errorbar(x, pgr.value, reach, ls="", lw=1.1, **look)

    def _color(self, method: str) -> str:
        return COLORS[self.methods.index(method) % len(COLORS)]

    def legend(self) -> list[Patch]:
        methods = [Patch(color=self._color(method), label=method) for method in self.methods]
        supervisor = Patch(label="supervisor", **SUPERVISOR)
        ceiling = Patch(label="ceiling", **PLAIN)
        second = Patch(label=self.hatched, **PLAIN | HATCHED)
        return [supervisor, *methods, ceiling, second]

    @property
    def caption(self) -> str:
        seeds = over(r.seeds for r in self.rows)
        return (
            f"Above: supervisors, students and ceilings; hatched: {self.says}. Axes begin near the "
            "lowest value. Below: PGR against the plain ceiling (full) and against the hatched one "
            f"(hollow), with 95 % intervals {seeds}; pale: ceiling and supervisor cannot be told "
            f"apart; cross: off the scale, or undefined. {sample(self.rows)}. "
            f"{errors(self.rows)}."
        )
