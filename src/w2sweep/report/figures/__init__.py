"""Figures like the paper's, as PNG and as SVG, drawn from the rows of a summary.

Each kind of figure is a class in a file of this folder, and there is no list of them: a new one is
a new file. A class of a user's own is drawn too, once its module is imported.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from w2sweep.report.drawing import Drawing
from w2sweep.report.figures.plot import Ladders, Plot
from w2sweep.report.figures.saving import styled
from w2sweep.report.summary import SummaryRow


def draw(
    rows: Sequence[SummaryRow],
    ladders: Ladders,
    folder: Path,
    only: Sequence[str] | None = None,
) -> list[Drawing]:
    """Draws into `folder` all figures that have something to show about the rows; `only` those of
    these names, where names are given."""
    asked = [kind for kind in kinds() if only is None or kind.name in only]
    plots = filter(None, (kind.of(rows, ladders) for kind in asked))
    with styled():
        return [drawing for plot in plots for drawing in plot.draw(folder)]


def kinds() -> list[type[Plot]]:
    """All kinds of figures, in the order in which a page shows them."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    concrete = [kind for kind in _descendants(Plot) if not inspect.isabstract(kind)]
    return sorted(dict.fromkeys(concrete), key=lambda kind: (kind.order, kind.name))


def _descendants(kind: type[Plot]) -> Iterator[type[Plot]]:
    for child in kind.__subclasses__():
        yield child
        yield from _descendants(child)
