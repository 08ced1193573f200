"""PGR against the student's size."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from w2sweep.report.figures.axis import compute_axis
from w2sweep.report.figures.by_method import ByMethod
from w2sweep.report.figures.captions import sample
from w2sweep.report.figures.over_size import OverSize
from w2sweep.report.summary import SummaryRow


class Recovery(OverSize, ByMethod):
    """PGR against the student's size, a line a method; a line of panels a supervisor."""

    name = "pgr"
    order = 20
    title = "Performance gap recovered against student size"
    ylabel = "PGR"
    sharey = "all"

    def line(self, row: SummaryRow) -> str:
        return f"from {row.weak}"

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        x = compute_axis(ax, self.ladders[rows[0].ladder], self.rungs(rows[0], "strong"))
        self.recovered(ax, rows, lambda r: x[r.strong])

    @property
    def caption(self) -> str:
        return f"{self.says_pgr}. {sample(self.rows)}. Error bars: {self.says_intervals}"
