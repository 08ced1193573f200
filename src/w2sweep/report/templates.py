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
    return pages.get_template(template).render(figures=inlined(drawings), **fields)


def inlined(drawings: Sequence[Drawing], group: str = "") -> list[tuple[Drawing, Markup]]:
    """Each figure with its SVG element. `group` tells figures of one name on a page apart."""
    return [(drawing, _inline(drawing, f"{group}{drawing.svg.stem}")) for drawing in drawings]


def _inline(drawing: Drawing, own: str) -> Markup:
    """The SVG element alone. Its ids begin with `own`, for the page shares all ids."""
    svg = drawing.svg.read_text(encoding="utf-8")
    element = svg[svg.index("<svg") :]
    named = re.sub(r'\b(id="|href="#|url\(#)', rf"\1{own}-", element)
    return Markup(re.sub("<metadata>.*?</metadata>", "", named, flags=re.DOTALL))
