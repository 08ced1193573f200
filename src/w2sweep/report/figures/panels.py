"""Figures of many panels: a column for each task, a line for each value of something else."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from w2sweep.report.drawing import Drawing
from w2sweep.report.figures.plot import Ladders, Plot
from w2sweep.report.figures.saving import save
from w2sweep.report.figures.style import CHANCE, FAINT
from w2sweep.report.medians import MANY
from w2sweep.report.summary import SummaryRow
from w2sweep.report.variants import short_variants
from w2sweep.results.cell import RungFacts

WRAP = 4
"""Panels in a line at most, where tasks wrap."""
MOST = 96
"""Panels of one kind that are drawn. More take minutes, and nobody looks at them."""
ALL = "the table and summary.csv have all"
"""What captions say of the rest."""
PANEL = (3.1, 2.3)
"""Width and height in inches."""
BY_COMPUTE = "student, and its pretraining compute as a share of the largest rung's"
BY_RANK = "student, from the weakest rung to the strongest"
"""What stands below an axis of rungs, with and without compute."""
Grid = Sequence[Sequence[tuple[str, str]]]
"""The panels of a figure line by line, each by the names of its column and of its line."""
Sharing = Literal["none", "col", "row", "all"]


class Panels(Plot):
    """A figure with a column of panels a task, and a line of panels for each value of something
    else."""

    title: str
    ylabel: ClassVar[str] = ""
    xlabel: str = BY_COMPUTE
    sharey: ClassVar[Sharing]
    measures: Mapping[str, str] = {}
    """Of a figure with a line of panels for each measure, in all of which every row is: measure ->
    what stands beside its y axes."""
    widest: ClassVar[int] = MANY
    """With more columns than this, each of several lines is a figure of its own, and wraps."""
    lines_are_named: ClassVar[bool] = True
    """Whether each line of panels says at its end what it is; those of measures never do."""

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders):
        super().__init__(rows, ladders)
        if self.xlabel == BY_COMPUTE and not any(map(_has_compute, ladders.values())):
            self.xlabel = BY_RANK
        self.several_ladders = len({r.ladder for r in rows}) > 1
        self.variants = short_variants(rows)
        self.supervisors = distinct(r.weak for r in sorted(rows, key=lambda r: r.weak_compute))
        self.methods = distinct(self.method(r) for r in rows)
        self.left_out: list[str] = []
        """What the caption says of what is not drawn."""

    def line(self, row: SummaryRow) -> str:
        """The line of panels that a row belongs to: all to one, unless a kind says otherwise."""
        return ""

    @abstractmethod
    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        """Draws the rows of one column and one line."""

    @property
    @abstractmethod
    def caption(self) -> str:
        """What is to be seen, what error bars are, and the sample behind it."""

    def legend(self) -> Sequence[Line2D | Patch]:
        """A handle for each thing that the legend explains; none, no legend."""
        return []

    def ylabel_of(self, line: str) -> str:
        """What stands beside the y axes of a line of panels."""
        return self.measures.get(line, self.ylabel)

    def method(self, row: SummaryRow) -> str:
        """The name of a row's method: to figures, each variant is another one."""
        variant = self.variants[row.task, row.variant]
        return f"{row.method} ({variant})" if variant else row.method

    @property
    def lines(self) -> list[str]:
        """The lines of panels, from top to bottom."""
        return list(self.measures) or distinct(map(self.line, self.rows))

    def column(self, row: SummaryRow) -> str:
        """The column of panels that a row belongs to."""
        several = row.task in self._of_several_ladders
        return f"{row.task} · {row.ladder}" if several else row.task

    @cached_property
    def _of_several_ladders(self) -> set[str]:
        """The tasks on which several ladders were tried."""
        tried = {(r.task, r.ladder) for r in self.rows}
        ladders = Counter(task for task, _ in tried)
        return {task for task, n in ladders.items() if n > 1}

    def rows_of(self, column: str, line: str) -> list[SummaryRow]:
        """The rows that a panel shows."""
        return self._rows_by_panel.get((column, "" if self.measures else line), [])

    @cached_property
    def _rows_by_panel(self) -> dict[tuple[str, str], list[SummaryRow]]:
        found: dict[tuple[str, str], list[SummaryRow]] = defaultdict(list)
        for row in self.rows:
            found[self.column(row), "" if self.measures else self.line(row)].append(row)
        return found

    def supervisor_color(self, weak: str) -> str:
        """A colour for each supervisor, the darker the weaker."""
        i, n = self.supervisors.index(weak), len(self.supervisors)
        return to_hex(colormaps["viridis"](0.15 + 0.57 * i / max(1, n - 1)))

    def rungs(self, row: SummaryRow, *roles: Literal["weak", "strong"]) -> list[str]:
        """The rungs that play one of the roles anywhere on the row's ladder, weakest first."""
        peers = [r for r in self.rows if r.ladder == row.ladder]
        playing = {getattr(r, role) for r in peers for role in roles}
        return [rung for rung in self.ladders[row.ladder] if rung in playing]

    def draw(self, folder: Path) -> Iterator[Drawing]:
        """One figure; with so many tasks that panels wrap, one a line."""
        columns, lines = self._shown(distinct(map(self.column, self.rows)), self.lines)
        if len(columns) <= (self.widest if len(lines) > 1 else WRAP):
            whole = [_line(columns, line) for line in lines]
            yield self._figure(folder / self.name, self.title, whole)
            return
        for line in lines:
            wrapped = _wrapped(_line(columns, line))
            if len(lines) == 1:
                yield self._figure(folder / self.name, self.title, wrapped)
            else:
                path = folder / f"{self.name}-{slug(line)}"
                yield self._figure(path, f"{self.title}: {line}", wrapped)

    def _shown(
        self, columns: Sequence[str], lines: Sequence[str]
    ) -> tuple[Sequence[str], Sequence[str]]:
        """The columns and lines that are drawn: the first ones, where there are more than anybody
        looks at."""
        if self.measures:
            shown = columns[: MOST // len(lines)], lines
        else:
            shown = columns[:MOST], lines[: max(1, MOST // len(columns))]
        drawn, of = len(shown[0]) * len(shown[1]), len(columns) * len(lines)
        if drawn < of:
            self.left_out.append(f"The first {drawn} of {of} panels: {ALL}.")
        return shown

    def _figure(self, path: Path, title: str, grid: Grid) -> Drawing:
        wrapped = len(grid) > 1 and grid[0][0][1] == grid[1][0][1]
        height, width = PANEL[1] * len(grid) + 0.8, max(4.6, PANEL[0] * len(grid[0]) + 0.5)
        fig = Figure(figsize=(width, height), layout="constrained")
        shared = self._shared(wrapped)
        axes = fig.subplots(len(grid), len(grid[0]), squeeze=False, sharey=shared)
        self._fill(axes, grid, shared)
        self._label(axes, grid, wrapped)
        fig.supxlabel(self.xlabel, fontsize=9)
        if handles := self.legend():
            _place_legend(fig, handles)
        return save(fig, path, title, " ".join([self.caption, *self.left_out]))

    def _shared(self, wrapped: bool) -> Sharing:
        """Which panels have the same y axis."""
        if self.several_ladders or (wrapped and self.sharey == "col"):
            return "none"
        return "all" if wrapped and self.sharey == "row" else self.sharey

    def _fill(self, axes: np.ndarray, grid: Grid, shared: Sharing) -> None:
        """Draws all panels into `axes` [lines, columns]."""
        panels = {(i, j): panel for i, line in enumerate(grid) for j, panel in enumerate(line)}
        rows = {at: self.rows_of(*panel) for at, panel in panels.items()}
        filled = [at for at, found in rows.items() if found]
        for at, ax in np.ndenumerate(axes):
            if at in filled:
                self.panel(ax, rows[at], panels[at][1])
                self._label_ticks(ax, at, filled, shared)
            else:
                blank(ax, "not run" if at in rows else "")

    def _label_ticks(
        self, ax: Axes, at: tuple[int, ...], filled: Sequence[tuple[int, int]], shared: Sharing
    ) -> None:
        """Labels the ticks of a panel, unless a neighbour has the same ones."""
        line, column = at
        lowest = line == max(y for y, x in filled if x == column)
        leftmost = column == min(x for y, x in filled if y == line)
        ax.tick_params(
            labelbottom=lowest or self.several_ladders,
            labelleft=leftmost or shared not in ("row", "all"),
        )

    def _label(self, axes: np.ndarray, grid: Grid, wrapped: bool) -> None:
        """Names columns above, lines at the right; where panels wrap, a column above each."""
        for i, line in enumerate(grid):
            axes[i, 0].set_ylabel(self.ylabel_of(line[0][1]))
            named = self.lines_are_named and not self.measures
            if len(grid) > 1 and named and not wrapped:
                _name_line(axes[i, -1], line[-1][1])
            for j, (column, _) in enumerate(line):
                axes[i, j].set_title(column if i == 0 or wrapped else "")


def _has_compute(ladder: Mapping[str, RungFacts]) -> bool:
    return min(rung.compute for rung in ladder.values()) > 0


def _line(columns: Sequence[str], line: str) -> list[tuple[str, str]]:
    return [(column, line) for column in columns]


def _wrapped(panels: Sequence[tuple[str, str]]) -> Grid:
    """Panels on as few lines as possible, as even as possible: five are three and two."""
    lines = math.ceil(len(panels) / WRAP)
    across = math.ceil(len(panels) / lines)
    return [panels[i : i + across] for i in range(0, len(panels), across)]


def _name_line(ax: Axes, name: str) -> None:
    place = (1.03, 0.5)
    ax.annotate(name, place, xycoords="axes fraction", rotation=270, va="center", fontsize=10)


def _place_legend(fig: Figure, handles: Sequence[Line2D | Patch]) -> None:
    """Above the panels, in as many columns as there is room for."""
    widest = max(len(str(h.get_label())) for h in handles) * 0.075 + 0.6  # inches
    columns = max(1, min(len(handles), int(fig.get_figwidth() / widest)))
    fig.legend(handles=handles, loc="outside upper center", ncols=columns)


def errorbar(
    ax: Axes, x: Mapping[str, float], points: Iterable[tuple[str, float, float | None]], **style
) -> None:
    """Draws (rung, accuracy, standard error), in any order; accuracies become percent."""
    rungs, accuracies, errors = zip(*sorted(points, key=lambda p: x[p[0]]), strict=True)
    bars = None if None in errors else 100 * np.array(errors)
    at, percent = [x[rung] for rung in rungs], 100 * np.array(accuracies)
    ax.errorbar(at, percent, bars, elinewidth=1.0, **style)


def chance_line(ax: Axes, rows: Iterable[SummaryRow]) -> None:
    """Draws the accuracy of guessing, in percent, where the rows have one."""
    for chance in {r.chance for r in rows if r.chance is not None}:
        ax.axhline(100 * chance, **CHANCE)


def chance_handle(rows: Iterable[SummaryRow]) -> list[Line2D]:
    """What the legend says of that line, where it is drawn."""
    drawn = any(r.chance is not None for r in rows)
    return [Line2D([], [], label="chance", **CHANCE)] if drawn else []


def blank(ax: Axes, text: str) -> None:
    """Makes a panel without data."""
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=FAINT)


def distinct(names: Iterable[str]) -> list[str]:
    """The different ones of the names, in the order in which they come first."""
    return list(dict.fromkeys(names))


def slug(name: str) -> str:
    """The name as a part of a file's name."""
    return "".join(c if c.isalnum() else "-" for c in name).strip("-").lower()
