"""The only plotting: rows -> figures like the paper's, as PNG and as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any, ClassVar, Literal

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MultipleLocator

from w2sweep.report.cells import Rung
from w2sweep.report.summary import MANY, Row, short_variants

WRAP = 4
"""Panels in a line, with many tasks."""
PANEL = (3.1, 2.3)
"""Width and height in inches."""
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito: for all eyes
MARKERS = "osD^vPX"
INK, FAINT = "#333333", "#8c8c8c"
VIEW = (-0.6, 1.6)
"""PGR outside is drawn as an arrow at the edge, with its value: a small gap makes any PGR."""
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


def draw(rows: Sequence[Row], ladders: Mapping[str, Mapping[str, Rung]], folder: Path) -> list[Drawing]:
    """Draws all figures that the rows are enough for. `ladders`: name -> rungs, weakest first."""
    with mpl.rc_context(STYLE):
        plots = [kind(rows, ladders) for kind in (Accuracy, Recovery, HeatMap)]
        return [drawing for plot in plots for drawing in plot.draw(folder)]


class Plot:
    """A kind of figure: a column of panels a task, a line of panels for each value of something else."""

    name: ClassVar[str]
    title: ClassVar[str]
    ylabel: ClassVar[str]
    xlabel: ClassVar[str] = "student, by pretraining compute relative to the largest rung's"
    sharey: ClassVar[Literal["col", "all"]]

    def __init__(self, rows: Sequence[Row], ladders: Mapping[str, Mapping[str, Rung]]):
        self.rows, self.ladders = rows, ladders
        self.several_ladders = len({r.ladder for r in rows}) > 1
        self.variants = short_variants(rows)
        self.supervisors = distinct(r.weak for r in sorted(rows, key=lambda r: r.weak_compute))
        self.methods = distinct(self.method(r) for r in rows)

    def line(self, row: Row) -> str:
        """The line of panels that a row belongs to."""
        raise NotImplementedError

    def panel(self, ax: Axes, rows: Sequence[Row]) -> None:
        """Draws the rows of one column and one line."""
        raise NotImplementedError

    def legend(self) -> list[Line2D]:
        return []

    @property
    def caption(self) -> str:
        raise NotImplementedError

    def method(self, row: Row) -> str:
        variant = self.variants[row.task, row.variant]
        return f"{row.method} ({variant})" if variant else row.method

    def column(self, row: Row) -> str:
        return f"{row.task} · {row.ladder}" if self.several_ladders else row.task

    def supervisor_color(self, weak: str) -> str:
        i, n = self.supervisors.index(weak), len(self.supervisors)
        return to_hex(colormaps["viridis"](0.1 + 0.75 * i / max(1, n - 1)))

    def draw(self, folder: Path) -> Iterator[Drawing]:
        """One figure; with many tasks, where panels wrap, one a line."""
        columns, lines = distinct(map(self.column, self.rows)), distinct(map(self.line, self.rows))
        if len(columns) <= MANY:
            yield self.figure(folder, self.name, self.title, [[(c, n) for c in columns] for n in lines])
            return
        for line in lines:
            grid = [[(c, line) for c in columns[i : i + WRAP]] for i in range(0, len(columns), WRAP)]
            yield self.figure(folder, f"{self.name}-{slug(line)}", f"{self.title}: {line}", grid)

    def figure(self, folder: Path, name: str, title: str, grid: Sequence[Sequence[tuple[str, str]]]) -> Drawing:
        """`grid`: lines of (column, line) panels."""
        wrapped = len(grid) > 1 and grid[0][0][1] == grid[1][0][1]
        height, width = PANEL[1] * len(grid) + 0.8, max(4.6, PANEL[0] * len(grid[0]) + 0.5)
        fig = Figure(figsize=(width, height), layout="constrained")
        share = "none" if self.several_ladders or (wrapped and self.sharey == "col") else self.sharey
        axes = fig.subplots(len(grid), len(grid[0]), squeeze=False, sharey=share)
        rows = {(i, j): self.rows_of(*panel) for i, line in enumerate(grid) for j, panel in enumerate(line)}
        filled = [at for at, found in rows.items() if found]
        for (i, j), ax in np.ndenumerate(axes):
            if (i, j) not in filled:
                blank(ax, "not run" if (i, j) in rows else "")
                continue
            self.panel(ax, rows[i, j])
            lowest = i == max(y for y, x in filled if x == j)
            leftmost = j == min(x for y, x in filled if y == i)
            ax.tick_params(labelbottom=lowest or self.several_ladders, labelleft=leftmost or share != "all")
        self.label(axes, grid, wrapped)
        fig.supxlabel(self.xlabel, fontsize=9)
        if handles := self.legend():
            widest = max(len(str(h.get_label())) for h in handles) * 0.075 + 0.6  # inches
            fig.legend(
                handles=handles, loc="outside upper center", ncols=max(1, min(len(handles), int(width / widest)))
            )
        return self.save(fig, folder / name, title)

    def label(self, axes: np.ndarray, grid: Sequence[Sequence[tuple[str, str]]], wrapped: bool) -> None:
        """Columns above, lines at the right; where panels wrap, a column's name above each."""
        for i, line in enumerate(grid):
            axes[i, 0].set_ylabel(self.ylabel)
            if len(grid) > 1 and not wrapped:
                axes[i, -1].annotate(
                    line[-1][1], (1.03, 0.5), xycoords="axes fraction", rotation=270, va="center", fontsize=10
                )
            for j, (column, _) in enumerate(line):
                axes[i, j].set_title(column if i == 0 or wrapped else "")

    def rows_of(self, column: str, line: str) -> list[Row]:
        return [r for r in self.rows if (self.column(r), self.line(r)) == (column, line)]

    def rungs(self, row: Row, *roles: Literal["weak", "strong"]) -> list[str]:
        """The rungs that play one of the roles anywhere on the row's ladder, weakest first."""
        peers = [r for r in self.rows if r.ladder == row.ladder]
        return [
            name for name in self.ladders[row.ladder] if any(name == getattr(r, role) for r in peers for role in roles)
        ]

    def save(self, fig: Figure, path: Path, title: str) -> Drawing:
        """The same bytes for the same rows."""
        png, svg = path.with_suffix(".png"), path.with_suffix(".svg")
        fig.savefig(png, dpi=160, metadata={"Software": None})
        fig.set_layout_engine("none")  # it is laid out by now; doing so again takes half of the time
        with mpl.rc_context({"svg.hashsalt": path.name}):
            fig.savefig(svg, metadata={"Date": None, "Title": title})
        return Drawing(title, self.caption, png, svg, fig.get_figwidth())


class Accuracy(Plot):
    """Test accuracy against the student's size, a line a supervisor; a line of panels a method."""

    name = "accuracy"
    title = "Accuracy against student size"
    ylabel = "test accuracy (%)"
    sharey = "col"

    def line(self, row: Row) -> str:
        return self.method(row)

    def panel(self, ax: Axes, rows: Sequence[Row]) -> None:
        x = compute_axis(ax, self.ladders[rows[0].ladder], self.rungs(rows[0], "weak", "strong"))
        ceilings = {r.strong: r for r in sorted(rows, key=lambda r: r.seeds)}.values()
        errorbar(
            ax,
            x,
            [(r.strong, r.ceiling_accuracy, r.ceiling_accuracy_se) for r in ceilings],
            color=INK,
            ls="--",
            marker="_",
            ms=8,
        )
        for weak in distinct(r.weak for r in rows):
            color, mine = self.supervisor_color(weak), [r for r in rows if r.weak == weak]
            start = max(mine, key=lambda r: r.seeds)
            supervisor = (weak, start.weak_accuracy, start.weak_accuracy_se)
            students = [(r.strong, r.student_accuracy, r.student_accuracy_se) for r in mine]
            errorbar(ax, x, [supervisor, *students], color=color)
            errorbar(ax, x, students, color=color, marker="o", ls="")
            errorbar(ax, x, [supervisor], color=color, marker="o", ls="", mfc="white", ms=6, zorder=3)

    def legend(self) -> list[Line2D]:
        lines = [
            Line2D([], [], color=self.supervisor_color(w), marker="o", label=f"from {w}") for w in self.supervisors
        ]
        own = Line2D([], [], color=FAINT, marker="o", mfc="white", ms=6, ls="", label="supervisor itself")
        return [*lines, own, Line2D([], [], color=INK, ls="--", marker="_", ms=8, label="ceiling")]

    @property
    def caption(self) -> str:
        return (
            "Students by size (x), each line those of one supervisor; it starts with the supervisor's own accuracy "
            "(hollow). Dashed: the ceiling, the student's model finetuned on the ground truth. "
            f"{sample(self.rows)}. {errors(self.rows)}."
        )


class Recovery(Plot):
    """PGR against the student's size, a line a method; a line of panels a supervisor."""

    name = "pgr"
    title = "Performance gap recovered against student size"
    ylabel = "PGR"
    sharey = "all"

    def line(self, row: Row) -> str:
        return f"from {row.weak}"

    def panel(self, ax: Axes, rows: Sequence[Row]) -> None:
        x = compute_axis(ax, self.ladders[rows[0].ladder], self.rungs(rows[0], "strong"))
        for level in (0, 1):
            ax.axhline(level, color=FAINT, lw=0.8, zorder=1)
        low, high = self.view
        ax.set_ylim(low, high)
        ax.yaxis.set_major_locator(MultipleLocator(0.5))
        for method in self.methods:
            mine = [r for r in rows if self.method(r) == method]
            self.curve(ax, {rung: at * self.dodge(ax, method) for rung, at in x.items()}, mine, method)

    def curve(self, ax: Axes, x: Mapping[str, float], rows: Sequence[Row], method: str) -> None:
        color, marker = self.look(method)
        low, high = self.view
        inside = [(x[r.strong], r.pgr, r) for r in rows if r.pgr is not None and low <= r.pgr <= high]
        ax.plot([at for at, _, _ in inside], [pgr for _, pgr, _ in inside], color=color, alpha=0.8)
        for at, pgr, r in inside:
            bounds = None if r.pgr_low is None or r.pgr_high is None else [[pgr - r.pgr_low], [r.pgr_high - pgr]]
            ax.errorbar(at, pgr, bounds, color=color, marker=marker, mfc="white" if unbounded(r) else color, lw=1.1)
        for r in rows:
            if r.pgr is None or not low <= r.pgr <= high:
                self.outside(ax, x[r.strong], r.pgr, method)

    def outside(self, ax: Axes, x: float, pgr: float | None, method: str) -> None:
        """A cross where PGR is undefined, an arrow where it is off the scale; those of several methods are stacked."""
        height = 0.05 + 0.08 * self.methods.index(method)
        y = 1 - height if pgr is not None and pgr > 0 else height
        style = {"color": self.look(method)[0], "transform": ax.get_xaxis_transform()}
        ax.plot(x, y, marker="x" if pgr is None else "^" if pgr > 0 else "v", **style)
        if pgr is not None:
            low, high = ax.get_xlim()
            side, offset = ("left", 5) if x * x < low * high else ("right", -5)  # towards the middle of the panel
            ax.annotate(
                f"{pgr:.1f}", (x, y), (offset, 0), style["transform"], "offset points",
                color=style["color"], ha=side, va="center", fontsize=7,
            )  # fmt: skip

    def legend(self) -> list[Line2D]:
        lines = [Line2D([], [], color=c, marker=m, label=n) for n in self.methods for c, m in [self.look(n)]]
        if any(r.pgr is None for r in self.rows):
            lines.append(Line2D([], [], color=FAINT, marker="x", ls="", label="undefined"))
        if any(map(unbounded, self.rows)):
            lines.append(Line2D([], [], color=FAINT, marker="o", mfc="white", ls="", label="no interval"))
        return lines

    @property
    def caption(self) -> str:
        return (
            "(student - weak) / (ceiling - weak), from accuracies averaged over seeds: 1 is the ceiling, 0 the "
            f"supervisor. {sample(self.rows)}. Error bars: 95 % bootstrap intervals over test examples and seeds"
            f"{few_seeds(self.rows)}. Crosses: undefined, the ceiling is not above the supervisor. Hollow: the gap is "
            "so small that over 5 % of the resamples have none, so there is no interval. Arrows: off the scale."
        )

    @property
    def view(self) -> tuple[float, float]:
        """Where the points and their intervals lie, within reason."""
        seen = [x for r in self.rows for x in (r.pgr, r.pgr_low, r.pgr_high) if x is not None]
        return max(VIEW[0], min([-0.1, *seen]) - 0.05), min(VIEW[1], max([1.05, *seen]) + 0.05)

    def look(self, method: str) -> tuple[str, str]:
        i = self.methods.index(method) % len(COLORS)
        return COLORS[i], MARKERS[i]

    def dodge(self, ax: Axes, method: str) -> float:
        """Beside each other instead of over each other: a factor, for the axis is logarithmic."""
        low, high = ax.get_xlim()
        return (high / low) ** (0.018 * (self.methods.index(method) - (len(self.methods) - 1) / 2))


class HeatMap(Plot):
    """PGR of each pair of rungs; a line of panels a method."""

    name = "pgr_grid"
    title = "Performance gap recovered, supervisor by student"
    ylabel = "supervisor"
    xlabel = "student"
    sharey = "all"

    def line(self, row: Row) -> str:
        return self.method(row)

    def draw(self, folder: Path) -> Iterator[Drawing]:
        """Nothing for a grid below 2 x 2."""
        if len({r.weak for r in self.rows}) > 1 and len({r.strong for r in self.rows}) > 1:
            yield from super().draw(folder)

    def panel(self, ax: Axes, rows: Sequence[Row]) -> None:
        weak, strong = self.rungs(rows[0], "weak"), self.rungs(rows[0], "strong")
        for r in rows:
            self.tile(ax, strong.index(r.strong), weak.index(r.weak), r.pgr)
        ax.set(xlim=(-0.5, len(strong) - 0.5), ylim=(len(weak) - 0.5, -0.5))  # the weakest supervisor on top
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
            write("undefined", color=INK, bbox={"facecolor": "white", "lw": 0, "pad": 1})
        else:
            ax.add_patch(box(facecolor=colormaps["RdBu"](Normalize(-1.2, 1.2, clip=True)(pgr))))
            write(f"{pgr:z.2f}", color="white" if abs(pgr) > 0.7 else INK)

    @property
    def caption(self) -> str:
        return (
            "PGR of each supervisor (line) and student (column): blue is above the supervisor, red below it. "
            f"Blank: not run. Hatched: undefined, the ceiling is not above the supervisor. {sample(self.rows)}."
        )


def errorbar(ax: Axes, x: Mapping[str, float], points: Iterable[tuple[str, float, float | None]], **style) -> None:
    """(rung, accuracy, standard error) in any order; accuracies are drawn in percent."""
    rungs, accuracies, errors = zip(*sorted(points, key=lambda p: x[p[0]]), strict=True)
    bars = None if None in errors else [100 * e for e in errors]
    ax.errorbar([x[r] for r in rungs], [100 * a for a in accuracies], bars, elinewidth=1.0, **style)


def unbounded(row: Row) -> bool:
    """Whether the gap is too small for an interval."""
    return row.pgr is not None and row.pgr_low is None and row.pgr_undefined_resamples > 0


def blank(ax: Axes, text: str) -> None:
    """A panel without data."""
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=FAINT)


def compute_axis(ax: Axes, ladder: Mapping[str, Rung], shown: Sequence[str]) -> dict[str, float]:
    """Where each rung lies: log of the pretraining compute over the largest's, or 1, 2, ... where one has none."""
    compute = {name: rung.compute for name, rung in ladder.items()}
    if min(compute.values()) > 0:
        x = {name: c / max(compute.values()) for name, c in compute.items()}
        names = [f"{name}\n{x[name]:.2g}".replace("e-0", "e-") for name in shown]
    else:
        x = {name: 10.0**i for i, name in enumerate(ladder)}
        names = list(shown)
    ax.set_xscale("log")
    ax.set_xlim(*margins([x[name] for name in shown]))
    ax.set_xticks([x[name] for name in shown], names)
    ax.minorticks_off()
    if crowded(ax, [x[name] for name in shown], shown):
        ax.set_xticks([x[name] for name in shown], shown, rotation=35, ha="right", rotation_mode="anchor")
    return x


def margins(x: Sequence[float]) -> tuple[float, float]:
    """Of a logarithmic axis: 8 % on both sides."""
    side = (max(x) / min(x)) ** 0.08 if len(x) > 1 else 2
    return min(x) / side, max(x) * side


def crowded(ax: Axes, x: Sequence[float], names: Sequence[str]) -> bool:
    """Whether the names would touch each other if they were written side by side."""
    low, high = ax.get_xlim()
    points = 72 * 0.85 * PANEL[0] / log(high / low)
    letter = 5.2  # points, on average
    ends = [(points * log(at / low), letter * len(name) / 2 + 2) for at, name in sorted(zip(x, names, strict=True))]
    return any(a + half_a > b - half_b for (a, half_a), (b, half_b) in pairwise(ends))


def sample(rows: Sequence[Row]) -> str:
    """How many seeds and test examples stand behind each point."""
    return f"{span([r.seeds for r in rows], 'seed')}, {span([r.n_test for r in rows], 'test example')} each"


def errors(rows: Sequence[Row]) -> str:
    """What the error bars of accuracies are."""
    several = any(r.seeds > 1 for r in rows)
    return "Error bars: ± one standard error over seeds" if several else "One seed: no error bars"


def few_seeds(rows: Sequence[Row]) -> str:
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
