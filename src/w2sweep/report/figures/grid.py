"""PGR as a heat map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from w2sweep.report.figures.plot import INK, Drawing, Plot, sample
from w2sweep.report.summary import SummaryRow


class HeatMap(Plot):
    """PGR of each pair of rungs; a line of panels a method."""

    name = "pgr_grid"
    title = "Performance gap recovered, supervisor by student"
    ylabel = "supervisor"
    xlabel = "student"
    sharey = "all"

    def line(self, row: SummaryRow) -> str:
        return self.method(row)

    def draw(self, folder: Path) -> Iterator[Drawing]:
        """Nothing for a grid below 2 x 2."""
        if len({r.weak for r in self.rows}) > 1 and len({r.strong for r in self.rows}) > 1:
            yield from super().draw(folder)

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        weak, strong = self.rungs(rows[0], "weak"), self.rungs(rows[0], "strong")
        for r in rows:
            self.tile(ax, strong.index(r.strong), weak.index(r.weak), r.pgr)
        ax.set(
            xlim=(-0.5, len(strong) - 0.5), ylim=(len(weak) - 0.5, -0.5)
        )  # the weakest supervisor on top
        ax.set_xticks(range(len(strong)), strong)
        ax.set_yticks(range(len(weak)), weak)
        ax.grid(visible=False)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)

    def tile(self, ax: Axes, x: int, y: int, pgr: float | None) -> None:
        box = partial(Rectangle, (x - 0.47, y - 0.47), 0.94, 0.94, lw=0)
        write = partial(ax.text, x, y, ha="center", va="center", fontsize=8)
        if pgr is None:
            ax.add_patch(box(facecolor="white", hatch="////", edgecolor="#bbbbbb"))
            write("n/a", color=INK, bbox={"facecolor": "white", "lw": 0, "pad": 1})
        else:
            ax.add_patch(box(facecolor=colormaps["RdBu"](Normalize(-1.2, 1.2, clip=True)(pgr))))
            write(f"{pgr:z.2f}", color="white" if abs(pgr) > 0.7 else INK)

    @property
    def caption(self) -> str:
        return (
            "PGR of each supervisor (line) and student (column): blue is above the supervisor, red below it. "
            f"Blank: not run. n/a: undefined, the ceiling is not above the supervisor. {sample(self.rows)}."
        )
