"""What captions say of the sample behind a figure."""

from __future__ import annotations

from collections.abc import Sequence

from w2sweep.report.summary import SummaryRow


def sample(rows: Sequence[SummaryRow]) -> str:
    """How many seeds and test examples stand behind each point."""
    seeds = counted([r.seeds for r in rows], "seed")
    return f"{seeds}, {counted([r.n_test for r in rows], 'test example')} each"


def errors(rows: Sequence[SummaryRow]) -> str:
    """What the error bars of accuracies are."""
    several = any(r.seeds > 1 for r in rows)
    return "Error bars: ± one standard error over seeds" if several else "One seed: no error bars"


def few_seeds(rows: Sequence[SummaryRow]) -> str:
    """What is wrong with intervals over so few seeds."""
    fewest = min(r.seeds for r in rows)
    if fewest == 1:
        return " (over test examples alone where there is one seed)"
    return f" (too narrow with only {fewest} seeds)" if fewest < 5 else ""


def counted(counts: Sequence[int], what: str) -> str:
    """`3 seeds`, or `1 to 3 seeds`."""
    low, high = min(counts), max(counts)
    return f"{low} {what}{'s' * (low != 1)}" if low == high else f"{low} to {high} {what}s"
