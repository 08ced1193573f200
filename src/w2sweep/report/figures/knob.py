"""Accuracy, PGR and agreement against the one thing that a sweep turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.report.figures.axis import compute_axis, numbers, value_axis
from w2sweep.report.figures.pgr import ByMethod
from w2sweep.report.figures.plot import FAINT, INK, distinct, errorbar, errors, sample
from w2sweep.report.summary import SummaryRow, overrides, short_variants
from w2sweep.results.sweep_folder import RungFacts

YLABEL = {
    "accuracy": "test accuracy (%)", "PGR": "PGR",
    "agreement": "agreement on supervisor's\nerrors (pale: the rest) (%)",
}  # fmt: skip
"""The lines of panels."""
GAP = "supervisor, by pretraining compute relative to the largest rung's"
PALE = 0.3


@dataclass(frozen=True)
class Turned:
    """What a sweep turns besides task, rungs, method and seed; or the supervisor's rung, with all else the same."""

    name: str
    value: Callable[[SummaryRow], str]
    axis: Callable[[Axes], Mapping[str, float]]
    """Sets up the x axis; where each value lies on it."""
    ordered: bool
    """Whether a line may join the points."""
    pairs: bool = False
    """Whether columns are to be told apart by their rungs."""


def turned(
    rows: Sequence[SummaryRow], ladders: Mapping[str, Mapping[str, RungFacts]]
) -> Turned | None:
    """The one override whose values differ, or the supervisor where three or more teach one student."""
    short = short_variants(rows)
    found = [overrides(short[r.task, r.variant]) for r in rows]
    keys = {key for each in found for key in each}
    if len(keys) == 1 and all(found):
        [key] = keys
        values = distinct(each[key] for each in found)
        return Turned(
            key, lambda r: overrides(r.variant)[key], lambda ax: value_axis(ax, values), numbers(values) is not None,
            pairs=len({(r.weak, r.strong) for r in rows}) > 1,
        )  # fmt: skip
    weak = distinct(r.weak for r in sorted(rows, key=lambda r: r.weak_compute))
    if keys or len({(r.ladder, r.strong) for r in rows}) > 1 or len(weak) < 3:
        return None
    ladder = ladders[rows[0].ladder]
    return Turned(GAP, lambda r: r.weak, lambda ax: compute_axis(ax, ladder, weak), ordered=True)


class Knob(ByMethod):
    """Everything that is measured against what is turned: accuracy, PGR, and whether errors are imitated."""

    name = "knob"
    sharey = "row"
    lines_are_named = False

    def __init__(
        self,
        rows: Sequence[SummaryRow],
        ladders: Mapping[str, Mapping[str, RungFacts]],
        knob: Turned,
    ):
        super().__init__(rows, ladders)
        self.knob, self.joined = knob, knob.ordered
        self.xlabel, self.title = knob.name, f"Against {knob.name}"

    @property
    def lines(self) -> list[str]:
        return list(YLABEL)

    def ylabel_of(self, line: str) -> str:
        return YLABEL[line]

    def rows_of(self, column: str, line: str) -> list[SummaryRow]:
        return [r for r in self.rows if self.column(r) == column]

    def method(self, row: SummaryRow) -> str:
        return row.method

    def column(self, row: SummaryRow) -> str:
        pair = f", {row.weak} to {row.strong}" if self.knob.pairs else ""
        return super().column(row) + pair

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        x = self.knob.axis(ax)
        if line == "accuracy":
            self.accuracies(ax, rows, x)
        elif line == "PGR":
            self.recovered(ax, rows, lambda r: x[self.knob.value(r)])
        else:
            self.agreements(ax, rows, x)

    def accuracies(self, ax: Axes, rows: Sequence[SummaryRow], x: Mapping[str, float]) -> None:
        shared = {
            self.knob.value(r): r for r in sorted(rows, key=lambda r: r.seeds)
        }  # by all methods
        ceilings = [(v, r.ceiling_accuracy, r.ceiling_accuracy_se) for v, r in shared.items()]
        supervisors = [(v, r.weak_accuracy, r.weak_accuracy_se) for v, r in shared.items()]
        errorbar(ax, x, ceilings, color=INK, ls=self.ls("--"), marker="_", ms=8)
        errorbar(ax, x, supervisors, color=FAINT, ls=self.ls("-"), marker="o", mfc="white", ms=6)
        for method in self.methods:
            self.students(ax, rows, x, method, "student_accuracy")

    def agreements(self, ax: Axes, rows: Sequence[SummaryRow], x: Mapping[str, float]) -> None:
        ax.set_ylim(-5, 105)
        for method in self.methods:
            self.students(ax, rows, x, method, "agreement_weak_right", alpha=PALE)
            self.students(ax, rows, x, method, "agreement_weak_wrong")

    def students(
        self,
        ax: Axes,
        rows: Sequence[SummaryRow],
        x: Mapping[str, float],
        method: str,
        measure: str,
        **style,
    ) -> None:
        """One measure of a method's students, in percent."""
        points = [
            (self.knob.value(r), getattr(r, measure), getattr(r, f"{measure}_se"))
            for r in rows
            if self.method(r) == method and getattr(r, measure) is not None
        ]
        if points:
            color, marker = self.look(method)
            places = {v: self.beside(ax, at, method) for v, at in x.items()}
            errorbar(ax, places, points, color=color, marker=marker, ls=self.ls("-"), **style)

    def ls(self, joined: str) -> str:
        return joined if self.joined else ""

    def legend(self) -> list[Line2D]:
        supervisor = Line2D(
            [],
            [],
            color=FAINT,
            marker="o",
            mfc="white",
            ms=6,
            ls=self.ls("-"),
            label="supervisor itself",
        )
        ceiling = Line2D([], [], color=INK, ls=self.ls("--"), marker="_", ms=8, label="ceiling")
        return [*super().legend(), ceiling, supervisor]

    @property
    def caption(self) -> str:
        return (
            "Test accuracy of supervisor, students and ceiling (the student's model finetuned on the ground truth); "
            f"PGR, {self.says_pgr}; and how often the student answers as its supervisor does where the supervisor "
            f"is wrong, and, paler, where it is right. {sample(self.rows)}. {errors(self.rows)}; of PGR, "
            f"{self.says_intervals}"
        )
