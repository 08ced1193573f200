"""`best_of_n.csv`, and what came out of choosing the best of n replies, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from w2sweep.report.best_of import Choosing
from w2sweep.report.summary import SummaryRow
from w2sweep.report.variants import variant_text
from w2sweep.results.best_of import TRUTH, bits, divergence
from w2sweep.results.cell import NAMES, ROLES
from w2sweep.results.intervals import Estimate


def best_of_records(rows: Sequence[SummaryRow]) -> list[dict[str, Any]]:
    """A record for each n and each who chooses, of each row, for `best_of_n.csv`."""
    return [record for row in rows if row.best_of for record in _records(row, row.best_of)]


def _records(row: SummaryRow, found: Choosing) -> Iterator[dict[str, Any]]:
    axes = ("task", "ladder", "weak", "strong", "method")
    place = {axis: getattr(row, axis) for axis in axes}
    place |= {"variant": variant_text(row.variant)}
    place |= {"replies_by": found.first.written_by, "seeds": len(found.cells)}
    for who in (*ROLES, TRUTH):
        good = {f"good_{name}": found.good(who, name) for name in found.respects}
        numbers = {"believed_sd": found.believed(who), **good}
        for at, quality in enumerate(found.quality(who)):
            n = found.first.n[at]
            record = {"chosen_by": NAMES.get(who, who), "n": n}
            record |= {"bits": float(bits(n)), "kl_nats": float(divergence(n))}
            record |= {"quality": quality.value, "quality_se": quality.se}
            record |= {"quality_low": quality.low, "quality_high": quality.high}
            yield place | record | {name: column[at] for name, column in numbers.items()}


def sentences(rows: Sequence[SummaryRow]) -> list[str]:
    """What came out, one for each writer of replies: of the first row that has them."""
    found: dict[str, Choosing] = {}
    for row in rows:
        if row.best_of:
            found.setdefault(row.best_of.first.written_by, row.best_of)
    return [_sentence(each) for each in found.values()]


def _sentence(found: Choosing) -> str:
    last, since = found.first.n[-1], found.first.n[found.since]
    gains = [f"{NAMES.get(who, who)} {_signed(found.gain(who))}" for who in (*ROLES, TRUTH)]
    late = [f"{NAMES[who]} {_signed(found.late(who))}" for who in ROLES]
    return (
        f"of {last} replies by {found.first.written_by}, what is chosen is better in truth than a "
        f"random one by: {', '.join(gains)}; from n = {since} on, that is: {', '.join(late)}."
    )


def _signed(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return f"{found.value:+.2f}"
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
