"""What all figures have in common: panels by task, their style, and their two files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from w2sweep.report.summary import MANY, SummaryRow, short_variants
from w2sweep.results.sweep_folder import RungFacts

WRAP = 4
"""Panels in a line at most, where tasks wrap."""
PANEL = (3.1, 2.3)
"""Width and height in inches."""
COLORS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
)  # Okabe and Ito: for all eyes
MARKERS = "osD^vPX"
INK, FAINT = "#333333", "#8c8c8c"
STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "legend.fontsize": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#e8e8e8", "grid.linewidth": 0.7, "axes.axisbelow": True, "axes.edgecolor": FAINT,
    "xtick.color": INK, "ytick.color": INK, "text.color": INK, "axes.labelcolor": INK, "legend.frameon": False,
    "lines.linewidth": 1.6, "lines.markersize": 5, "errorbar.capsize": 2, "svg.fonttype": "none",
    "text.parse_math": False, "hatch.linewidth": 0.6, "hatch.color": "#bbbbbb",
}  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """A figure on disk."""

    title: str
    caption: str
    png: Path
    svg: Path
    width: float
    """In inches."""


class Plot:
    """A kind of figure: a column of panels a task, a line of panels for each value of something else."""

    name: ClassVar[str]
    title: str
    ylabel: ClassVar[str]
    xlabel: str = "student, by pretraining compute relative to the largest rung's"
    sharey: ClassVar[Literal["col", "row", "all"]]
    lines_are_named: ClassVar[bool] = True
    """Whether each line of panels says at its end what it is."""

    def __init__(self, rows: Sequence[SummaryRow], ladders: Mapping[str, Mapping[str, RungFacts]]):
        self.rows, self.ladders = rows, ladders
        self.several_ladders = len({r.ladder for r in rows}) > 1
        self.variants = short_variants(rows)
        self.supervisors = distinct(r.weak for r in sorted(rows, key=lambda r: r.weak_compute))
        self.methods = distinct(self.method(r) for r in rows)

    def line(self, row: SummaryRow) -> str:
        """The line of panels that a row belongs to."""
        raise NotImplementedError

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        """Draws the rows of one column and one line."""
        raise NotImplementedError

    def ylabel_of(self, line: str) -> str:
        return self.ylabel

    def legend(self) -> list[Line2D]:
        return []

    @property
    def caption(self) -> str:
        raise NotImplementedError

    def method(self, row: SummaryRow) -> str:
        variant = self.variants[row.task, row.variant]
        return f"{row.method} ({variant})" if variant else row.method

    @property
    def lines(self) -> list[str]:
        return distinct(map(self.line, self.rows))

    def column(self, row: SummaryRow) -> str:
        several = len({r.ladder for r in self.rows if r.task == row.task}) > 1
        return f"{row.task} · {row.ladder}" if several else row.task

    def supervisor_color(self, weak: str) -> str:
        i, n = self.supervisors.index(weak), len(self.supervisors)
        return to_hex(colormaps["viridis"](0.1 + 0.75 * i / max(1, n - 1)))

    def draw(self, folder: Path) -> Iterator[Drawing]:
        """One figure; with so many tasks that panels wrap, one a line."""
        columns, lines = distinct(map(self.column, self.rows)), self.lines
        if len(columns) <= (MANY if len(lines) > 1 else WRAP):
            yield self.figure(
                folder, self.name, self.title, [[(c, n) for c in columns] for n in lines]
            )
            return
        across = math.ceil(
            len(columns) / math.ceil(len(columns) / WRAP)
        )  # five are three and two, not four and one
        for line in lines:
            grid = [
                [(c, line) for c in columns[i : i + across]] for i in range(0, len(columns), across)
            ]
            if len(lines) == 1:
                yield self.figure(folder, self.name, self.title, grid)
            else:
                yield self.figure(
                    folder, f"{self.name}-{slug(line)}", f"{self.title}: {line}", grid
                )

    def figure(
        self, folder: Path, name: str, title: str, grid: Sequence[Sequence[tuple[str, str]]]
    ) -> Drawing:
        """`grid`: lines of (column, line) panels."""
        wrapped = len(grid) > 1 and grid[0][0][1] == grid[1][0][1]
        height, width = PANEL[1] * len(grid) + 0.8, max(4.6, PANEL[0] * len(grid[0]) + 0.5)
        fig = Figure(figsize=(width, height), layout="constrained")
        share = "all" if wrapped and self.sharey == "row" else self.sharey
        share = "none" if self.several_ladders or (wrapped and self.sharey == "col") else share
        axes = fig.subplots(len(grid), len(grid[0]), squeeze=False, sharey=share)
        rows = {
            (i, j): self.rows_of(*panel)
            for i, line in enumerate(grid)
            for j, panel in enumerate(line)
        }
        filled = [at for at, found in rows.items() if found]
        for (i, j), ax in np.ndenumerate(axes):
            if (i, j) not in filled:
                blank(ax, "not run" if (i, j) in rows else "")
                continue
            self.panel(ax, rows[i, j], grid[i][j][1])
            lowest = i == max(y for y, x in filled if x == j)
            leftmost = j == min(x for y, x in filled if y == i)
            ax.tick_params(
                labelbottom=lowest or self.several_ladders,
                labelleft=leftmost or share not in ("row", "all"),
            )
        self.label(axes, grid, wrapped)
        fig.supxlabel(self.xlabel, fontsize=9)
        if handles := self.legend():
            widest = max(len(str(h.get_label())) for h in handles) * 0.075 + 0.6  # inches
            fig.legend(
                handles=handles,
                loc="outside upper center",
                ncols=max(1, min(len(handles), int(width / widest))),
            )
        return self.save(fig, folder / name, title)

    def label(
        self, axes: np.ndarray, grid: Sequence[Sequence[tuple[str, str]]], wrapped: bool
    ) -> None:
        """Columns above, lines at the right; where panels wrap, a column's name above each."""
        for i, line in enumerate(grid):
            axes[i, 0].set_ylabel(self.ylabel_of(line[0][1]))
            if len(grid) > 1 and self.lines_are_named and not wrapped:
                axes[i, -1].annotate(
                    line[-1][1],
                    (1.03, 0.5),
                    xycoords="axes fraction",
                    rotation=270,
                    va="center",
                    fontsize=10,
                )
            for j, (column, _) in enumerate(line):
                axes[i, j].set_title(column if i == 0 or wrapped else "")

    def rows_of(self, column: str, line: str) -> list[SummaryRow]:
        return [r for r in self.rows if (self.column(r), self.line(r)) == (column, line)]

    def rungs(self, row: SummaryRow, *roles: Literal["weak", "strong"]) -> list[str]:
        """The rungs that play one of the roles anywhere on the row's ladder, weakest first."""
        peers = [r for r in self.rows if r.ladder == row.ladder]
        return [
            name
            for name in self.ladders[row.ladder]
            if any(name == getattr(r, role) for r in peers for role in roles)
        ]

    def save(self, fig: Figure, path: Path, title: str) -> Drawing:
        """The same bytes for the same rows."""
        png, svg = path.with_suffix(".png"), path.with_suffix(".svg")
        fig.savefig(png, dpi=160, metadata={"Software": None})
        fig.set_layout_engine(
            "none"
        )  # it is laid out by now; doing so again takes half of the time
        with mpl.rc_context({"svg.hashsalt": path.name}):
            fig.savefig(svg, metadata={"Date": None, "Title": title})
        return Drawing(title, self.caption, png, svg, fig.get_figwidth())


def errorbar(
    ax: Axes, x: Mapping[str, float], points: Iterable[tuple[str, float, float | None]], **style
) -> None:
    """(rung, accuracy, standard error) in any order; accuracies are drawn in percent."""
    rungs, accuracies, errors = zip(*sorted(points, key=lambda p: x[p[0]]), strict=True)
    bars = None if None in errors else [100 * e for e in errors]
    ax.errorbar([x[r] for r in rungs], [100 * a for a in accuracies], bars, elinewidth=1.0, **style)


def blank(ax: Axes, text: str) -> None:
    """A panel without data."""
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=FAINT)


def sample(rows: Sequence[SummaryRow]) -> str:
    """How many seeds and test examples stand behind each point."""
    return f"{span([r.seeds for r in rows], 'seed')}, {span([r.n_test for r in rows], 'test example')} each"


def errors(rows: Sequence[SummaryRow]) -> str:
    """What the error bars of accuracies are."""
    several = any(r.seeds > 1 for r in rows)
    return "Error bars: ± one standard error over seeds" if several else "One seed: no error bars"


def few_seeds(rows: Sequence[SummaryRow]) -> str:
    """What is wrong with intervals over so few seeds."""
    fewest = min(r.seeds for r in rows)
    if fewest == 1:
        return " (over test examples alone where there is one seed)"
    return f" (too narrow with only {fewest} seeds)" if fewest < 5 else ""


def span(counts: Sequence[int], what: str) -> str:
    """`3 seeds`, or `1 to 3 seeds`."""
    low, high = min(counts), max(counts)
    return f"{low} {what}{'s' * (low != 1)}" if low == high else f"{low} to {high} {what}s"


def distinct(names: Iterable[str]) -> list[str]:
    """In the order in which they come first."""
    return list(dict.fromkeys(names))


def slug(name: str) -> str:
    """For a file's name."""
    return "".join(c if c.isalnum() else "-" for c in name).strip("-").lower()
