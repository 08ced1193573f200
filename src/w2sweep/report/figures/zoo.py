"""Many methods beside naive finetuning: a forest of differences, over all tasks and in each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from w2sweep.report.drawing import Drawing
from w2sweep.report.figures.plot import Ladders, Plot
from w2sweep.report.figures.saving import save
from w2sweep.report.figures.style import COLORS, FAINT, INK
from w2sweep.report.summary import SummaryRow
from w2sweep.report.table import TRUTH
from w2sweep.report.zoo import MethodStanding, Zoo, zoo
from w2sweep.report.zoo_tables import costs
from w2sweep.results.comparisons import OneOfMany
from w2sweep.results.cost import KINDS, METHOD

HEIGHT, MARGIN = 0.235, 1.35
"""Inches of a method's line, and of all that stands above and below the lines."""
WIDE, NARROW, TEXT = 2.6, 1.25, 0.62
"""Inches of the panel over all columns, of each column's, and of a column of numbers."""
NAMES = 1.5
"""Inches of the methods' names."""
ABOVE, BELOW, NEITHER = COLORS[0], COLORS[1], FAINT
"""What is told to be above naive, below it, and neither."""
LONGEST = 8
"""Columns at most: more do not fit beside each other."""


class Forest(Plot):
    """A line for each method, the best first; controls and oracles apart below. Panels: the
    difference to naive over all columns, then in each; numbers: PGR, how often a student is below
    its supervisor, and what it costs."""

    name = "zoo"
    order = -1

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders, found: Zoo):
        super().__init__(rows, ladders)
        self.zoo = found
        self.columns = list(found.columns) if 1 < len(found.columns) <= LONGEST else []
        self.at = _places(found.overall)

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """The figure of all rows, where there are enough methods."""
        found = zoo(rows)
        return cls(rows, ladders, found) if found and found.overall else None

    def draw(self, folder: Path) -> Iterator[Drawing]:
        """One figure."""
        widths = [WIDE, *[NARROW] * len(self.columns), *[TEXT] * 4]
        size = (NAMES + sum(widths), MARGIN + HEIGHT * (max(self.at.values()) + 1))
        fig = Figure(figsize=size, layout="constrained")
        axes = fig.subplots(1, len(widths), sharey=True, width_ratios=widths)
        fig.get_layout_engine().set(w_pad=0.03)  # type: ignore[union-attr]
        title = "mean over tasks" if self.columns else ""
        self._forest(axes[0], self.zoo.overall, title, _view(self.zoo.overall))
        view = _view(list(self.zoo.single.values()))
        for ax, column in zip(axes[1:], self.columns, strict=False):
            its = [self.zoo.single.get((of.method, column)) for of in self.zoo.overall]
            self._forest(ax, [of for of in its if of], column, view)
        self._numbers(axes[len(self.columns) + 1 :])
        self._name(axes[0])
        axes[0].set_xlabel("accuracy over naive (points)")
        fig.legend(handles=_legend(), loc="outside upper center", ncols=5)
        yield save(fig, folder / self.name, self.title, self.caption)

    def _forest(
        self, ax: Axes, standings: Sequence[MethodStanding], title: str, view: tuple[float, float]
    ) -> None:
        ax.set_title(title, fontsize=9)
        ax.axvline(0, color=INK, lw=0.9, zorder=1)
        ax.tick_params(axis="y", length=0)
        ax.set_xlim(*view)
        for of in standings:
            if of.over_naive is not None:
                _difference(ax, of.over_naive, self.at[of.method], view)
        for end in _ends(self.zoo.overall, self.at):
            ax.axhline(end, color=FAINT, lw=0.6)

    def _name(self, ax: Axes) -> None:
        names = [self._called(of) for of in self.zoo.overall]
        ax.set_yticks([self.at[of.method] for of in self.zoo.overall], names)
        ax.set_ylim(max(self.at.values()) + 0.6, -0.6)

    def _called(self, of: MethodStanding) -> str:
        some = of.columns < len(self.zoo.columns)
        return f"{of.called} ({of.columns} tasks)" if some else of.called

    def _numbers(self, axes: Sequence[Axes]) -> None:
        for ax, title in zip(axes, ("PGR", "below\nsup.", "steps", "FLOPs"), strict=True):
            ax.set_title(title, fontsize=8.5)
            ax.set_xlim(0, 1)
            ax.spines[:].set_visible(False)
            ax.grid(visible=False)
            ax.tick_params(left=False, bottom=False, labelbottom=False)
            for end in _ends(self.zoo.overall, self.at):
                ax.axhline(end, color=FAINT, lw=0.6)
        for of in self.zoo.overall:
            pgr = "–" if of.pgr.value is None else f"{of.pgr.value:z.2f}"
            numbers = (pgr, f"{of.below / of.cells:.0%}", *costs(of))
            for ax, text in zip(axes, numbers, strict=True):
                ax.text(0.5, self.at[of.method], text, ha="center", va="center", fontsize=7.5)

    @property
    def title(self) -> str:
        """What stands above it on a page."""
        return f"{len(self.zoo.overall)} methods beside naive finetuning"

    @property
    def caption(self) -> str:
        naive = self.zoo.naive
        below = f"{naive.below} of {naive.cells}"
        pgr = "" if naive.pgr.value is None else f" Naive itself: PGR {naive.pgr.value:z.2f},"
        return (
            "The student's accuracy minus the naive student's on the same task, rungs and seed, "
            f"averaged over {self.zoo.seeds}: thick, the 95 % interval of a comparison by itself; "
            "thin, intervals that hold for all comparisons of a kind at once (Bonferroni). "
            "Coloured: told from naive among all comparisons (paired t, Holm, 5 %): over all tasks "
            "as one family, in single tasks as another. Arrows: off the scale. "
            f"{self._apart}{self._spent}"
            f"PGR of accuracies averaged over tasks.{pgr} {below} students below their supervisor. "
            "Steps and FLOPs: of the student and all models that it is made with, times naive's."
        )

    @property
    def _spent(self) -> str:
        """What the mark at names means, where there is one."""
        spent = sorted({of.true_labels for of in self.zoo.overall} - {0})
        return f"{TRUTH} made with {spent[-1]} true labels that others lack. " if spent else ""

    @property
    def _apart(self) -> str:
        """What stands below the methods, where there is something."""
        kinds = {of.kind for of in self.zoo.overall}
        said = {"control": "controls", "oracle": "oracles, which read the truth"}
        found = [text for kind, text in said.items() if kind in kinds]
        return f"Below the lines: {', then '.join(found)}. " if found else ""


def _places(standings: Sequence[MethodStanding]) -> dict[str, float]:
    """Where each method's line is: those of another kind are apart."""
    kinds = [KINDS.index(of.kind) for of in standings]
    apart = {kind: i for i, kind in enumerate(sorted(set(kinds)))}
    places = enumerate(zip(standings, kinds, strict=True))
    return {of.method: i + 0.6 * apart[kind] for i, (of, kind) in places}


def _ends(standings: Sequence[MethodStanding], at: dict[str, float]) -> list[float]:
    """Where one kind ends and the next begins."""
    following = pairwise(standings)
    return [(at[a.method] + at[b.method]) / 2 for a, b in following if a.kind != b.kind]


def _view(standings: Sequence[MethodStanding]) -> tuple[float, float]:
    """The range of points in which methods lie with their intervals; controls and oracles may be
    far outside."""
    shown = [of for of in standings if of.kind == METHOD] or standings
    estimates = [of.over_naive.estimate for of in shown if of.over_naive]
    ends = [100 * x for e in estimates for x in (e.value, e.low, e.high) if x is not None]
    low, high = min([*ends, -1.0]), max([*ends, 1.0])
    side = 0.06 * (high - low)
    return low - side, high + side


def _difference(ax: Axes, of: OneOfMany, y: float, view: tuple[float, float]) -> None:
    assert of.estimate.value is not None
    x, (low, high) = 100 * of.estimate.value, view
    color = NEITHER if not of.told else ABOVE if x > 0 else BELOW
    if not low <= x <= high:
        edge, marker, ha = (high, ">", "right") if x > high else (low, "<", "left")
        ax.plot(edge, y, marker=marker, color=color, ms=5, clip_on=False)
        place, offset = (edge, y), (-6 if ha == "right" else 6, 0)
        beside = (place, offset, "data", "offset points")
        ax.annotate(f"{x:+.0f}", *beside, color=color, ha=ha, va="center", fontsize=7)
        return
    _bar(ax, of.low_of_all, of.high_of_all, y, color, 0.8)
    _bar(ax, of.estimate.low, of.estimate.high, y, color, 2.6)
    ax.plot(x, y, marker="o", color=color, ms=5, mfc=color if of.told else "white", zorder=4)


def _bar(
    ax: Axes, low: float | None, high: float | None, y: float, color: str, width: float
) -> None:
    if low is not None and high is not None:
        ends = [100 * low, 100 * high]
        ax.plot(ends, [y, y], color=color, lw=width, solid_capstyle="butt", zorder=3)


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=ABOVE, marker="o", lw=2.6, label="above naive"),
        Line2D([], [], color=BELOW, marker="o", lw=2.6, label="below"),
        Line2D([], [], color=NEITHER, marker="o", mfc="white", lw=2.6, label="not told apart"),
        Line2D([], [], color=INK, lw=0.8, label="for all at once"),
    ]
