"""The least loss on the target text for so much compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from w2sweep.report.figures.style import COLORS, INK
from w2sweep.report.figures.transfer_plot import TransferPlot, average, both
from w2sweep.report.heldout import HeldOut
from w2sweep.report.transfer import Gain, MixtureLaw

SCRATCH = COLORS[1]
"""Of the frontier of models from scratch."""


class TransferFrontier(TransferPlot):
    """Loss against compute: what is the least loss for so much of it?"""

    name = "transfer_frontier"
    order = 4
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
        self._frontier(ax, scratch, color=SCRATCH, ls="--")
        for rung, of in self.by_rung(read).items():
            for models, style in both(of):
                points = [(6.0 * m.size * m.tokens, average(m.losses)) for m in models]
                x, y = np.array(points).T
                marked = {**style, "ls": ""}
                ax.plot(x, y, ms=4, alpha=0.8, color=self.color(rung), **marked)
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
        ax.xaxis.set_major_formatter(FuncFormatter(_power))

    def _frontier(self, ax: Axes, models: Sequence[tuple[HeldOut, int]], **style: Any) -> None:
        """The least loss that is reached with so much compute or less."""
        points = sorted((6.0 * m.size * tokens, average(m.losses)) for m, tokens in models)
        compute, loss = np.array(points).T
        ax.step(compute, np.minimum.accumulate(loss), where="post", lw=1.3, **style)

    def legend(self) -> list[Line2D]:
        return [
            *super().legend(),
            Line2D([], [], color=INK, label="frontier, pretrained"),
            Line2D([], [], color=INK, ls=":", label="same, with pretraining's compute"),
            Line2D([], [], color=SCRATCH, ls="--", label="frontier, from scratch"),
        ]

    @property
    def caption(self) -> str:
        return (
            "Loss on the target against the compute of training on it; lines: the least loss for "
            "so much compute or less, over all rungs. Dotted: with the compute of pretraining "
            f"counted too. Means over {self.seeds}."
        )


def _power(x: float, _: int | None = None) -> str:
    """A power of ten: 1e9."""
    return f"{x:.0e}".replace("e+0", "e").replace("e+", "e")
