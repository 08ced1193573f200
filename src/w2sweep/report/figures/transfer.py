"""Scaling laws of transfer: figures against the tokens of the target text."""

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
from matplotlib.ticker import EngFormatter, NullFormatter

from w2sweep.report.drawing import Drawing
from w2sweep.report.figures.captions import counted, errors
from w2sweep.report.figures.panels import PANEL
from w2sweep.report.figures.plot import Ladders, Plot
from w2sweep.report.figures.saving import save
from w2sweep.report.figures.style import FAINT, INK
from w2sweep.report.heldout import HeldOut
from w2sweep.report.summary import SummaryRow
from w2sweep.report.transfer import Gain, MixtureLaw, Transfer, transfer
from w2sweep.results.intervals import mean

SOLID: dict[str, Any] = {"marker": "o", "ls": "-"}
"""What pretrained models are drawn as."""
DASHED: dict[str, Any] = {"marker": "s", "ls": "--", "mfc": "white"}
"""What models from scratch are drawn as."""


class TransferPlot(Plot):
    """A column of panels for each text that was read in pretraining, a colour for each rung."""

    title: ClassVar[str]
    xlabel: ClassVar[str] = "tokens of the target text"
    ylabel: ClassVar[str]

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders, found: Transfer):
        super().__init__(rows, ladders)
        self.found = found
        by_size = sorted(found.gains, key=lambda gain: gain.pair.adapted.size)
        self.rungs = list(dict.fromkeys(gain.pair.adapted.rung for gain in by_size))
        self.mixtures = list(dict.fromkeys(gain.pair.mixture for gain in found.gains))

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
        for ax, law, place in zip(axes, laws, self.found.mixtures, strict=True):
            ax.set_xscale("log")
            self.panel(ax, law, self.found.of(place))
            ax.set_title(self._name(law))
            ax.xaxis.set_minor_formatter(NullFormatter())
        axes[0].set_ylabel(self.ylabel)
        fig.supxlabel(self.xlabel, fontsize=9)
        handles = [*map(self._handle, self.rungs), *self.legend()]
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
        return {r: [g for g in gains if g.pair.adapted.rung == r] for r in self.rungs}

    def _share(self, rung: str) -> float:
        return self.rungs.index(rung) / max(1, len(self.rungs) - 1)

    def _handle(self, rung: str) -> Line2D:
        return Line2D([], [], color=self.color(rung), lw=3, label=rung)

    def _name(self, law: MixtureLaw) -> str:
        said = law.mixture.rpartition(".")[2] or "pretrained"
        several = len({(of.task, of.ladder) for of in self.found.laws}) > 1
        return f"{law.task} · {law.ladder}, {said}" if several else said

    @property
    def _seeds(self) -> str:
        return counted([len(g.pair.adapted.losses) for g in self.found.gains], "seed")


class TransferLosses(TransferPlot):
    """Loss on the target, pretrained and from scratch."""

    name = "transfer_losses"
    order = 1
    title = "Loss after so many tokens of the target"
    ylabel = "held-out loss on the target\n(nats a token)"

    def panel(self, ax: Axes, law: MixtureLaw, gains: Sequence[Gain]) -> None:
        for rung, of in self.by_rung(gains).items():
            for models, style in _both(of):
                read = [model for model in models if model.tokens > 0]
                points = [(m.tokens, *_mean_and_error(m.losses)) for m in read]
                _line(ax, points, color=self.color(rung), **style)
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))

    @property
    def caption(self) -> str:
        return (
            "Loss on held-out text of the target, of rungs that were pretrained on other text and "
            "of the same ones from random weights; each point is a training run of its own. Where "
            "a solid line lies above the dashed one of its colour, pretraining has cost: "
            f"ossification. {self._seeds}. Error bars: ± one standard error over seeds."
        )


class DataTransferred(TransferPlot):
    """Effective data transferred, with the fitted law."""

    name = "transfer_data"
    order = 2
    title = "Effective data transferred"
    ylabel = "effective data transferred\n(tokens)"

    @property
    def shows(self) -> bool:
        return any(x > 0 for gain in self.found.gains for x in gain.transferred().values())

    def panel(self, ax: Axes, law: MixtureLaw, gains: Sequence[Gain]) -> None:
        ax.set_yscale("log")
        for rung, of in self.by_rung(gains).items():
            read = [gain for gain in of if gain.tokens > 0]
            known = [(g.tokens, x) for g in read for x in g.transferred().values() if x > 0]
            if not known:
                continue
            x, y = np.array(known, float).T
            ax.plot(x, y, ls="", marker="o", ms=4, alpha=0.75, color=self.color(rung))
            if law.law:
                along = np.geomspace(x.min(), x.max(), 20)
                fitted = law.law(along, of[0].pair.adapted.size)
                ax.plot(along, fitted, color=self.color(rung))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
        ax.text(0.03, 0.97, _law_text(law), transform=ax.transAxes, va="top", fontsize=7)

    def legend(self) -> list[Line2D]:
        seed = Line2D([], [], color=FAINT, ls="", marker="o", ms=4, label="a seed")
        return [seed, Line2D([], [], color=FAINT, label="fitted law")]

    @property
    def caption(self) -> str:
        return (
            "How many more tokens of the target the same rung needs from scratch to reach the loss "
            "of the pretrained one, interpolated between the numbers that were tried; and the law "
            "D_T = k D_F^alpha N^beta (Hernandez et al. 2021), fitted to each seed by itself, with "
            "95 % intervals over what the panel says. Left out, and counted in the panel: points "
            f"beyond the numbers tried, and those where pretraining has cost. {self._seeds}."
        )


class TransferFrontier(TransferPlot):
    """Loss against compute: what is the least loss for so much of it?"""

    name = "transfer_frontier"
    order = 3
    title = "Compute-efficient frontier"
    xlabel = "training compute (FLOPs, 6 x parameters x tokens)"
    ylabel = "held-out loss on the target\n(nats a token)"

    def panel(self, ax: Axes, law: MixtureLaw, gains: Sequence[Gain]) -> None:
        read = [gain for gain in gains if gain.tokens > 0]
        adapted = [(gain.pair.adapted, gain.tokens) for gain in read]
        self._frontier(ax, adapted, color=INK, ls="-")
        whole = [(gain.pair.adapted, gain.tokens + gain.pair.adapted.before) for gain in read]
        self._frontier(ax, whole, color=INK, ls=":")
        scratch = [(gain.pair.scratch, gain.tokens) for gain in read]
        self._frontier(ax, scratch, color="#d55e00", ls="--")
        for rung, of in self.by_rung(read).items():
            for models, style in _both(of):
                points = [(6.0 * m.size * m.tokens, _mean(m.losses)) for m in models]
                x, y = np.array(points).T
                marked = {**style, "ls": ""}
                ax.plot(x, y, ms=4, alpha=0.8, color=self.color(rung), **marked)
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")

    def _frontier(self, ax: Axes, models: Sequence[tuple[HeldOut, int]], **style: Any) -> None:
        """The least loss that is reached with so much compute or less."""
        points = sorted((6.0 * m.size * tokens, _mean(m.losses)) for m, tokens in models)
        compute, loss = np.array(points).T
        ax.step(compute, np.minimum.accumulate(loss), where="post", lw=1.3, **style)

    def legend(self) -> list[Line2D]:
        return [
            *super().legend(),
            Line2D([], [], color=INK, label="frontier, pretrained"),
            Line2D([], [], color=INK, ls=":", label="same, with pretraining's compute"),
            Line2D([], [], color="#d55e00", ls="--", label="frontier, from scratch"),
        ]

    @property
    def caption(self) -> str:
        return (
            "Loss on the target against the compute of training on it; lines: the least loss for "
            "so much compute or less, over all rungs. Dotted: with the compute of pretraining "
            f"counted too. Means over {self._seeds}."
        )


class TransferAccuracy(TransferPlot):
    """The same on a task."""

    name = "transfer_accuracy"
    order = 4
    title = "Accuracy on the task after so many tokens of the target"
    ylabel = "test accuracy (%)"

    @property
    def shows(self) -> bool:
        return any(gain.pair.adapted.accuracies for gain in self.found.gains)

    def panel(self, ax: Axes, law: MixtureLaw, gains: Sequence[Gain]) -> None:
        for rung, of in self.by_rung(gains).items():
            for models, style in _both(of):
                tested = [m for m in models if m.accuracies and m.tokens > 0]
                points = [(m.tokens, *_mean_and_error(m.accuracies)) for m in tested]
                percent = [(x, 100 * y, 100 * error) for x, y, error in points]
                if percent:
                    _line(ax, percent, color=self.color(rung), **style)
            self._unadapted(ax, law, rung)
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))

    def _unadapted(self, ax: Axes, law: MixtureLaw, rung: str) -> None:
        """A line at what the pretrained rung reaches that has read nothing of the target."""
        names = {value for key, value in [law.mixture.split("=", 1)]} if law.mixture else set()
        of = [r for r in self.rows if (r.task, r.ladder, r.strong) == (law.task, law.ladder, rung)]
        same = [r for r in of if names <= {value for _, value in r.variant}]
        if same:
            level = 100 * same[0].ceiling_accuracy
            ax.axhline(level, color=self.color(rung), ls=":", lw=1.0)

    def legend(self) -> list[Line2D]:
        unadapted = Line2D([], [], color=FAINT, ls=":", label="pretrained, without target text")
        return [*super().legend(), unadapted]

    @property
    def caption(self) -> str:
        return (
            "Test accuracy after finetuning on the ground truth, of rungs that have read the "
            "target before, pretrained and from scratch. Dotted: pretrained, and nothing read of "
            f"the target. {errors(self.rows)}."
        )


def _both(gains: Sequence[Gain]) -> list[tuple[list[HeldOut], dict[str, Any]]]:
    """The pretrained models and those from scratch, with how they are drawn."""
    adapted, scratch = [g.pair.adapted for g in gains], [g.pair.scratch for g in gains]
    return [(adapted, SOLID), (scratch, DASHED)] if gains else []


def _mean(of: Mapping[int, float]) -> float:
    return float(np.mean(list(of.values())))


def _mean_and_error(of: Mapping[int, float]) -> tuple[float, float]:
    """Over seeds; one seed has no error."""
    found = mean(list(of.values()), [0.0] * len(of)) if len(of) > 1 else None
    return _mean(of), found.se or 0.0 if found else 0.0


def _line(ax: Axes, points: Sequence[tuple[float, float, float]], **style: Any) -> None:
    x, y, error = np.array(points, float).T
    ax.errorbar(x, y, error if error.any() else None, elinewidth=1.0, ms=4, **style)


def _law_text(of: MixtureLaw) -> str:
    """The exponents and what was left out."""
    beyond = of.below + of.above
    left = f"left out: {beyond} beyond, {of.negative} with D_T < 0"
    if of.law is None:
        return f"too few points for a law\n{left}"
    law = of.law
    fitted = [f"{name} {_interval(law, name)}" for name in ("alpha", "beta")]
    return "\n".join([*fitted, f"over {law.over}; {left}"])


def _interval(law: Any, name: str) -> str:
    estimate = getattr(law, name)
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
