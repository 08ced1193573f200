"""Tables of a zoo on a page."""

from __future__ import annotations

from w2sweep.report.zoo import MethodStanding, Zoo
from w2sweep.results.intervals import Estimate

Table = tuple[list[str], list[list[str]]]
"""Headings, and lines of text under them."""


def zoo_table(found: Zoo) -> Table:
    """Headings, and a line for each method over all columns, naive first."""
    headings = ["method", "kind", "tasks", "over naive", "for all at once", "p (Holm)", "PGR"]
    headings += ["naive's PGR", "below supervisor", "steps", "compute"]
    return headings, [_line(of) for of in (found.naive, *found.overall)]


def column_table(found: Zoo) -> Table:
    """Headings, and a line for each method: its difference to naive in each column, with a star
    where it is told from none."""
    headings = ["method", *found.columns]
    lines = []
    for of in found.overall:
        cells = [found.single.get((of.method, column)) for column in found.columns]
        lines.append([of.called, *map(_single, cells)])
    return headings, lines


def _single(of: MethodStanding | None) -> str:
    if of is None or of.over_naive is None:
        return "–"
    mark = "*" if of.over_naive.told else ""
    return points(of.over_naive.estimate) + mark


def _line(of: MethodStanding) -> list[str]:
    over = of.over_naive
    of_all = "" if over is None else _interval(over.low_of_all, over.high_of_all)
    p = "" if over is None or over.p_holm is None else p_text(over.p_holm)
    below = f"{of.below} of {of.cells}"
    told = [points(over.estimate) if over else "", of_all, p]
    pgr = [ratio_text(of.pgr), ratio_text(of.naive_pgr)]
    return [of.called, of.kind, str(of.columns), *told, *pgr, below, *costs(of)]


def p_text(p: float) -> str:
    """A p-value to three decimals."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def costs(of: MethodStanding) -> list[str]:
    """Steps and FLOPs, as multiples of naive's."""
    ratios = (of.steps_ratio, of.flops_ratio)
    return ["–" if ratio is None else f"{ratio:.3g} ×" for ratio in ratios]


def points(found: Estimate) -> str:
    """A difference of accuracies in points, with its interval."""
    if found.value is None:
        return "–"
    return f"{100 * found.value:+.1f} {_interval(found.low, found.high)}".rstrip()


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{100 * low:+.1f}, {100 * high:+.1f}]"


def ratio_text(found: Estimate) -> str:
    """A PGR with its interval."""
    if found.value is None:
        return "undefined"
    if found.low is None:
        return f"{found.value:z.2f} [no clear gap]"
    return f"{found.value:z.2f} [{found.low:z.2f}, {found.high:z.2f}]"
