"""The atlas's figures: the ladder's losses, and what its rungs know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from w2sweep.analyses.heldout_losses import HeldOutLosses
from w2sweep.analyses.knowledge import UNTRAINED, Bin
from w2sweep.analyses.power_law import Scaling
from w2sweep.report.drawing import Drawing
from w2sweep.report.figures.captions import counted
from w2sweep.report.figures.saving import save, styled
from w2sweep.report.figures.style import FAINT, INK
from w2sweep.results.intervals import Estimate
from w2sweep.results.metrics import mean_share

AXES = {
    "parameters": "parameters without embeddings",
    "compute": "pretraining compute (FLOPs, 6 · parameters · tokens)",
}
SIZE = (8.6, 3.5)
"""Width and height in inches."""
LOW_FLOOR = 0.6
"""A floor below this share of the lowest loss is not drawn: it is too far off."""


def draw_losses(losses: HeldOutLosses, laws: Mapping[str, Scaling | None], folder: Path) -> Drawing:
    """Draws held-out loss against parameters and against compute, with the power law where there
    is one. `laws`: axis -> law."""
    with styled():
        fig = Figure(figsize=SIZE, layout="constrained")
        for ax, axis in zip(fig.subplots(1, 2, sharey=True), AXES, strict=True):
            _losses(ax, losses, axis, laws[axis])
        fig.axes[0].set_ylabel("held-out loss (nats a token)")
        caption = _caption_of_losses(losses, laws)
        return save(fig, folder / "losses", "Held-out loss along the ladder", caption)


def _caption_of_losses(losses: HeldOutLosses, laws: Mapping[str, Scaling | None]) -> str:
    several = len(losses.seeds) > 1
    spread = ": faint points; beside them mean and standard deviation" if several else ""
    return (
        f"Cross-entropy on text that was held out, {counted([len(losses.seeds)], 'seed')}{spread}. "
        "Dashed: the power law L = E + a x^-b, E >= 0, least squares; dotted: its floor E. "
        f"{' '.join(_verdict(axis, law) for axis, law in laws.items())}"
    )


def _verdict(axis: str, law: Scaling | None) -> str:
    return f"Against {axis}: {'too few rungs for a fit' if law is None else law.verdict}."


def _losses(ax: Axes, losses: HeldOutLosses, axis: str, scaling: Scaling | None) -> None:
    x = getattr(losses, axis)
    ax.set(xscale="log", yscale="log", xlabel=AXES[axis], xlim=(x.min() / 2.2, x.max() * 2.2))
    floor = _visible_floor(losses, scaling)
    if scaling:
        _law(ax, scaling, floor)
    _rungs(ax, losses, x)
    lowest = losses.loss.min() if floor is None else min(losses.loss.min(), floor)
    ax.set_ylim(lowest / 1.03, losses.loss.max() * 1.06)
    _format(ax, axis)


def _visible_floor(losses: HeldOutLosses, scaling: Scaling | None) -> float | None:
    if scaling is None or scaling.law.floor <= LOW_FLOOR * losses.mean.min():
        return None
    return scaling.law.floor


def _law(ax: Axes, scaling: Scaling, floor: float | None) -> None:
    law, line = scaling.law, np.geomspace(*ax.get_xlim(), 200)
    ax.plot(line, law(line), color=FAINT, ls="--", lw=1.2, zorder=1)
    if floor is not None:
        ax.axhline(floor, color=FAINT, ls=":", lw=1.2, zorder=1)
    says = f"E = {law.floor:.2f},  b = {law.exponent:.2f},  R² = {scaling.r2:.3f}"
    ax.text(0.97, 0.95, says, transform=ax.transAxes, ha="right", va="top", fontsize=8.5)


def _rungs(ax: Axes, losses: HeldOutLosses, x: np.ndarray) -> None:
    """Draws a point for each rung at its place `x` [R], and beside it the seeds behind it."""
    mean, spread, colors = losses.mean, losses.spread, shades(len(losses.rungs))
    for r, (rung, color) in enumerate(zip(losses.rungs, colors, strict=True)):
        if spread is not None:
            beside = np.full(len(losses.seeds), 0.8 * x[r])
            ax.plot(beside, losses.loss[r], "o", color=color, alpha=0.35, ms=3.5, mew=0)
        bars = None if spread is None else spread[r]
        ax.errorbar(x[r], mean[r], bars, fmt="o", color=color, ms=6)
        beside = {"xytext": (6, 6), "textcoords": "offset points"}
        ax.annotate(rung, (x[r], mean[r]), fontsize=8.5, color=INK, **beside)


def _format(ax: Axes, axis: str) -> None:
    """Formats the ticks: few of them, without the powers that logarithmic axes have."""
    form = "{:,.0f}" if axis == "parameters" else "{:.0e}"
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: form.format(x)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))


def draw_knowledge(bins: Sequence[Bin], titles: Mapping[str, str], folder: Path) -> Drawing:
    """Draws the accuracy of the probe against a word's rank, a line a rung.

    Args:
        bins: of all rungs and seeds.
        titles: kind of words -> what is asked of it.
        folder: where the files go.
    """
    looks = _looks([b.rung for b in bins if b.rung != UNTRAINED])
    with styled():
        fig = Figure(figsize=SIZE, layout="constrained")
        panels = fig.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        for ax, (kind, title) in zip(panels, titles.items(), strict=True):
            _known(ax, [b for b in bins if b.kind == kind], looks)
            ax.set_title(title)
        fig.axes[0].set_ylabel("accuracy of a linear probe (%)")
        _rung_legend(fig)
        caption = _caption_of_knowledge(len({b.seed for b in bins}))
        return save(fig, folder / "knowledge", "What each rung knows", caption)


def _looks(rungs: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Rung -> how its line looks: the darker the stronger, and dashed the one that has read
    nothing."""
    distinct = dict.fromkeys(rungs)
    colors = zip(distinct, shades(len(distinct)), strict=True)
    untrained = {UNTRAINED: {"color": FAINT, "ls": "--"}}
    return {rung: {"color": color} for rung, color in colors} | untrained


def _rung_legend(fig: Figure) -> None:
    """At the right, the strongest rung on top and the untrained one at the bottom."""
    handles, names = fig.axes[0].get_legend_handles_labels()
    *rungs, untrained = zip(handles, names, strict=True)
    handles, names = zip(*reversed(rungs), untrained, strict=True)
    fig.legend(handles, names, loc="outside right center")


def _caption_of_knowledge(seeds: int) -> str:
    over = "seeds and words" if seeds > 1 else "words only"
    return (
        "How often a linear probe on the frozen model's hidden state tells a word's meaning, by "
        "how frequent the word is: fitted to words of other clusters than the one asked about. "
        f"{counted([seeds], 'seed').capitalize()}; error bars: ± one standard error over {over}. "
        "Dashed: the strongest rung before it read anything."
    )


def _known(ax: Axes, bins: Sequence[Bin], looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Draws what the rungs know of one kind of words."""
    ax.axhline(50, color=FAINT, lw=0.8, zorder=1)
    for r, (rung, look) in enumerate(looks.items()):
        beside = 1.04 ** (r - (len(looks) - 1) / 2)  # each other, not over each other
        _line(ax, [b for b in bins if b.rung == rung], beside, label=rung, **look)
    _ranks(ax, bins)


def _line(ax: Axes, bins: Sequence[Bin], beside: float, **look: Any) -> None:
    at: dict[float, list[Bin]] = defaultdict(list)
    for b in bins:
        at[beside * middle(b)].append(b)
    known = [_share_known(its) for its in at.values()]
    means = [100 * (share.value or 0.0) for share in known]
    errors = [100 * (share.se or 0.0) for share in known]
    ax.errorbar(list(at), means, errors, marker="o", ms=4, elinewidth=1, **look)


def _share_known(bins: Sequence[Bin]) -> Estimate:
    """Of the words of some bins, a bin a seed."""
    accuracies = [b.accuracy for b in bins]
    return mean_share(accuracies, [b.words for b in bins])


def _ranks(ax: Axes, bins: Sequence[Bin]) -> None:
    names = {middle(b): f"{b.first}–{b.last}" for b in bins}
    turned = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"}
    ax.set(xscale="log", xlabel="rank of the word by frequency", ylim=(34, 103))
    ax.set_xticks(list(names), list(names.values()), **turned)
    ax.xaxis.set_minor_locator(NullLocator())


def middle(b: Bin) -> float:
    """Where a bin is on a logarithmic axis; the first begins at rank 1, and would be far off."""
    return float(np.sqrt(max(b.first, b.last / 2) * b.last))


def shades(n: int) -> list[tuple[float, float, float, float]]:
    """Colours from the weakest rung to the strongest, (red, green, blue, alpha) each."""
    return [colormaps["viridis"](x) for x in np.linspace(0.9, 0.05, n)]
