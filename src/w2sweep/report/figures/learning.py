"""Models along their training, and where an early stop would keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.report.curves import Lesson
from w2sweep.report.extremes import of_strongest, of_weakest
from w2sweep.report.figures.captions import sample
from w2sweep.report.figures.panels import Panels, distinct
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import COLORS, FAINT, INK
from w2sweep.report.summary import SummaryRow
from w2sweep.results.cell import CEILING, STUDENT, SUPERVISOR

OWN, TRUTH = "own", "truth"
OTHERS: dict[str, dict[str, Any]] = {
    SUPERVISOR: {"color": FAINT, "ls": "-"},
    CEILING: {"color": INK, "ls": "--"},
}
"""The models that are not students: they learn the truth."""
STOPS: dict[str, dict[str, Any]] = {
    OWN: {"marker": "v", "ms": 7},
    TRUTH: {"marker": "o", "ms": 8, "mfc": "none"},
}
"""By which labels an early stop is chosen -> what it is marked as."""


class LearningCurves(Panels):
    """Students' agreement with the labels that they learn, and their accuracy, at each evaluation.

    Of the weakest supervisor and the strongest student of each task.
    """

    name = "learning"
    order = 55
    title = "Learning curves"
    xlabel = "training done (%)"
    sharey = "none"
    measures: Mapping[str, str] = {
        OWN: "validation: agreement\nwith own labels (%)",
        TRUTH: "validation: accuracy\n(the truth, %)",
    }

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """The figure of those rows whose students were looked at while they learned; those that
        are compared at several of their evaluations have a figure of their own."""
        widest = of_strongest(of_weakest(rows))
        shown = [row for row in widest if STUDENT in row.lessons and not row.curve]
        figure = cls(shown, ladders) if shown else None
        return figure if figure and len(figure.methods) <= len(COLORS) else None

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        ax.set_xlim(0, 104)
        if line == TRUTH:
            for role in [role for role in OTHERS if role in rows[0].lessons]:
                _along(ax, rows[0].lessons[role], line, OTHERS[role])
        for row in rows:
            color = COLORS[self.methods.index(self.method(row))]
            _along(ax, row.lessons[STUDENT], line, {"color": color})
            _stops(ax, row.lessons[STUDENT], line, color)

    def legend(self) -> list[Line2D]:
        methods = enumerate(distinct(map(self.method, self.rows)))
        students = [Line2D([], [], color=COLORS[i], label=method) for i, method in methods]
        others = [Line2D([], [], label=role, **look) for role, look in OTHERS.items()]
        says = {OWN: "best by own labels", TRUTH: "best by the truth (oracle)"}
        stops = [
            Line2D([], [], color=FAINT, ls="", label=says[by], **look) for by, look in STOPS.items()
        ]
        return [*students, *others, *stops]

    @property
    def caption(self) -> str:
        pairs = ", ".join(dict.fromkeys(f"{r.strong} from {r.weak}" for r in self.rows))
        stopping = any(r.lessons[STUDENT].stopped for r in self.rows)
        kept = "is kept" if stopping else "would be kept"
        return (
            "Students on the validation split at each evaluation of their training. Above: how "
            "often they say what their labels say. Below: how often they are right, with "
            "supervisor and ceiling. Triangles: the evaluation of each seed that an early stop "
            f"on the student's own labels chooses, which {kept}; rings: the one that is best by "
            f"the truth, an oracle. {pairs}; {sample(self.rows)}; bands: ± one standard error over "
            "seeds and validation examples."
        )


def _along(ax: Axes, lesson: Lesson, measure: str, look: Mapping[str, Any]) -> None:
    """Draws the mean over seeds, with a band of one standard error."""
    found = getattr(lesson, measure)
    x = 100 * np.array(lesson.progress)
    y = 100 * np.array([e.value for e in found], float)
    se = 100 * np.array([e.se or 0.0 for e in found])
    ax.plot(x, y, marker=".", **look)
    ax.fill_between(x, y - se, y + se, color=look["color"], alpha=0.15, lw=0)


def _stops(ax: Axes, lesson: Lesson, measure: str, color: str) -> None:
    """Marks, on the mean curve, where each seed stops."""
    y = [e.value for e in getattr(lesson, measure)]
    for by, stops in ((OWN, lesson.best_own), (TRUTH, lesson.best_truth)):
        heights = np.interp(stops, lesson.progress, np.array(y, float))
        ax.plot(100 * np.array(stops), 100 * heights, color=color, ls="", **STOPS[by])
