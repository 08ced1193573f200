"""Where rungs and values lie on the x axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log
from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from w2sweep.report.figures.panels import PANEL
from w2sweep.results.cell import RungFacts

Scale = Literal["linear", "log"]
CROWDED = 0.08
"""Numbers nearer than this share of the axis are spread evenly instead."""
LETTER = 5.2
"""Width of a letter of a tick's name on average, in points."""


def compute_axis(
    ax: Axes, ladder: Mapping[str, RungFacts], shown: Sequence[str]
) -> dict[str, float]:
    """Sets up an axis of pretraining compute; returns where each rung of the ladder lies on it.

    That is its share of the largest rung's compute, on a logarithmic scale; where a rung has no
    compute, they follow each other at the same distance.
    """
    compute = {name: rung.compute for name, rung in ladder.items()}
    known = min(compute.values()) > 0
    x = _relative(compute) if known else {name: 10.0**i for i, name in enumerate(ladder)}
    names = [_with_share(name, x[name]) for name in shown] if known else list(shown)
    at = [x[name] for name in shown]
    limits(ax, "log", at)
    ax.set_xticks(at, names)
    ax.minorticks_off()
    turn_if_crowded(ax, at, shown)
    return x


def _relative(compute: Mapping[str, float]) -> dict[str, float]:
    largest = max(compute.values())
    return {name: c / largest for name, c in compute.items()}


def _with_share(name: str, share: float) -> str:
    return f"{name}\n{share:.2g}".replace("e-0", "e-")


def value_axis(ax: Axes, values: Sequence[str]) -> dict[str, float]:
    """Sets up an axis of the values of an override; returns where each of them lies on it.

    Numbers lie on the scale, linear or logarithmic, on which they are spread the more evenly; where
    some would touch all the same (0, .03, .1, .3, 1), and for names, the values follow each other
    at the same distance.
    """
    scale, x = placed(values)
    at = list(x.values())
    limits(ax, scale, at)
    ax.set_xticks(at, list(x))
    ax.minorticks_off()
    turn_if_crowded(ax, at, list(x))
    return x


def placed(values: Sequence[str]) -> tuple[Scale, dict[str, float]]:
    """The scale, and each value's place on it."""
    x = numbers(values)
    if x is None:
        return "linear", _in_line(values)
    ascending = sorted(x, key=x.__getitem__)
    scale, even = _most_even([x[v] for v in ascending])
    return (scale, x) if even >= CROWDED else ("linear", _in_line(ascending))


def _in_line(values: Sequence[str]) -> dict[str, float]:
    return {v: float(i) for i, v in enumerate(values)}


def _most_even(ascending: Sequence[float]) -> tuple[Scale, float]:
    """The scale on which the numbers are spread the more evenly, and how evenly that is."""
    linear = evenness(ascending)
    logarithmic = evenness([log(v) for v in ascending]) if ascending[0] > 0 else 0.0
    return ("log", logarithmic) if logarithmic > linear else ("linear", linear)


def numbers(values: Sequence[str]) -> dict[str, float] | None:
    """The values as numbers; None where one is no number, or two are the same."""
    try:
        x = {v: float(v) for v in values}
    except ValueError:
        return None
    return x if len(set(x.values())) == len(x) else None


def evenness(x: Sequence[float]) -> float:
    """The narrowest gap of ascending numbers, as a share of their range."""
    return min(b - a for a, b in pairwise(x)) / (x[-1] - x[0])


def limits(ax: Axes, scale: Scale, x: Sequence[float]) -> None:
    """Sets the scale, and limits with 8 % on both sides, or a third of a step where those are
    wide."""
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
    shares = (ax.transScale + ax.transLimits).transform([(at, 1.0) for at in x])[:, 0]
    at = 72 * 0.85 * PANEL[0] * shares  # in points, of which the panel has so many
    half = np.array([LETTER * len(name) / 2 + 2 for name in names])
    order = np.argsort(at)
    lefts, rights = (at - half)[order], (at + half)[order]
    return bool((rights[:-1] > lefts[1:]).any())
