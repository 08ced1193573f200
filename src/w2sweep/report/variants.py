"""What to call a variant: the overrides that tell it from the others of its task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from w2sweep.report.summary import SummaryRow
from w2sweep.results.cell import Variant, overrides

Names = dict[tuple[str, Variant], str]
"""(task, variant) -> what it is called."""


def variant_text(variant: Variant) -> str:
    """A variant as it is typed: `key=value,key=value`."""
    return ",".join(overrides(dict(variant)))


def short_variants(rows: Iterable[SummaryRow]) -> Names:
    """What to call each variant: the overrides that not all variants of its task have."""
    own = own_overrides(rows)
    return {place: variant_text(tuple(told.items())) for place, told in own.items()}


def own_overrides(rows: Iterable[SummaryRow]) -> dict[tuple[str, Variant], dict[str, str]]:
    """(task, variant) -> the overrides that not all variants of the task have, key -> value."""
    found: dict[tuple[str, Variant], dict[str, str]] = {}
    for task, variants in _variants_by_task(rows).items():
        common = set.intersection(*map(set, variants))
        for variant in variants:
            found[task, variant] = dict(item for item in variant if item not in common)
    return found


def _variants_by_task(rows: Iterable[SummaryRow]) -> dict[str, set[Variant]]:
    found: dict[str, set[Variant]] = defaultdict(set)
    for row in rows:
        found[row.task].add(row.variant)
    return found
