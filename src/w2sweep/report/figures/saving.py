"""Figures become files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from w2sweep.report.drawing import Drawing
from w2sweep.report.figures.style import STYLE

DPI = 160
"""Of PNGs."""


@contextmanager
def styled() -> Iterator[None]:
    """What is drawn inside looks the same for everybody: nobody's matplotlibrc has a say."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def save(fig: Figure, path: Path, title: str, caption: str) -> Drawing:
    """Writes `path` with the endings .png and .svg: the same bytes for the same numbers.

    `Figure.savefig` would draw each twice, to know first how much room everything takes. Here the
    layout is found once, for the PNG, as its drawing begins.
    """
    # By hand, for what stands behind the last dot of a name may be no ending.
    png, svg = path.with_name(f"{path.name}.png"), path.with_name(f"{path.name}.svg")
    fig.set_dpi(DPI)
    FigureCanvasAgg(fig).print_png(png, metadata={"Software": None})
    fig.set_layout_engine("none")  # it is laid out by now
    with mpl.rc_context({"svg.hashsalt": path.name}):
        FigureCanvasSVG(fig).print_svg(svg, metadata={"Date": None, "Title": title})
    return Drawing(title, caption, png, svg, fig.get_figwidth())
