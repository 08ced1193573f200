"""Accuracy against the difficulty of test examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.report.figures.captions import chance, errors, sample
from w2sweep.report.figures.panels import Panels, chance_handle, chance_line, distinct
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import COLORS, FAINT, INK
from w2sweep.report.grades import Grades
from w2sweep.report.summary import SummaryRow
from w2sweep.results.cell import CEILING, STUDENT, SUPERVISOR

BLUE, VERMILION, GREEN, PINK = COLORS[:4]
STUDENTS: dict[str, dict[str, Any]] = {
    "easy": {"color": GREEN, "marker": "o"},
    "all": {"color": BLUE, "marker": "s"},
    "hard": {"color": VERMILION, "marker": "D"},
}
"""By the examples that they saw."""
OTHERS: dict[str, dict[str, Any]] = {
    CEILING: {"color": INK, "ls": "--", "marker": ""},
    SUPERVISOR: {"color": FAINT, "ls": "-", "marker": ""},
    "zero_shot": {"color": PINK, "ls": "-.", "marker": ""},
}
"""By their role."""
CALLED = {"zero_shot": "zero-shot"}
OF = {"truth": "the truth", "weak": "weak labels"}


class EasyToHard(Panels):
    """Test accuracy against difficulty, a line a set of training examples; a line of panels for
    each who labels them."""

    name = "easy_to_hard"
    order = 5
    title = "From easy to hard"
    ylabel = "test accuracy (%)"
    xlabel = ""
    sharey = "col"

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        graded = [row for row in rows if row.by_difficulty]
        return cls(graded, ladders) if graded else None

    def line(self, row: SummaryRow) -> str:
        whose = _of(row).first.labels
        labels = f"labels: {OF.get(whose, whose)}"
        several = len({(r.weak, r.strong) for r in self.rows}) > 1
        return f"{labels}, {row.strong} from {row.weak}" if several else labels

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        chance_line(ax, rows)
        grades = _of(rows[0])
        for role in self._others(rows):
            self._curve(ax, grades, role, 0, OTHERS[role])
        students = [row for row in rows if _of(row).first.trained_on in STUDENTS]
        for number, row in enumerate(students):
            aside = 0.07 * (number - (len(students) - 1) / 2)
            self._curve(ax, _of(row), STUDENT, aside, STUDENTS[_of(row).first.trained_on])
        _difficulty_axis(ax, grades)
        if line == self.lines[-1]:
            ax.set_xlabel(grades.first.measure)

    def _curve(
        self, ax: Axes, grades: Grades, role: str, aside: float, look: dict[str, Any]
    ) -> None:
        """Draws one model's accuracies, moved a little to the side."""
        found = [grades.accuracy(role, [b]) for b in range(len(grades.counts))]
        known = [(b + aside, e) for b, e in enumerate(found) if e.value is not None]
        x = [at for at, _ in known]
        values = [100 * (e.value or 0.0) for _, e in known]
        bars = [100 * (e.se or 0.0) for _, e in known]
        drawn = bars if role == STUDENT else None  # the others are the same in all panels
        ax.errorbar(x, values, drawn, elinewidth=1.0, **look)

    def _others(self, rows: Sequence[SummaryRow]) -> list[str]:
        """The models beside the students that are drawn."""
        known = {role for row in rows for role in _of(row).first.right}
        return [role for role in OTHERS if role in known]

    def legend(self) -> list[Line2D]:
        sets = distinct(_of(row).first.trained_on for row in self.rows)
        looks = {kind: look for kind, look in STUDENTS.items() if kind in sets}
        trained = [_handle(f"trained on {kind}", look) for kind, look in looks.items()]
        others = [_handle(CALLED.get(role, role), OTHERS[role]) for role in self._others(self.rows)]
        return [*trained, *others, *chance_handle(self.rows)]

    @property
    def caption(self) -> str:
        measures = distinct(_of(row).first.measure for row in self.rows)
        return (
            f"Test examples from easy to hard (x: {'; '.join(measures)}; below it the share of the "
            "test examples). Students see equally many easy, random and hard examples, with the "
            "truth or with weak labels; the ceiling sees all of them."
            f"{self._says_levels}{chance(self.rows)} {sample(self.rows)}. {errors(self.rows)}."
        )

    @property
    def _says_levels(self) -> str:
        """What follows from how levels are made, where a figure has any."""
        if not any(_of(row).first.beyond for row in self.rows):
            return ""
        return (
            " Rungs that tell the difficulty are finetuned on the supervisor's half. A supervisor "
            "that is one of them is right about its own bin, and wrong about the next, by "
            'definition; about those in "none" the largest is wrong.'
        )


def _of(row: SummaryRow) -> Grades:
    assert row.by_difficulty is not None, "the figure has no other rows"
    return row.by_difficulty


def _difficulty_axis(ax: Axes, grades: Grades) -> None:
    """Names the bins, and says which share of the test examples each one has."""
    names = grades.first.bins
    labels = [f"{name}\n{share:.0%}" for name, share in zip(names, grades.shares, strict=True)]
    ax.set_xticks(np.arange(len(names)), labels)
    ax.set_xlim(-0.4, len(names) - 0.6)


def _handle(label: str, look: dict[str, Any]) -> Line2D:
    return Line2D([], [], label=label, **look)
