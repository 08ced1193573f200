"""The atlas's figures: the ladder's losses, and what its rungs know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from w2sweep.analyses.knowledge import UNTRAINED, Bin
from w2sweep.analyses.power_law import Losses, Scaling
from w2sweep.report.figures import STYLE, Drawing
from w2sweep.results.metrics import standard_error

AXES = {
    "parameters": "parameters without embeddings",
    "compute": "pretraining compute (FLOPs, 6 · parameters · tokens)",
}
INK, FAINT = STYLE["text.color"], STYLE["axes.edgecolor"]


def draw_losses(losses: Losses, laws: Mapping[str, Scaling | None], folder: Path) -> Drawing:
    """Held-out loss against parameters and against compute, with the power law where there is one."""
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(8.6, 3.5), layout="constrained")
        for ax, axis in zip(fig.subplots(1, 2, sharey=True), AXES, strict=True):
            _losses(ax, losses, axis, laws[axis])
        fig.axes[0].set_ylabel("held-out loss (nats a token)")
        verdicts = [
            f"Against {a}: {'too few rungs for a fit' if s is None else s.verdict}."
            for a, s in laws.items()
        ]
        several = len(losses.seeds) > 1
        caption = (
            f"Cross-entropy on text that was held out, {_seeds(len(losses.seeds))}"
            f"{': faint points; beside them mean and standard deviation' if several else ''}. Dashed: the power law "
            f"L = E + a x^-b, E >= 0, least squares; dotted: its floor E. {' '.join(verdicts)}"
        )
        return _save(fig, folder / "losses", "Held-out loss along the ladder", caption)


def _losses(ax: Axes, losses: Losses, axis: str, scaling: Scaling | None) -> None:
    x, mean, colors = getattr(losses, axis), losses.mean, shades(len(losses.rungs))
    ax.set(xscale="log", yscale="log", xlabel=AXES[axis], xlim=(x.min() / 2.2, x.max() * 2.2))
    if scaling:
        line = np.geomspace(*ax.get_xlim(), 200)
        ax.plot(line, scaling.law(line), color=FAINT, ls="--", lw=1.2, zorder=1)
        if scaling.law.floor > 0.6 * mean.min():
            ax.axhline(scaling.law.floor, color=FAINT, ls=":", lw=1.2, zorder=1)
        says = (
            f"E = {scaling.law.floor:.2f},  b = {scaling.law.exponent:.2f},  R² = {scaling.r2:.3f}"
        )
        ax.text(0.97, 0.95, says, transform=ax.transAxes, ha="right", va="top", fontsize=8.5)
    for r, rung in enumerate(losses.rungs):
        if losses.spread is not None:
            beside = np.full(len(losses.seeds), 0.8 * x[r])
            ax.plot(beside, losses.loss[r], "o", color=colors[r], alpha=0.35, ms=3.5, mew=0)
        ax.errorbar(
            x[r],
            mean[r],
            None if losses.spread is None else losses.spread[r],
            fmt="o",
            color=colors[r],
            ms=6,
        )
        ax.annotate(
            rung, (x[r], mean[r]), (6, 6), textcoords="offset points", fontsize=8.5, color=INK
        )
    low, high = losses.loss.min(), losses.loss.max()
    floor = scaling.law.floor if scaling and scaling.law.floor > 0.6 * mean.min() else low
    ax.set_ylim(min(low, floor) / 1.03, high * 1.06)
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: f"{x:,.0f}" if axis == "parameters" else f"{x:.0e}")
    )
    ax.xaxis.set_minor_locator(NullLocator())


def draw_knowledge(bins: Sequence[Bin], titles: Mapping[str, str], folder: Path) -> Drawing:
    """Accuracy of the probe against a word's rank, a line a rung. `titles`: kind of words -> what is asked of it."""
    rungs = [r for r in dict.fromkeys(b.rung for b in bins) if r != UNTRAINED]
    looks: dict[str, dict[str, Any]] = {
        r: {"color": c} for r, c in zip(rungs, shades(len(rungs)), strict=True)
    }
    looks[UNTRAINED] = {"color": FAINT, "ls": "--"}
    with mpl.rc_context(STYLE):
        fig = Figure(figsize=(8.6, 3.5), layout="constrained")
        for ax, (kind, title) in zip(
            fig.subplots(1, len(titles), sharey=True), titles.items(), strict=True
        ):
            ax.axhline(50, color=FAINT, lw=0.8, zorder=1)
            for r, (rung, look) in enumerate(looks.items()):
                beside = 1.04 ** (r - len(rungs) / 2)  # each other, not over each other
                _line(
                    ax,
                    [b for b in bins if (b.kind, b.rung) == (kind, rung)],
                    beside,
                    label=rung,
                    **look,
                )
            _ranks(ax, [b for b in bins if b.kind == kind])
            ax.set_title(title)
        fig.axes[0].set_ylabel("accuracy of a linear probe (%)")
        handles = fig.axes[0].get_legend_handles_labels()
        fig.legend(handles[0][-2::-1] + handles[0][-1:], handles[1][-2::-1] + handles[1][-1:],
                   loc="outside right center")  # fmt: skip
        seeds = len({b.seed for b in bins})
        caption = (
            "How often a linear probe on the frozen model's hidden state tells a word's meaning, by how frequent the "
            "word is: fitted to words of other clusters than the one asked about. "
            f"{_seeds(seeds).capitalize()}"
            f"{'; error bars: ± one standard error over them' if seeds > 1 else ': no error bars'}. "
            "Dashed: the strongest rung before it read anything."
        )
        return _save(fig, folder / "knowledge", "What each rung knows", caption)


def _line(ax: Axes, bins: Sequence[Bin], beside: float, **look: Any) -> None:
    at: dict[float, list[float]] = {}
    for b in bins:
        at.setdefault(beside * middle(b), []).append(100 * b.accuracy)
    errors = [standard_error(values) or 0.0 for values in at.values()]
    bars = errors if any(errors) else None
    ax.errorbar(
        list(at), [np.mean(v) for v in at.values()], bars, marker="o", ms=4, elinewidth=1, **look
    )


def _ranks(ax: Axes, bins: Sequence[Bin]) -> None:
    names = {middle(b): f"{b.first}–{b.last}" for b in bins}
    ax.set(xscale="log", xlabel="rank of the word by frequency", ylim=(34, 103))
    ax.set_xticks(
        list(names), list(names.values()), rotation=25, ha="right", rotation_mode="anchor"
    )
    ax.xaxis.set_minor_locator(NullLocator())


def middle(b: Bin) -> float:
    """Where a bin is on a logarithmic axis; the first begins at rank 1, and would be far off."""
    return float(np.sqrt(max(b.first, b.last / 2) * b.last))


def shades(n: int) -> list[tuple[float, float, float, float]]:
    """From the weakest rung to the strongest."""
    return [colormaps["viridis"](x) for x in np.linspace(0.9, 0.05, n)]


def _seeds(n: int) -> str:
    return f"{n} seed{'s' * (n != 1)}"


def _save(fig: Figure, path: Path, title: str, caption: str) -> Drawing:
    """The same bytes for the same numbers."""
    png, svg = path.with_suffix(".png"), path.with_suffix(".svg")
    fig.savefig(png, dpi=160, metadata={"Software": None})
    with mpl.rc_context({"svg.hashsalt": path.name}):
        fig.savefig(svg, metadata={"Date": None, "Title": title})
    return Drawing(title, caption, png, svg, fig.get_figwidth())
