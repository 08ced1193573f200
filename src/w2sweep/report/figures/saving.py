"""Figures become files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from w2sweep.report.drawing import Drawing
from w2sweep.report.figures.style import STYLE


@contextmanager
def styled() -> Iterator[None]:
    """What is drawn inside looks the same for everybody: nobody's matplotlibrc has a say."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def save(fig: Figure, path: Path, title: str, caption: str) -> Drawing:
    """Writes `path` with the endings .png and .svg: the same bytes for the same numbers."""
    # By hand, for what stands behind the last dot of a name may be no ending.
    png, svg = path.with_name(f"{path.name}.png"), path.with_name(f"{path.name}.svg")
    fig.savefig(png, dpi=160, metadata={"Software": None})
    fig.set_layout_engine("none")  # it is laid out by now; doing so again takes half of the time
    with mpl.rc_context({"svg.hashsalt": path.name}):
        fig.savefig(svg, metadata={"Date": None, "Title": title})
    return Drawing(title, caption, png, svg, fig.get_figwidth())
