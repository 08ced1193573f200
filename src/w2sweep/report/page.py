"""One page with everything on it: it needs no network, and no script but for sorting its table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from w2sweep.report.climb import Climb
from w2sweep.report.summary import SummaryRow
from w2sweep.report.table import LEGEND, climb_tables, columns
from w2sweep.results.sweep_folder import Sweep

if TYPE_CHECKING:
    from w2sweep.report.figures import Drawing


def render(
    sweep: Sweep, rows: Sequence[SummaryRow], climbs: Sequence[Climb], drawings: Sequence[Drawing]
) -> str:
    """The page's HTML."""
    pages = Environment(
        loader=PackageLoader("w2sweep.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return pages.get_template("page.html").render(
        sweep=sweep,
        rows=rows,
        columns=columns(rows),
        legend=LEGEND,
        climbs=climb_tables(climbs, rows),
        figures=[(d, inline(d)) for d in drawings],
    )


def inline(drawing: Drawing) -> Markup:
    """The SVG element alone; its ids get the figure's name, for ids are shared by the whole page."""
    svg = drawing.svg.read_text(encoding="utf-8")
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\1{drawing.svg.stem}-", svg[svg.index("<svg") :])
    return Markup(re.sub("<metadata>.*?</metadata>", "", svg, flags=re.DOTALL))
