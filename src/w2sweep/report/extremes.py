"""The rows of each ladder's weakest supervisor, and of its strongest student."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from w2sweep.report.summary import SummaryRow

Compute = Callable[[SummaryRow], float]


def of_weakest(rows: Sequence[SummaryRow]) -> list[SummaryRow]:
    """The rows of each task's and ladder's weakest supervisor."""
    return _at(min, lambda row: row.weak_compute, rows)


def of_strongest(rows: Sequence[SummaryRow]) -> list[SummaryRow]:
    """The rows of each task's and ladder's strongest student."""
    return _at(max, lambda row: row.strong_compute, rows)


def _at(
    end: Callable[[list[float]], float], compute: Compute, rows: Sequence[SummaryRow]
) -> list[SummaryRow]:
    """The rows whose compute is the least, or the most, on their task and ladder."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        found[row.task, row.ladder].append(compute(row))
    ends = {at: end(computes) for at, computes in found.items()}
    return [row for row in rows if compute(row) == ends[row.task, row.ladder]]
