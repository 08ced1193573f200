"""The true quality of the best of n replies, against n, by who chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from w2sweep.report.best_of import Choosing
from w2sweep.report.figures.by_method import ByMethod
from w2sweep.report.figures.captions import counted
from w2sweep.report.figures.panels import distinct
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import CHANCE, FAINT, INK
from w2sweep.report.summary import SummaryRow
from w2sweep.report.table import over
from w2sweep.report.variants import own_overrides
from w2sweep.results.best_of import TRUTH, divergence
from w2sweep.results.cell import CEILING, STUDENT, SUPERVISOR
from w2sweep.results.intervals import Estimate

QUALITY = "quality"
KEY = "best_of"
OTHERS: dict[str, dict[str, Any]] = {
    SUPERVISOR: {"color": FAINT, "ls": "-"},
    CEILING: {"color": INK, "ls": "--"},
    TRUTH: {"color": "black", "ls": ":", "lw": 1.2},
}
"""Who chooses beside the students -> what it is drawn as."""
CALLED = {TRUTH: "the truth (the most that can be had)"}


class BestOfN(ByMethod):
    """True quality of the reply that a reward model likes best of n, and how often it is good in
    each respect; a column for each writer of replies."""

    name = "best_of_n"
    order = -10
    title = "Best of n by weak-to-strong reward models"
    sharey = "row"
    xlabel = "best of n replies: log n is bits of optimization (below: KL in nats)"

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders):
        self.own = own_overrides(rows)
        super().__init__(rows, ladders)
        names = dict.fromkeys(name for row in rows for name in _of(row).respects)
        respects = {name: f"good in {name}\n(% of chosen)" for name in names}
        self.measures = {QUALITY: "true quality of\nthe chosen reply", **respects}

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        found = [row for row in rows if row.best_of]
        return cls(found, ladders) if found else None

    def method(self, row: SummaryRow) -> str:
        """Who writes the replies is told by the columns."""
        told = self.own[row.task, row.variant].items()
        others = [f"{key}={held}" for key, held in told if key.split(".")[0] != KEY]
        return f"{row.method} ({','.join(others)})" if others else row.method

    def column(self, row: SummaryRow) -> str:
        several = len({(r.weak, r.strong) for r in self.rows}) > 1
        pair = f", {row.weak} to {row.strong}" if several else ""
        return f"{row.task}, replies by {_of(row).first.written_by}{pair}"

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        self._axis(ax, _of(rows[0]))
        for row in rows:
            color, _ = self.look(self.method(row))
            _curve(ax, _of(row), STUDENT, line, {"color": color, "zorder": 3})
        for who, look in OTHERS.items():
            _curve(ax, _of(rows[0]), who, line, look)
        ax.axhline(_values(_of(rows[0]), TRUTH, line)[0], **CHANCE)

    def _axis(self, ax: Axes, found: Choosing) -> None:
        """n on a logarithmic scale, and below it the divergence that goes with it."""
        shown = found.first.n[::2]
        ax.set_xscale("log", base=2)
        ax.set_xticks(shown, [f"{n}\n{divergence(n):.1f}" for n in shown])
        ax.minorticks_off()

    def legend(self) -> list[Line2D]:
        students = [
            Line2D([], [], color=self.look(method)[0], label=f"student: {method}")
            for method in self.methods
        ]
        others = [Line2D([], [], label=CALLED.get(who, who), **o) for who, o in OTHERS.items()]
        return [*students, *others, Line2D([], [], label="a random reply", **CHANCE)]

    @property
    def caption(self) -> str:
        first = _of(self.rows[0]).first
        seeds = counted([len(_of(row).cells) for row in self.rows], "seed")
        intervals = over(len(_of(row).cells) for row in self.rows)
        writers = distinct(_of(row).first.written_by for row in self.rows)
        weights = "; ".join(_of(self.rows[0]).respects)
        return (
            f"Of n replies to one question, a reward model takes the one it likes best; how good "
            f"that is in truth, which the lab knows of any reply ({weights}: each adds its weight "
            "where the reply is good in it, and takes it away where not). More replies to choose "
            "from optimize the reward model harder. A line that bends down is a reward model that "
            f"optimization breaks. Replies by {'; by '.join(writers)}, {first.replies:,} to each "
            f"of {len(first.quality[TRUTH][0])} questions, all sets of n averaged. {seeds}. Bands: "
            f"95 % intervals {intervals.replace('test examples', 'questions')}."
        )


def _of(row: SummaryRow) -> Choosing:
    assert row.best_of is not None, "the figure has no other rows"
    return row.best_of


def _curve(ax: Axes, found: Choosing, who: str, line: str, look: dict[str, Any]) -> None:
    """Draws who chooses, with a band where there are intervals."""
    n = found.first.n
    ax.plot(n, _values(found, who, line), **look)
    bounds = [_bounds(e) for e in found.quality(who)] if line == QUALITY else []
    if bounds:
        low, high = np.array(bounds).T
        ax.fill_between(n, low, high, color=look["color"], alpha=0.15, lw=0)


def _values(found: Choosing, who: str, line: str) -> list[float]:
    if line == QUALITY:
        return [e.value or 0.0 for e in found.quality(who)]
    return [100 * share for share in found.good(who, line)]


def _bounds(found: Estimate) -> tuple[float, float]:
    value = found.value or 0.0
    return (value if found.low is None else found.low, value if found.high is None else found.high)
