"""What figures of transfer have in common: a column for each pretraining text, a colour for each
rung."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, NullLocator

from w2sweep.report.drawing import Drawing
from w2sweep.report.figures.captions import counted
from w2sweep.report.figures.panels import PANEL
from w2sweep.report.figures.plot import Ladders, Plot
from w2sweep.report.figures.saving import save
from w2sweep.report.figures.style import FAINT
from w2sweep.report.heldout import HeldOut
from w2sweep.report.summary import SummaryRow
from w2sweep.report.transfer import Gain, MixtureLaw, Transfers, transfer
from w2sweep.results.intervals import mean

ROUND = EngFormatter(places=0, sep="")
"""Numbers of tokens: 30k."""
SOLID: dict[str, Any] = {"marker": "o", "ls": "-"}
"""What pretrained models are drawn as."""
DASHED: dict[str, Any] = {"marker": "s", "ls": "--", "mfc": "white"}
"""What models from scratch are drawn as."""


class TransferPlot(Plot):
    """A column of panels for each text that was read in pretraining, a colour for each rung."""

    title: ClassVar[str]
    xlabel: ClassVar[str] = "tokens of the target text"
    ylabel: ClassVar[str]

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders, found: Transfers):
        super().__init__(rows, ladders)
        self.found = found
        by_size = sorted(found.gains, key=lambda gain: gain.pair.adapted.size)
        self.rungs = list(dict.fromkeys(gain.pair.adapted.rung for gain in by_size))

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """The figure of what the rows say of transfer, if anything."""
        found = transfer(rows)
        if found is None:
            return None
        figure = cls(rows, ladders, found)
        return figure if figure.shows else None

    @property
    def shows(self) -> bool:
        """Whether there is something to be seen."""
        return True

    @property
    def drawn(self) -> list[str]:
        """The rungs that are to be seen."""
        return self.rungs

    @abstractmethod
    def panel(self, ax: Axes, law: MixtureLaw, gains: Sequence[Gain]) -> None:
        """Draws what one pretraining text gives, of all rungs."""

    @property
    @abstractmethod
    def caption(self) -> str:
        """What is to be seen."""

    def draw(self, folder: Path) -> Iterator[Drawing]:
        laws = self.found.laws
        width = max(4.6, PANEL[0] * len(laws) + 0.6)
        fig = Figure(figsize=(width, PANEL[1] + 1.3), layout="constrained")
        axes = fig.subplots(1, len(laws), squeeze=False, sharex=True, sharey=True)[0]
        for ax, law, place in zip(axes, laws, self.found.places, strict=True):
            ax.set_xscale("log")
            self.panel(ax, law, self.found.of(place))
            ax.set_title(self._name(law))
            ax.tick_params(which="minor", labelbottom=False)
        axes[0].set_ylabel(self.ylabel)
        fig.supxlabel(self.xlabel, fontsize=9)
        handles = [*map(self._handle, self.drawn), *self.legend()]
        fig.legend(handles=handles, loc="outside upper center", ncols=min(3, len(handles)))
        yield save(fig, folder / self.name, self.title, self.caption)

    def legend(self) -> list[Line2D]:
        """What lines and markers mean, besides colours."""
        pretrained = Line2D([], [], color=FAINT, label="pretrained", **SOLID)
        return [pretrained, Line2D([], [], color=FAINT, label="from scratch", **DASHED)]

    def color(self, rung: str) -> str:
        """A colour for each rung, the darker the smaller."""
        return to_hex(colormaps["viridis"](0.1 + 0.75 * self._share(rung)))

    def by_rung(self, gains: Sequence[Gain]) -> Mapping[str, list[Gain]]:
        """Rung -> its gains, by tokens."""
        found: dict[str, list[Gain]] = {rung: [] for rung in self.rungs}
        for gain in gains:
            found[gain.pair.adapted.rung].append(gain)
        return found

    def token_axis(self, ax: Axes, gains: Sequence[Gain]) -> None:
        """A tick at each number of tokens that was tried."""
        ax.set_xticks(sorted({gain.tokens for gain in gains if gain.tokens > 0}))
        ax.xaxis.set_major_formatter(ROUND)
        ax.xaxis.set_minor_locator(NullLocator())

    def _share(self, rung: str) -> float:
        return self.rungs.index(rung) / max(1, len(self.rungs) - 1)

    def _handle(self, rung: str) -> Line2D:
        return Line2D([], [], color=self.color(rung), lw=3, label=rung)

    def _name(self, law: MixtureLaw) -> str:
        """What stands above the panel of a pretraining text."""
        said = law.mixture.rpartition(".")[2] or "pretrained"
        several = len({(of.task, of.ladder) for of in self.found.laws}) > 1
        return f"{law.task} · {law.ladder}, {said}" if several else said

    @property
    def seeds(self) -> str:
        return counted([len(g.pair.adapted.losses) for g in self.found.gains], "seed")


def both(gains: Sequence[Gain]) -> list[tuple[list[HeldOut], dict[str, Any]]]:
    """The pretrained models and those from scratch, with how they are drawn."""
    adapted = [gain.pair.adapted for gain in gains]
    scratch = [gain.pair.scratch for gain in gains]
    return [(adapted, SOLID), (scratch, DASHED)] if gains else []


def average(of: Mapping[int, float]) -> float:
    """Over seeds."""
    return float(np.mean(list(of.values())))


def mean_and_error(of: Mapping[int, float]) -> tuple[float, float]:
    """Over seeds; one seed has no error."""
    if len(of) < 2:
        return average(of), 0.0
    found = mean(list(of.values()), [0.0] * len(of))
    return average(of), found.se or 0.0


def line(ax: Axes, points: Sequence[tuple[float, float, float]], **style: Any) -> None:
    """Draws (tokens, value, standard error)."""
    x, y, error = np.array(points, float).T
    ax.errorbar(x, y, error if error.any() else None, elinewidth=1.0, ms=4, **style)
