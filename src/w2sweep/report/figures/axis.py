"""Where things lie on the x axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log
from typing import Literal

from matplotlib.axes import Axes

from w2sweep.report.figures.plot import PANEL
from w2sweep.results.sweep_folder import RungFacts

CROWDED = 0.08
"""Numbers nearer than this share of the axis are spread evenly instead."""


def compute_axis(
    ax: Axes, ladder: Mapping[str, RungFacts], shown: Sequence[str]
) -> dict[str, float]:
    """Where each rung lies: log of the pretraining compute over the largest's, or 1, 2, ... where one has none."""
    compute = {name: rung.compute for name, rung in ladder.items()}
    if min(compute.values()) > 0:
        x = {name: c / max(compute.values()) for name, c in compute.items()}
        names = [f"{name}\n{x[name]:.2g}".replace("e-0", "e-") for name in shown]
    else:
        x = {name: 10.0**i for i, name in enumerate(ladder)}
        names = list(shown)
    at = [x[name] for name in shown]
    span(ax, "log", at)
    ax.set_xticks(at, names)
    ax.minorticks_off()
    turn_if_crowded(ax, at, shown)
    return x


def value_axis(ax: Axes, values: Sequence[str]) -> dict[str, float]:
    """Where each value of an override lies.

    Numbers lie on the scale, linear or logarithmic, on which they are spread the more evenly; where some would touch
    all the same (0, .03, .1, .3, 1), and for names, the values follow each other at the same distance.
    """
    scale, x = placed(values)
    at = list(x.values())
    span(ax, scale, at)
    ax.set_xticks(at, list(x))
    ax.minorticks_off()
    turn_if_crowded(ax, at, list(x))
    return x


def placed(values: Sequence[str]) -> tuple[Literal["linear", "log"], dict[str, float]]:
    """The scale, and each value's place on it."""
    in_order = {v: float(i) for i, v in enumerate(values)}
    x = numbers(values)
    if x is None:
        return "linear", in_order
    ascending = sorted(x.values())
    scales = {"linear": evenness(ascending)}
    if ascending[0] > 0:
        scales["log"] = evenness([log(v) for v in ascending])
    best: Literal["linear", "log"] = "log" if scales.get("log", 0) > scales["linear"] else "linear"
    if scales[best] < CROWDED:
        return "linear", {v: float(i) for i, v in enumerate(sorted(x, key=x.__getitem__))}
    return best, x


def numbers(values: Sequence[str]) -> dict[str, float] | None:
    """None where one is no number, or two are the same."""
    try:
        x = {v: float(v) for v in values}
    except ValueError:
        return None
    return x if len(set(x.values())) == len(x) else None


def evenness(x: Sequence[float]) -> float:
    """The narrowest gap of ascending numbers, as a share of their range."""
    return min(b - a for a, b in pairwise(x)) / (x[-1] - x[0])


def span(ax: Axes, scale: Literal["linear", "log"], x: Sequence[float]) -> None:
    """Sets scale and limits, with 8 % on both sides, or a third of a step where steps are wide."""
    ax.set_xscale(scale)
    low, high = min(x), max(x)
    if scale == "log":
        side = (high / low) ** 0.08 if len(x) > 1 else 2
        ax.set_xlim(low / side, high * side)
    else:
        side = (high - low) * max(0.08, 0.3 / (len(x) - 1))
        ax.set_xlim(low - side, high + side)


def shifted(ax: Axes, x: float, share: float) -> float:
    """`x` moved to the right by a share of the axis."""
    low, high = ax.get_xlim()
    return x * (high / low) ** share if ax.get_xscale() == "log" else x + (high - low) * share


def turn_if_crowded(ax: Axes, x: Sequence[float], names: Sequence[str]) -> None:
    """Turns the names of the ticks where they would touch each other side by side."""
    if crowded(ax, x, names):
        ax.set_xticks(x, names, rotation=35, ha="right", rotation_mode="anchor")


def crowded(ax: Axes, x: Sequence[float], names: Sequence[str]) -> bool:
    """Whether the names would touch each other if they were written side by side."""
    width, letter = 72 * 0.85 * PANEL[0], 5.2  # of the panel, and of a letter on average, in points
    shares = (ax.transScale + ax.transLimits).transform([(at, 1.0) for at in x])[:, 0]
    ends = [
        (width * at, letter * len(name) / 2 + 2)
        for at, name in sorted(zip(shares, names, strict=True))
    ]
    return any(a + half_a > b - half_b for (a, half_a), (b, half_b) in pairwise(ends))
