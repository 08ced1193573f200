"""What captions say of the sample behind a figure."""

from __future__ import annotations

from collections.abc import Sequence

from w2sweep.report.summary import SummaryRow
from w2sweep.report.table import over


def sample(rows: Sequence[SummaryRow]) -> str:
    """How many seeds and test examples stand behind each point."""
    seeds = counted([r.seeds for r in rows], "seed")
    return f"{seeds}, {counted([r.n_test for r in rows], 'test example')} each"


def errors(rows: Sequence[SummaryRow]) -> str:
    """What the error bars of accuracies are."""
    return f"Error bars: ± one standard error {over(r.seeds for r in rows)}"


def chance(rows: Sequence[SummaryRow]) -> str:
    """What the line of guessing is, where there is one."""
    return " Dotted: chance." if any(r.chance is not None for r in rows) else ""


def counted(counts: Sequence[int], what: str) -> str:
    """`3 seeds`, or `1 to 3 seeds`."""
    low, high = min(counts), max(counts)
    return f"{low} {what}{'s' * (low != 1)}" if low == high else f"{low} to {high} {what}s"
