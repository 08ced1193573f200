"""The median across many tasks, as the paper's figures have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from statistics import median
from typing import Any

from w2sweep.report.accuracies import MeanAccuracy
from w2sweep.report.summary import AGREEMENTS, SummaryRow
from w2sweep.results.cell import Group
from w2sweep.results.intervals import Estimate

MANY = 6
"""With more tasks than this, figures show the median across them first."""
MEDIAN = "median across NLP tasks"
MEASURES = (
    "weak_accuracy",
    "student_accuracy",
    "ceiling_accuracy",
    "gap",
    "pgr",
    *AGREEMENTS,
    "over_naive",
)
"""The columns whose median across tasks means something."""
ALWAYS = [f.name for f in fields(SummaryRow) if f.default is f.default_factory is MISSING]
"""The fields that every row has. A median has of the others those alone that it says itself."""


def medians(rows: Sequence[SummaryRow]) -> list[SummaryRow]:
    """The median across NLP tasks, as in the paper's figures; nothing unless there are many."""
    nlp = [r for r in rows if r.family == "nlp"]
    if len({r.task for r in nlp}) <= MANY:
        return []
    groups: dict[Group, list[SummaryRow]] = {}
    for row in nlp:
        groups.setdefault(row.group.label._replace(task=MEDIAN), []).append(row)
    return [_median(group) for group in groups.values()]


def _median(rows: Sequence[SummaryRow]) -> SummaryRow:
    """Without errors or intervals: those of single tasks say nothing of the median across them."""
    chances = {r.chance for r in rows}
    without = sum(r.pgr is None for r in rows)
    spent = max(r.true_labels for r in rows)
    shared: dict[str, Any] = {name: getattr(rows[0], name) for name in ALWAYS}
    bounds: dict[str, Any] = dict.fromkeys(
        name for name in ALWAYS if name.endswith(("_se", "_low", "_high"))
    )
    medians: dict[str, Any] = {name: _middle(_known(rows, name)) for name in MEASURES}
    own: dict[str, Any] = {
        "task": MEDIAN,
        "digest": "",
        "interval_over": "",
        "chance": chances.pop() if len(chances) == 1 else None,
        "at_chance": (),
        "one_answer": {},
        "seeds": min(r.seeds for r in rows),
        "true_labels": spent,
        "pgr_undefined": f"undefined on {without} of {len(rows)} tasks" if without else None,
        "diagnostics": _median_diagnostics(rows),
        "others": _median_others(rows),
    }
    return SummaryRow(**shared | bounds | medians | own)


def _median_others(rows: Sequence[SummaryRow]) -> dict[str, MeanAccuracy]:
    reached: dict[str, list[float]] = {}
    for row in rows:
        for role, accuracy in row.others.items():
            reached.setdefault(role, []).append(accuracy.mean)
    return {role: MeanAccuracy(median(found), None) for role, found in reached.items()}


def _middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _known(rows: Sequence[SummaryRow], name: str) -> list[float]:
    """What the rows say under this name, but for None."""
    values = [getattr(row, name) for row in rows]
    return [value for value in values if value is not None]


def _median_diagnostics(rows: Sequence[SummaryRow]) -> dict[str, Estimate]:
    names = dict.fromkeys(name for row in rows for name in row.diagnostics)
    found = {}
    for name in names:
        values = [row.diagnostics[name].value for row in rows if name in row.diagnostics]
        found[name] = Estimate(_middle([value for value in values if value is not None]))
    return found
