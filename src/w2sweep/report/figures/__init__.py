"""The only plotting: rows -> figures like the paper's, as PNG and as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

from w2sweep.report.figures.grid import HeatMap
from w2sweep.report.figures.knob import Knob, turned
from w2sweep.report.figures.plot import COLORS, FAINT, INK, STYLE, Drawing, Plot
from w2sweep.report.figures.scaling import Accuracy, Recovery
from w2sweep.report.summary import SummaryRow
from w2sweep.results.sweep_folder import RungFacts

__all__ = ["FAINT", "INK", "STYLE", "Drawing", "draw"]


def draw(
    rows: Sequence[SummaryRow], ladders: Mapping[str, Mapping[str, RungFacts]], folder: Path
) -> list[Drawing]:
    """Draws all figures that the rows are enough for. `ladders`: name -> rungs, weakest first."""
    with mpl.rc_context(STYLE):
        return [drawing for plot in plots(rows, ladders) for drawing in plot.draw(folder)]


def plots(rows: Sequence[SummaryRow], ladders: Mapping[str, Mapping[str, RungFacts]]) -> list[Plot]:
    """What is turned has a figure of its own, the first.

    To the figures over size each value of an override is another method: there they stay only where students differ in
    size, so that there is something to see, and where each has a colour of its own, so that it can be seen.
    """
    over_size = [Accuracy(rows, ladders), Recovery(rows, ladders), HeatMap(rows, ladders)]
    knob = turned(rows, ladders)
    if knob is None:
        return over_size
    one_size, crowd = len({r.strong for r in rows}) == 1, len(over_size[0].methods) > len(COLORS)
    overridden = len({r.variant for r in rows}) > 1
    return [Knob(rows, ladders, knob), *([] if overridden and (one_size or crowd) else over_size)]
