"""Loss on the target text, pretrained and from scratch, and what pretraining changes of it."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from w2sweep.report.figures.style import FAINT
from w2sweep.report.figures.transfer_plot import SOLID, TransferPlot, both, line, mean_and_error
from w2sweep.report.transfer import Gain, MixtureLaw


class TransferLosses(TransferPlot):
    """Loss on the target, pretrained and from scratch."""

    name = "transfer_losses"
    order = 1
    title = "Loss after so many tokens of the target"
    ylabel = "held-out loss on the target\n(nats a token)"

    def panel(self, ax: Axes, law: MixtureLaw, gains: Sequence[Gain]) -> None:
        for rung, of in self.by_rung(gains).items():
            for models, style in both(of):
                read = [model for model in models if model.tokens > 0]
                points = [(m.tokens, *mean_and_error(m.losses)) for m in read]
                line(ax, points, color=self.color(rung), **style)
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
        self.token_axis(ax, gains)

    @property
    def caption(self) -> str:
        return (
            "Loss on held-out text of the target, of rungs that were pretrained on other text and "
            "of the same ones from random weights; each point is a training run of its own. Where "
            "a solid line lies above the dashed one of its colour, pretraining has cost: "
            f"ossification. {self.seeds}. Error bars: ± one standard error over seeds."
        )


class TransferDifference(TransferPlot):
    """What pretraining changes of the loss: above zero it has cost."""

    name = "transfer_difference"
    order = 2
    title = "What pretraining changes: ossification"
    ylabel = "loss, pretrained minus\nfrom scratch (nats a token)"

    def panel(self, ax: Axes, law: MixtureLaw, gains: Sequence[Gain]) -> None:
        ax.axhline(0, color=FAINT, lw=1.0)
        for rung, of in self.by_rung(gains).items():
            read = [gain for gain in of if gain.tokens > 0 and gain.worse.value is not None]
            if read:
                self._curve(ax, rung, read)
        found = [gain.worse.value or 0.0 for gain in self.found.gains]
        ax.set_ylim(min(-0.05, 2 * min(found)), max(0.05, 4 * max(found)))
        ax.set_yscale("symlog", linthresh=0.03, linscale=1.0)
        ax.set_yticks([-1, -0.3, -0.1, -0.03, 0, 0.03, 0.1])
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(NullLocator())
        self.token_axis(ax, gains)

    def _curve(self, ax: Axes, rung: str, gains: Sequence[Gain]) -> None:
        values = [gain.worse.value or 0.0 for gain in gains]
        reach = [(g.worse.high or v) - v for g, v in zip(gains, values, strict=True)]
        bars = reach if any(reach) else None
        shift = 1.04 ** (self.rungs.index(rung) - (len(self.rungs) - 1) / 2)
        at = [shift * gain.tokens for gain in gains]
        ax.errorbar(at, values, bars, color=self.color(rung), elinewidth=1.0, ms=4, **SOLID)

    def legend(self) -> list[Line2D]:
        return []

    @property
    def caption(self) -> str:
        return (
            "Loss on held-out text of the target of the pretrained rung, minus that of the same "
            "rung from scratch after as many tokens, paired by seed. Below zero pretraining has "
            "helped, above it has cost (ossification). The axis is linear between -0.03 and 0.03, "
            f"logarithmic beyond. {self.seeds}. Error bars: 95 % intervals over seeds."
        )
