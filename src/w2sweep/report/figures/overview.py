"""All families side by side: supervisor, the students of each method, ceiling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from w2sweep.report.drawing import Drawing
from w2sweep.report.figures.captions import chance, errors, sample
from w2sweep.report.figures.panels import distinct
from w2sweep.report.figures.plot import Ladders, Plot
from w2sweep.report.figures.saving import save
from w2sweep.report.figures.style import CHANCE, COLORS, INK
from w2sweep.report.summary import SummaryRow

FAMILIES = {"nlp": "NLP tasks", "chess": "chess", "reward": "reward modeling"}
BAR, GAP = 0.75, 1.1
"""Width of a bar and between the bars of two tasks, in inches times two."""
SUPERVISOR: dict[str, Any] = {"color": "#cccccc"}
CEILING: dict[str, Any] = {"facecolor": "white", "edgecolor": INK, "hatch": "///", "lw": 0.8}


class Overview(Plot):
    """Bars of accuracy, a group a task, a panel a family. Burns et al. 2023, figure 2."""

    name = "overview"
    order = 5

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders):
        super().__init__(rows, ladders)
        self.methods = distinct(r.method for r in rows)
        present = {r.family for r in rows}
        self.families = [family for family in FAMILIES if family in present]

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """Of a sweep over methods, with one supervisor and one student on each task, where there
        are families or several methods to compare, and no more than there are colours."""
        pairs = {(r.task, r.ladder, r.weak, r.strong, r.variant) for r in rows}
        families = {r.family for r in rows}
        tasks = {r.task for r in rows}
        methods = {r.method for r in rows}
        few = len(methods) <= len(COLORS)
        several = few and (len(methods) > 2 or (len(methods) > 1 and len(families) > 1))
        return cls(rows, ladders) if several and len(pairs) == len(tasks) else None

    def draw(self, folder: Path) -> Iterator[Drawing]:
        widths = [self._width(family) for family in self.families]
        fig = Figure(figsize=(max(5.0, 0.45 * sum(widths) + 0.8), 3.3), layout="constrained")
        panels = fig.subplots(
            1, len(widths), squeeze=False, sharey=True, gridspec_kw={"width_ratios": widths}
        )
        for ax, family in zip(panels[0], self.families, strict=True):
            self._panel(ax, family)
        panels[0][0].set_ylabel("test accuracy (%)")
        handles = self._legend()
        fig.legend(handles=handles, loc="outside upper center", ncols=min(6, len(handles)))
        title = "Supervisor, students and ceiling on every family"
        yield save(fig, folder / self.name, title, self._caption)

    def _tasks(self, family: str) -> list[str]:
        return distinct(r.task for r in self.rows if r.family == family)

    def _methods(self, task: str) -> list[str]:
        tried = {r.method for r in self.rows if r.task == task}
        return [method for method in self.methods if method in tried]

    def _width(self, family: str) -> float:
        """Of a panel: its bars and what lies between its tasks."""
        bars = [len(self._methods(task)) + 2 for task in self._tasks(family)]
        return sum(bars) * BAR + len(bars) * GAP

    def _panel(self, ax: Axes, family: str) -> None:
        ax.set_title(FAMILIES[family])
        at, middles = 0.0, []
        for task in self._tasks(family):
            bars = self._bars([r for r in self.rows if r.task == task])
            places = [at + BAR * i for i in range(len(bars))]
            for x, (mean, se, style) in zip(places, bars, strict=True):
                bounds = None if se is None else 100 * se
                ax.bar(x, 100 * mean, BAR * 0.92, yerr=bounds, ecolor=INK, **style)
            self._chance(ax, task, places)
            middles.append(sum(places) / len(places))
            at = places[-1] + BAR + GAP
        ax.set_xticks(middles, self._tasks(family))
        ax.tick_params(axis="x", length=0)
        ax.grid(axis="x", visible=False)
        ax.set_xlim(-BAR, at - GAP)

    def _bars(self, rows: Sequence[SummaryRow]) -> list[tuple[float, float | None, dict[str, Any]]]:
        """Mean, standard error and look of each bar of a task: supervisor, students, ceiling."""
        by_method = {r.method: r for r in rows}
        known = max(rows, key=lambda r: r.seeds)
        students = [
            (r.student_accuracy, r.student_accuracy_se, {"color": self._color(m)})
            for m, r in by_method.items()
        ]
        supervisor = (known.weak_accuracy, known.weak_accuracy_se, SUPERVISOR)
        return [supervisor, *students, (known.ceiling_accuracy, known.ceiling_accuracy_se, CEILING)]

    def _chance(self, ax: Axes, task: str, places: Sequence[float]) -> None:
        look: dict[str, Any] = CHANCE | {"color": INK}
        chances = {r.chance for r in self.rows if r.task == task and r.chance is not None}
        for level in chances:
            ends = (places[0] - BAR / 2, places[-1] + BAR / 2)
            ax.plot(ends, (100 * level, 100 * level), **look)

    def _color(self, method: str) -> str:
        return COLORS[self.methods.index(method) % len(COLORS)]

    def _legend(self) -> list[Patch]:
        methods = [Patch(color=self._color(method), label=method) for method in self.methods]
        supervisor = Patch(label="supervisor", **SUPERVISOR)
        return [supervisor, *methods, Patch(label="ceiling", **CEILING)]

    @property
    def _caption(self) -> str:
        pairs = distinct(f"{r.weak} to {r.strong}" for r in self.rows)
        return (
            f"Accuracy of supervisor, students and ceiling, {', '.join(pairs)}."
            f"{chance(self.rows)} {sample(self.rows)}. {errors(self.rows)}."
        )
