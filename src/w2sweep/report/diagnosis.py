"""The tables on a sweep's page that say more of its models: diagnostics, and other tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

from w2sweep.report.summary import SummaryRow
from w2sweep.report.variants import Names, short_variants
from w2sweep.results.intervals import Estimate

Form = Callable[[Estimate], str]


def _percent(found: Estimate) -> str:
    assert found.value is not None
    return f"{100 * found.value:.1f}" + (f" ± {100 * found.se:.1f}" if found.se else "")


def _number(found: Estimate) -> str:
    assert found.value is not None
    return f"{found.value:.3f}" + (f" ± {found.se:.3f}" if found.se else "")


COLUMNS: dict[str, tuple[str, Form]] = {
    "misfit": ("misfit (nats)", _number),
    "capa": ("CAPA", _number),
    "errors_inherited": ("inherited %", _percent),
    "errors_other": ("other %", _percent),
    "errors_corrected": ("corrected %", _percent),
    "errors_new": ("new %", _percent),
    "blind_spots": ("blind spots %", _percent),
    "weak_ece": ("ECE weak %", _percent),
    "student_ece": ("ECE student %", _percent),
    "ceiling_ece": ("ECE ceiling %", _percent),
    "student_brier": ("Brier student", _number),
}
"""Diagnostic -> its heading, and how it is written. All others are in summary.csv."""


def diagnostics_table(rows: Sequence[SummaryRow]) -> tuple[list[str], list[list[str]]]:
    """Headings and a line for each row that has diagnostics; no line, no table."""
    told = [row for row in rows if row.diagnostics]
    worth = set(chain.from_iterable(map(_worth, told)))
    shown = [name for name in COLUMNS if name in worth]
    headings = ["cells", *(COLUMNS[name][0] for name in shown), "detectable over naive", "of PGR"]
    variants = short_variants(rows)
    lines = []
    for row in told:
        numbers = [_text(row, name) for name in shown]
        lines.append([_title(row, variants), *numbers, *_detectable(row)])
    return headings, lines


def elsewhere_table(rows: Sequence[SummaryRow]) -> tuple[list[str], list[list[str]]]:
    """Headings and a line for each row and each other task that its models answer."""
    headings = ["cells", "on", "weak %", "student %", "ceiling %", "PGR"]
    variants, lines = short_variants(rows), []
    for row in rows:
        for target, carried in row.elsewhere.items():
            accuracies = map(_percent, carried.accuracy.values())
            lines.append([_title(row, variants), target, *accuracies, _pgr(carried.pgr)])
    return headings, lines


def _title(row: SummaryRow, variants: Names) -> str:
    title = [row.task, f"{row.strong} <- {row.weak}", row.method]
    return ", ".join(filter(None, [*title, variants[row.task, row.variant]]))


def _pgr(found: Estimate) -> str:
    if found.value is None:
        return f"undefined ({found.undefined})"
    if found.low is None:
        return f"{found.value:z.2f} [no clear gap]"
    return f"{found.value:z.2f} [{found.low:z.2f}, {found.high:z.2f}]"


def _worth(row: SummaryRow) -> list[str]:
    """The diagnostics of a row that are worth a column. Errors of another kind are not where there
    are none: of two classes there cannot be any."""
    found = row.diagnostics.items()
    return [name for name, number in found if name != "errors_other" or number.value != 0]


def _text(row: SummaryRow, name: str) -> str:
    found = row.diagnostics.get(name)
    return "–" if found is None or found.value is None else COLUMNS[name][1](found)


def _detectable(row: SummaryRow) -> list[str]:
    points, pgr = row.over_naive_detectable, row.pgr_detectable
    over_naive = "–" if points is None else f"{100 * points:.1f} points"
    return [over_naive, "–" if pgr is None else f"{pgr:.2f}"]
