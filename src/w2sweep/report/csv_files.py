"""The numbers of a report as tables for other programs: cells.csv and summary.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

from w2sweep.engine.files import replacing
from w2sweep.report.summary import SummaryRow
from w2sweep.report.variants import variant_text
from w2sweep.results.cell import (
    CEILING,
    NAMES,
    ROLES,
    STUDENT,
    SUPERVISOR,
    Failed,
    Place,
    Result,
    SkippedCell,
)
from w2sweep.results.intervals import Estimate
from w2sweep.results.sweep_folder import SweepFolder, Unreadable

MEASURES = ("pgr", "pgr_undefined", "agreement", "agreement_weak_right", "agreement_weak_wrong")

NESTED = frozenset(
    {
        "diagnostics",
        "reliability",
        "marks",
        "others",
        "by_difficulty",
        "elsewhere",
        "curve",
        "lessons",
        "language_models",
        "cells",
        "naive_cells",
        "best_of",
    }
)
"""The fields of a row that are no single number: some have columns of their own, the others are in
figures and in files of their own."""


def write_csv(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Writes a row for each record. The columns are the union of their keys, and what a record
    lacks, or None, is an empty field."""
    columns = dict.fromkeys(column for record in records for column in record)
    with replacing(path) as new, new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def cell_records(sweep: SweepFolder) -> list[dict[str, Any]]:
    """A record a cell for `cells.csv`: finished ones first, then skipped and failed ones, then
    those of earlier runs."""
    by_status: dict[str, list[dict[str, Any]]] = {"finished": [], "skipped": [], "failed": []}
    for folder, cell in sweep.cells.items():
        if cell is not None:
            record = _cell_record(folder, cell)
            by_status[record["status"]].append(record)
    earlier = [_cell_record(folder, cell) for folder, cell in sweep.earlier.items() if cell]
    told = [record | {"status": f"{record['status']}, of an earlier run"} for record in earlier]
    return [*chain.from_iterable(by_status.values()), *told]


def summary_records(rows: Iterable[SummaryRow]) -> list[dict[str, Any]]:
    """A record a row for `summary.csv`.

    A mark `legality` becomes `mark_legality`; a further compared model `zero_shot` becomes
    `zero_shot_accuracy` and `zero_shot_accuracy_se`, and `zero_shot_pgr` with its bounds.
    """
    return [_summary_record(row) for row in rows]


def _cell_record(folder: str, cell: Result | SkippedCell | Failed | Unreadable) -> dict[str, Any]:
    if isinstance(cell, Unreadable):
        return {"dir": folder, "reason": cell.reason, "status": "failed"}
    place = _place(folder, cell)
    if isinstance(cell, Result):
        return place | _numbers(cell) | {"status": "finished"}
    if isinstance(cell, SkippedCell):
        return place | {"status": "skipped", "reason": cell.skipped}
    return place | {"reason": cell.reason, "error": cell.error, "status": "failed"}


def _place(folder: str, place: Place) -> dict[str, Any]:
    columns = ("task", "ladder", "weak", "strong", "method", "seed")
    own = {"dir": folder, "variant": variant_text(place.group.variant), "family": place.family}
    own["digest"] = place.digest
    return {column: getattr(place, column) for column in columns} | own


def _numbers(r: Result) -> dict[str, Any]:
    weak, strong = r.rungs[r.weak], r.rungs[r.strong]
    return {
        "weak_accuracy": r.accuracy(SUPERVISOR),
        "student_accuracy": r.accuracy(STUDENT),
        "ceiling_accuracy": r.accuracy(CEILING),
        **_measures(r),
        **_single_answers(r),
        **_marks(r.marks),
        **r.diagnostics,
        "weak_size": weak.size,
        "strong_size": strong.size,
        "weak_compute": weak.compute,
        "strong_compute": strong.compute,
        **_counted(r),
        **_further(r),
        **_elsewhere(r),
        **_losses(r),
    }


def _counted(r: Result) -> dict[str, int]:
    """Parameters by the models' own configurations, where these were at hand."""
    found = {"weak": r.rungs[r.weak].counted, "strong": r.rungs[r.strong].counted}
    return {f"{which}_parameters": counted for which, counted in found.items() if counted}


def _measures(r: Result) -> dict[str, Any]:
    return {name: getattr(r, name) for name in (*MEASURES, "n_test", "chance", "true_labels")}


def _losses(r: Result) -> dict[str, float]:
    """Of the language models that the method asks for, on held-out text, `NAME_loss`."""
    return {f"{name}_loss": model.loss for name, model in r.language_models.items()}


def _single_answers(r: Result) -> dict[str, str]:
    """What is answered to all test examples, by models that have nothing else to say."""
    return {f"{role}_only": of.only for role, of in r.models.items() if of.only is not None}


def _further(r: Result) -> dict[str, float]:
    """The accuracies of the models that not every cell compares."""
    further = [role for role in r.models if role not in ROLES]
    return {f"{role}_accuracy": r.accuracy(role) for role in further}


def _elsewhere(r: Result) -> dict[str, float | None]:
    """Accuracies and PGR on other tasks, and how many test examples count, `on_TASK_...`."""
    found: dict[str, float | None] = {}
    for target, of in r.elsewhere.items():
        for role, name in NAMES.items():
            found[f"on_{target}_{name}_accuracy"] = of.accuracy[role]
        found[f"on_{target}_pgr"] = of.pgr
        found |= {f"on_{target}_n_test": of.n_test, f"on_{target}_left_out": of.left_out}
    return found


def _summary_record(row: SummaryRow) -> dict[str, Any]:
    record = {f.name: getattr(row, f.name) for f in fields(row) if f.name not in NESTED}
    record["variant"] = variant_text(row.variant)
    record["at_chance"] = " ".join(row.at_chance)
    alike = [f"{model} on {n} of {row.seeds} seeds" for model, n in row.one_answer.items()]
    record["one_answer"] = ", ".join(alike)
    record |= _means(row.diagnostics) | _carried(row) | _marks(row.marks) | _others(row)
    losses = {name: fmean(of.losses.values()) for name, of in row.language_models.items()}
    return record | {f"{name}_loss": loss for name, loss in losses.items()}


def _carried(row: SummaryRow) -> dict[str, float | None]:
    """Accuracies and PGR on other tasks, `on_TASK_...`."""
    record: dict[str, float | None] = {}
    for target, carried in row.elsewhere.items():
        record |= _means({f"on_{target}_{m}_accuracy": a for m, a in carried.accuracy.items()})
        record |= _pgr(f"on_{target}", carried.pgr)
    return record


def _others(row: SummaryRow) -> dict[str, float | None]:
    """Accuracies of the models that not every cell compares, and PGR with them."""
    record: dict[str, float | None] = {}
    for role, accuracy in row.others.items():
        record |= {f"{role}_accuracy": accuracy.mean, f"{role}_accuracy_se": accuracy.se}
        record |= _pgr(role, accuracy.pgr)
    return record


def _pgr(name: str, found: Estimate) -> dict[str, float | None]:
    """PGR under a name, with its bounds."""
    bounds = {"low": found.low, "high": found.high, "se": found.se}
    return {f"{name}_pgr": found.value} | {f"{name}_pgr_{end}": x for end, x in bounds.items()}


def _means(numbers: Mapping[str, Estimate]) -> dict[str, float | None]:
    values = {name: found.value for name, found in numbers.items()}
    return values | {f"{name}_se": found.se for name, found in numbers.items()}


def _marks(marks: Mapping[str, float]) -> dict[str, float]:
    return {f"mark_{name}": mark for name, mark in marks.items()}
