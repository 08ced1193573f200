"""Students along their training, and what stopping them early would have made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.experiment.stopping import ORACLE
from w2sweep.report.curves import Moment
from w2sweep.report.figures.by_method import ByMethod
from w2sweep.report.figures.captions import errors, sample
from w2sweep.report.figures.panels import Sharing
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import FAINT, INK
from w2sweep.report.summary import SummaryRow
from w2sweep.results.intervals import Estimate

ACCURACY, AGREEMENT, PGR = "accuracy", "agreement", "PGR"
YLABEL = {
    ACCURACY: "test accuracy\n(the truth, %)",
    AGREEMENT: "agreement with the labels\nof validation (%)",
    PGR: "PGR",
}
"""The lines of panels: measure -> what stands beside its y axes."""
READINGS = {
    None: "last step",
    "stopped_on_weak_labels": "stopped on\nweak labels",
    ORACLE: "stopped on\nthe truth\n(oracle)",
}
"""Role of a reading of the run, None: the student itself -> what stands below it."""


@dataclass(frozen=True)
class ReadingRow(SummaryRow):
    """A row with one of the readings in the student's place, and where it is drawn."""

    x: float = 0.0


class Overfitting(ByMethod):
    """The student's accuracy and its agreement with the weak labels along training, and PGR of the
    three readings of the run."""

    name = "overfitting"
    order = -10
    title = "Overfitting to weak labels"
    sharey: Sharing = "none"
    measures = YLABEL
    joined = False
    xlabel = ""

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders):
        super().__init__(rows, ladders)
        self.readings = [reading for row in rows for reading in _readings(row)]

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        followed = [r for r in rows if r.curve]
        return cls(followed, ladders) if followed else None

    def rows_of(self, column: str, line: str) -> list[SummaryRow]:
        return [r for r in self.measured_in(line) if self.column(r) == column]

    def measured_in(self, line: str) -> Sequence[SummaryRow]:
        """The rows that a line of panels is about."""
        return self.measured if line == PGR else self.rows

    @property
    def measured(self) -> Sequence[SummaryRow]:
        return self.readings

    def column(self, row: SummaryRow) -> str:
        pairs = {(r.weak, r.strong) for r in self.rows}
        pair = f", {row.weak} to {row.strong}" if len(pairs) > 1 else ""
        return super().column(row) + pair

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        if line == PGR:
            ax.set_xlim(-0.5, len(READINGS) - 0.5)
            ax.set_xticks(range(len(READINGS)), list(READINGS.values()))
            self.recovered(ax, rows, lambda r: cast(ReadingRow, r).x)
            return
        ax.set_xlim(0, 100)
        if line == ACCURACY:
            _levels(ax, rows[0])
        else:
            ax.set_xlabel("training done (%)")
        for row in rows:
            self._along(ax, row, line)

    def _along(self, ax: Axes, row: SummaryRow, line: str) -> None:
        """Draws one student along its training, with a band of one standard error."""
        color, _ = self.look(self.method(row))
        found = [_measure(moment, line) for moment in row.curve]
        x = [100 * moment.progress for moment in row.curve]
        y = 100 * np.array([e.value for e in found], float)
        se = 100 * np.array([e.se or 0.0 for e in found])
        ax.plot(x, y, color=color)
        ax.fill_between(x, y - se, y + se, color=color, alpha=0.2, lw=0)

    def beside(self, ax: Axes, x: float, method: str) -> float:
        middle = (len(self.methods) - 1) / 2
        return x + 0.12 * (self.methods.index(method) - middle)

    def _label_ticks(self, ax: Axes, *of_panel) -> None:
        super()._label_ticks(ax, *of_panel)
        ax.tick_params(labelbottom=True)  # the lines of panels have axes of their own

    def legend(self) -> list[Line2D]:
        ceiling = Line2D([], [], color=INK, ls="--", label="ceiling")
        supervisor = Line2D([], [], color=FAINT, label="supervisor")
        return [*super().legend(), ceiling, supervisor]

    @property
    def caption(self) -> str:
        return (
            "One run of each student. Above: its accuracy on the test split at each evaluation, "
            "and the levels of its supervisor and of the ceiling. Middle: how often it answers the "
            "validation split as the supervisor, which is what it can see itself. Below: PGR at "
            "the last step, at the evaluation that agrees most with the weak labels of the "
            "validation split, and at the one that is best by the truth there, an oracle. "
            f"PGR is {self.says_pgr}. {sample(self.rows)}. {errors(self.rows)} (bands); "
            f"of PGR, {self.says_intervals}"
        )


def _readings(row: SummaryRow) -> list[ReadingRow]:
    """The row as it would be with each of the readings for a student."""
    recovered = {None: row.recovered} | {role: of.pgr for role, of in row.others.items()}
    return [_reading(row, recovered[role], x) for x, role in enumerate(READINGS)]


def _reading(row: SummaryRow, pgr: Estimate, x: int) -> ReadingRow:
    bounds = {"pgr": pgr.value, "pgr_low": pgr.low, "pgr_high": pgr.high, "pgr_se": pgr.se}
    fields: dict[str, Any] = vars(row) | bounds
    return ReadingRow(**fields, x=float(x))


def _measure(moment: Moment, line: str) -> Estimate:
    return moment.accuracy if line == ACCURACY else moment.agreement


def _levels(ax: Axes, row: SummaryRow) -> None:
    """Draws the supervisor's and the ceiling's accuracy."""
    ax.axhline(100 * row.ceiling_accuracy, color=INK, ls="--", lw=1.2)
    ax.axhline(100 * row.weak_accuracy, color=FAINT, lw=1.2)
