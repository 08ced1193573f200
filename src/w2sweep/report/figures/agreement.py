"""Agreement with the supervisor against the student's size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Self

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.report.extremes import of_weakest
from w2sweep.report.figures.axis import compute_axis
from w2sweep.report.figures.by_method import ByMethod
from w2sweep.report.figures.captions import errors, sample
from w2sweep.report.figures.over_size import OverSize
from w2sweep.report.figures.panels import errorbar
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import FAINT, INK, LEVEL
from w2sweep.report.summary import AGREEMENTS, SummaryRow

CAPA = "capa"
YLABEL = {
    "agreement": "agreement\noverall (%)",
    "agreement_weak_right": "where the super-\nvisor is right (%)",
    "agreement_weak_wrong": "where the super-\nvisor is wrong (%)",
    CAPA: "CAPA",
}
"""The lines of panels: measure -> what stands beside its y axes."""
Point = tuple[str, float | None, float | None]
"""Rung, value, standard error."""


class Agreement(OverSize, ByMethod):
    """How often the student answers as its supervisor does, a line a method.

    Burns et al. 2023, section 5.1.3. Of the weakest supervisor alone, and only where students
    differ in size.
    """

    name = "agreement"
    order = 40
    title = "Agreement with the supervisor against student size"
    sharey = "row"
    measures = YLABEL

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """The figure of the weakest supervisor's students, or None."""
        weakest = of_weakest([r for r in rows if "ceiling_agreement" in r.diagnostics])
        sizes: dict[str, set[str]] = {}
        for row in weakest:
            sizes.setdefault(row.task, set()).add(row.strong)
        several = sizes and min(map(len, sizes.values())) > 1
        return super().of(weakest, ladders) if several else None

    @property
    def lines(self) -> list[str]:
        known = any(CAPA in r.diagnostics for r in self.rows)
        return [*AGREEMENTS, *([CAPA] if known else [])]

    def rows_of(self, column: str, line: str) -> list[SummaryRow]:
        found = super().rows_of(column, line)
        return [r for r in found if line != CAPA or CAPA in r.diagnostics]

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        x = compute_axis(ax, self.ladders[rows[0].ladder], self.rungs(rows[0], "strong"))
        if line == CAPA:
            ax.axhline(0, color=FAINT, lw=0.8, zorder=1)
            self._methods(ax, rows, x, lambda r: _diagnostic(r, CAPA))
            return
        best_known = {r.strong: r for r in sorted(rows, key=lambda r: r.seeds)}.values()
        ceilings = known([_diagnostic(r, f"ceiling_{line}") for r in best_known])
        if ceilings:
            errorbar(ax, x, ceilings, color=INK, ls="--", **LEVEL)
        self._methods(ax, rows, x, lambda r: _agreement(r, line), percent=True)

    def _methods(
        self,
        ax: Axes,
        rows: Sequence[SummaryRow],
        x: Mapping[str, float],
        point: Callable[[SummaryRow], Point],
        percent: bool = False,
    ) -> None:
        """Draws a value of each method's students."""
        for method in self.methods:
            points = known([point(r) for r in rows if self.method(r) == method])
            if points:
                color, marker = self.look(method)
                places = {rung: self.beside(ax, at, method) for rung, at in x.items()}
                scaled = points if percent else [_hundredth(p) for p in points]
                errorbar(ax, places, scaled, color=color, marker=marker)

    def legend(self) -> list[Line2D]:
        ceiling = "ceiling, which never saw the supervisor"
        return [*map(self._handle, self.methods), Line2D([], [], color=INK, ls="--", label=ceiling)]

    @property
    def caption(self) -> str:
        capa = (
            " CAPA: agreement of probabilities beyond that of independent models of the same "
            "accuracy (1: alike, 0: independent); surer answers raise it."
            if CAPA in self.lines
            else ""
        )
        weak = ", ".join(self.supervisors)
        return (
            "Test examples that the student answers as its supervisor does: all, those that the "
            "supervisor answers rightly, those that it answers wrongly. Dashed: the same of the "
            f"ceiling.{capa} Supervisor: {weak}. {sample(self.rows)}. {errors(self.rows)}; of the "
            "ceiling and of CAPA between seeds alone."
        )


def known(points: Sequence[Point]) -> list[tuple[str, float, float | None]]:
    """The points that have a value."""
    return [(rung, value, se) for rung, value, se in points if value is not None]


def _agreement(row: SummaryRow, name: str) -> Point:
    return row.strong, getattr(row, name), getattr(row, f"{name}_se")


def _diagnostic(row: SummaryRow, name: str) -> Point:
    found = row.diagnostics.get(name)
    return (row.strong, found.value, found.se) if found else (row.strong, None, None)


def _hundredth(point: tuple[str, float, float | None]) -> tuple[str, float, float | None]:
    """What `errorbar`, which draws percent, draws as it is."""
    rung, value, se = point
    return rung, value / 100, None if se is None else se / 100
