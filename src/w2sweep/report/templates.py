"""Pages that need no network: the templates beside this file, filled in, with figures inside."""

from __future__ import annotations

import re
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from w2sweep.report.drawing import Drawing


def render(template: str, drawings: Sequence[Drawing], **fields: object) -> str:
    """A page's HTML: a template that extends `base.html`, with `figures` and further fields."""
    pages = Environment(
        loader=PackageLoader("w2sweep.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    figures = [(drawing, _inline(drawing)) for drawing in drawings]
    return pages.get_template(template).render(figures=figures, **fields)


def _inline(drawing: Drawing) -> Markup:
    """The SVG element alone. Its ids begin with the figure's name, for the page shares all ids."""
    svg = drawing.svg.read_text(encoding="utf-8")
    element = svg[svg.index("<svg") :]
    named = re.sub(r'\b(id="|href="#|url\(#)', rf"\1{drawing.svg.stem}-", element)
    return Markup(re.sub("<metadata>.*?</metadata>", "", named, flags=re.DOTALL))
