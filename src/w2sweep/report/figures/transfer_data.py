"""Effective data transferred, with the fitted law."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from w2sweep.report.figures.style import FAINT
from w2sweep.report.figures.transfer_plot import ROUND, TransferPlot
from w2sweep.report.transfer import Gain, MixtureLaw
from w2sweep.results.intervals import Estimate


class DataTransferred(TransferPlot):
    """Effective data transferred, with the fitted law."""

    name = "transfer_data"
    order = 3
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
        self.token_axis(ax, gains)
        ax.yaxis.set_major_formatter(ROUND)
        ax.yaxis.set_minor_formatter(NullFormatter())

    def _name(self, law: MixtureLaw) -> str:
        return f"{super()._name(law)}\n{_law_text(law)}"

    def legend(self) -> list[Line2D]:
        seed = Line2D([], [], color=FAINT, ls="", marker="o", ms=4, label="a seed")
        return [seed, Line2D([], [], color=FAINT, label="fitted law")]

    @property
    def caption(self) -> str:
        return (
            "How many more tokens of the target the same rung needs from scratch to reach the loss "
            "of the pretrained one, interpolated between the numbers that were tried; and the law "
            "D_T = k D_F^alpha N^beta (Hernandez et al. 2021), fitted to each seed by itself, with "
            "95 % intervals over seeds (of one seed: over its points). Left out are points beyond "
            "the numbers tried, and those where pretraining has cost; the table below counts them. "
            f"{self.seeds}."
        )


def _law_text(of: MixtureLaw) -> str:
    """The exponents, where there are enough points."""
    if of.law is None:
        return "too few points for a law"
    return "\n".join(f"{name} {_interval(getattr(of.law, name))}" for name in ("alpha", "beta"))


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
