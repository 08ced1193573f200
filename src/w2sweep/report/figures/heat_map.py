"""PGR of pairs of rungs, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Self

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from w2sweep.report.figures.captions import sample
from w2sweep.report.figures.over_size import OverSize
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import INK
from w2sweep.report.summary import SummaryRow
from w2sweep.report.table import over


class HeatMap(OverSize):
    """PGR of each pair of rungs; a line of panels a method."""

    name = "pgr_grid"
    order = 30
    title = "Performance gap recovered, supervisor by student"
    ylabel = "supervisor"
    xlabel = "student"
    sharey = "all"

    def line(self, row: SummaryRow) -> str:
        return self.method(row)

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """None for a grid below 2 x 2."""
        supervisors = {r.weak for r in rows}
        students = {r.strong for r in rows}
        large = len(supervisors) > 1 and len(students) > 1
        return super().of(rows, ladders) if large else None

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        weak, strong = self.rungs(rows[0], "weak"), self.rungs(rows[0], "strong")
        for r in rows:
            self._tile(ax, strong.index(r.strong), weak.index(r.weak), r)
        downwards = (len(weak) - 0.5, -0.5)  # the weakest supervisor on top
        ax.set(xlim=(-0.5, len(strong) - 0.5), ylim=downwards)
        ax.set_xticks(range(len(strong)), strong)
        ax.set_yticks(range(len(weak)), weak)
        ax.grid(visible=False)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)

    def _tile(self, ax: Axes, x: int, y: int, row: SummaryRow) -> None:
        box = partial(Rectangle, (x - 0.47, y - 0.47), 0.94, 0.94, lw=0)
        write = partial(ax.text, x, y, ha="center", va="center", fontsize=8)
        if row.pgr is None or row.unclear:
            ax.add_patch(box(facecolor="white", hatch="////", edgecolor="#bbbbbb"))
            text = "n/a" if row.pgr is None else "?"
            write(text, color=INK, bbox={"facecolor": "white", "lw": 0, "pad": 1})
        else:
            shade = Normalize(-1.2, 1.2, clip=True)(row.pgr)
            ax.add_patch(box(facecolor=colormaps["RdBu"](shade)))
            write(f"{row.pgr:z.2f}", color="white" if abs(row.pgr) > 0.7 else INK)

    @property
    def caption(self) -> str:
        return (
            "PGR of each supervisor (line) and student (column): blue is above the supervisor, red "
            "below it. Blank: not run. n/a: undefined, the ceiling is not above the supervisor. "
            f"?: the two cannot be told apart, {over(r.seeds for r in self.rows)}, so PGR may be "
            f"anything. {sample(self.rows)}."
        )
