"""PGR against the student's size."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from w2sweep.report.figures.axis import compute_axis
from w2sweep.report.figures.by_method import ByMethod
from w2sweep.report.figures.captions import sample
from w2sweep.report.figures.over_size import OverSize
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import MARKERS
from w2sweep.report.summary import SummaryRow
from w2sweep.report.variants import short_variants


class Recovery(OverSize, ByMethod):
    """PGR against the student's size, a line a method; a line of panels a supervisor.

    Of a single method, it is as the paper has it: one line of panels, in which each line is of a
    supervisor.
    """

    name = "pgr"
    order = 20
    title = "Performance gap recovered against student size"
    ylabel = "PGR"
    sharey = "all"

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders):
        names = short_variants(rows)
        methods = {(row.method, names[row.task, row.variant]) for row in rows}
        self._by_supervisor = len(methods) == 1 and len({row.weak for row in rows}) > 1
        super().__init__(rows, ladders)

    def method(self, row: SummaryRow) -> str:
        return f"from {row.weak}" if self._by_supervisor else super().method(row)

    def line(self, row: SummaryRow) -> str:
        return "" if self._by_supervisor else f"from {row.weak}"

    def look(self, method: str) -> tuple[str, str]:
        if not self._by_supervisor:
            return super().look(method)
        color = self.supervisor_color(method.removeprefix("from "))
        return color, MARKERS[self.methods.index(method) % len(MARKERS)]

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        x = compute_axis(ax, self.ladders[rows[0].ladder], self.rungs(rows[0], "strong"))
        self.recovered(ax, rows, lambda r: x[r.strong])

    @property
    def caption(self) -> str:
        each = "Each line: the students of one supervisor. " if self._by_supervisor else ""
        return f"{each}{self.says_pgr}. {sample(self.rows)}. Error bars: {self.says_intervals}"
