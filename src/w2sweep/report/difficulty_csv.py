"""`difficulty.csv`: what the models of a sweep reach on easy and on hard test examples."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from w2sweep.report.grades import Grades
from w2sweep.report.summary import SummaryRow
from w2sweep.report.variants import variant_text
from w2sweep.results.cell import NAMES, STUDENT
from w2sweep.results.intervals import UNDEFINED, Estimate

HARDEST = "hardest third"


def difficulty_records(rows: Sequence[SummaryRow]) -> list[dict[str, Any]]:
    """A record for each bin of each row that tells accuracies by difficulty, and one for its
    hardest bins together.

    `over_all` is the student's accuracy minus that of the student that saw as many examples of any
    difficulty, with the same labels; that one itself has none.
    """
    return [record for row in rows if row.by_difficulty for record in _records(row, rows)]


def _records(row: SummaryRow, rows: Sequence[SummaryRow]) -> Iterator[dict[str, Any]]:
    own = row.by_difficulty
    assert own is not None
    reference = _reference(row, rows)
    for number, name in enumerate(own.first.bins):
        yield _place(row) | _record(own, reference, name, [number])
    yield _place(row) | _record(own, reference, HARDEST, own.hardest_third)


def _place(row: SummaryRow) -> dict[str, Any]:
    axes = ("task", "ladder", "weak", "strong", "method")
    return {axis: getattr(row, axis) for axis in axes} | {"variant": variant_text(row.variant)}


def _record(
    own: Grades, reference: Grades | None, name: str, bins: Collection[int]
) -> dict[str, Any]:
    first = own.first
    record: dict[str, Any] = {"trained_on": first.trained_on, "labels": first.labels}
    record |= {"measure": first.measure, "bin": name, "seeds": len(own.cells)}
    record["n_test"] = sum(own.counts[b] for b in bins)
    for role in first.right:
        found = own.accuracy(role, bins)
        column = f"{NAMES.get(role, role)}_accuracy"
        record |= {column: found.value, f"{column}_se": found.se}
    gain = own.over(reference, STUDENT, bins) if reference else UNDEFINED
    return record | _gain(gain)


def _gain(gain: Estimate) -> dict[str, Any]:
    return {"over_all": gain.value, "over_all_low": gain.low, "over_all_high": gain.high}


def _reference(row: SummaryRow, rows: Sequence[SummaryRow]) -> Grades | None:
    """The grades of the student that saw examples of any difficulty, with the same labels."""

    def known_by(r: SummaryRow) -> tuple[Any, ...]:
        labels = r.by_difficulty.first.labels if r.by_difficulty else None
        return r.task, r.ladder, r.weak, r.strong, r.variant, labels

    found = [r.by_difficulty for r in rows if r.by_difficulty and known_by(r) == known_by(row)]
    of_any = [grades for grades in found if grades.first.trained_on == "all"]
    return next((grades for grades in of_any if grades is not row.by_difficulty), None)
