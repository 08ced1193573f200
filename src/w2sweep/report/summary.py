"""From cells to a table over seeds."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

from w2sweep.results import metrics
from w2sweep.results.sweep_folder import Group, Result, Sweep

BASELINE = "naive"
"""The method that others are compared with, where the sweep has it."""
MANY = 6
"""With more tasks than this, figures show the median across them first."""
MEDIAN = "median across NLP tasks"


@dataclass(frozen=True)
class SummaryRow:
    """A group of cells over its seeds. Accuracies are means; `_se` are standard errors over seeds, of PGR over
    resamples; `_low` and `_high` bound 95 % bootstrap intervals."""

    task: str
    family: str
    ladder: str
    weak: str
    strong: str
    method: str
    variant: str
    seeds: int
    n_test: int
    """Test examples of a seed; the fewest, where they differ."""
    weak_size: int
    strong_size: int
    weak_compute: float
    strong_compute: float
    weak_accuracy: float
    weak_accuracy_se: float | None
    student_accuracy: float
    student_accuracy_se: float | None
    ceiling_accuracy: float
    ceiling_accuracy_se: float | None
    pgr: float | None
    """Of the mean accuracies."""
    pgr_low: float | None
    pgr_high: float | None
    pgr_se: float | None
    pgr_undefined: str | None
    pgr_undefined_resamples: float
    """Share of the resamples in which ceiling <= weak; over 5 %, there is no interval."""
    agreement: float
    agreement_se: float | None
    agreement_weak_right: float | None
    agreement_weak_right_se: float | None
    agreement_weak_wrong: float | None
    agreement_weak_wrong_se: float | None
    over_naive: float | None = None
    """The student's accuracy minus the naive student's, on the same seeds and test examples."""
    over_naive_low: float | None = None
    over_naive_high: float | None = None
    marks: Mapping[str, float] = field(default_factory=dict)

    @property
    def group(self) -> Group:
        return Group(self.task, self.ladder, self.weak, self.strong, self.method, self.variant)


def summarize(sweep: Sweep) -> list[SummaryRow]:
    """A row a group, in the sweep's order, rungs from weak to strong."""
    groups: dict[Group, dict[int, Result]] = {}
    for result in sweep.results:
        groups.setdefault(result.group, {})[result.seed] = result
    order = _order(sweep)
    return [
        _row(g, groups[g], groups.get(g._replace(method=BASELINE), {}))
        for g in sorted(groups, key=order)
    ]


def medians(rows: Sequence[SummaryRow]) -> list[SummaryRow]:
    """The median across NLP tasks, as in the paper's figures; nothing unless there are many tasks."""
    nlp = [r for r in rows if r.family == "nlp"]
    if len({r.task for r in nlp}) <= MANY:
        return []
    groups: dict[Group, list[SummaryRow]] = {}
    for row in nlp:
        groups.setdefault(row.group._replace(task=MEDIAN), []).append(row)
    return [_median(group) for group in groups.values()]


def short_variants(rows: Iterable[SummaryRow]) -> dict[tuple[str, str], str]:
    """What to call each (task, variant): the overrides that the others of the task do not have."""
    names: dict[tuple[str, str], str] = {}
    for task, variants in variants_by_task(rows).items():
        given = {variant: _separate(variant) for variant in variants}
        common = set.intersection(*map(set, given.values()))
        names |= {
            (task, v): ",".join(o for o in parts if o not in common) for v, parts in given.items()
        }
    return names


def overrides(variant: str) -> dict[str, str]:
    """Key -> value. What is taken away (`~loss.hard`) has no value."""
    return {key: value for key, _, value in (o.partition("=") for o in _separate(variant))}


def _separate(variant: str) -> list[str]:
    """Its overrides; the commas of a list or a dictionary separate none."""
    return re.split(r",(?=~|[+\w.@/-]+=)", variant) if variant else []


def variants_by_task(rows: Iterable[SummaryRow]) -> dict[str, set[str]]:
    """The variants that each task was run with."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row.task].add(row.variant)
    return found


def cell_records(sweep: Sweep) -> list[dict[str, Any]]:
    """A record a cell, skipped and failed ones included, for `cells.csv`."""
    facts = ("rungs", "correct", "stages")  # which are no numbers
    finished = [_flat(r, without=facts) | _sizes(r) | {"status": "finished"} for r in sweep.results]
    skipped = [
        _flat(s, without=("skipped",)) | {"status": "skipped", "reason": s.skipped}
        for s in sweep.skipped
    ]
    failed = [_flat(f, without=("traceback",)) | {"status": "failed"} for f in sweep.failures]
    return finished + skipped + failed


def records(rows: Iterable[SummaryRow]) -> list[dict[str, Any]]:
    """A record a row, for `summary.csv`: a mark `legality` becomes `mark_legality`."""
    return [_flat(row) for row in rows]


def write_csv(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """The columns are the union of the records' keys; None is an empty field."""
    columns = list(dict.fromkeys(column for record in records for column in record))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def _row(group: Group, cells: Mapping[int, Result], naive: Mapping[int, Result]) -> SummaryRow:
    results = list(cells.values())
    pgr = metrics.pgr_over_seeds([r.correct for r in results])
    first = results[0]
    weak, strong = first.rungs[group.weak], first.rungs[group.strong]
    return SummaryRow(
        **group._asdict(), family=first.family, seeds=len(results), n_test=min(r.n_test for r in results),
        weak_size=weak.size, strong_size=strong.size, weak_compute=weak.compute, strong_compute=strong.compute,
        **_mean_and_error(results, "weak_accuracy"), **_mean_and_error(results, "student_accuracy"),
        **_mean_and_error(results, "ceiling_accuracy"), **_mean_and_error(results, "agreement"),
        **_mean_and_error(results, "agreement_weak_right"), **_mean_and_error(results, "agreement_weak_wrong"),
        pgr=pgr.value, pgr_low=pgr.low, pgr_high=pgr.high, pgr_se=pgr.se, pgr_undefined=pgr.undefined,
        pgr_undefined_resamples=pgr.undefined_resamples,
        **({} if group.method == BASELINE else _over_naive(cells, naive)),
        marks={name: fmean(r.marks[name] for r in results if name in r.marks) for name in first.marks},
    )  # fmt: skip


def _over_naive(cells: Mapping[int, Result], naive: Mapping[int, Result]) -> dict[str, Any]:
    """On the seeds that both have: their splits, so their test examples, are the same."""
    seeds = [seed for seed in cells if seed in naive]
    if not seeds:
        return {}
    student = 1
    gain = metrics.difference(
        [cells[s].correct[student] for s in seeds], [naive[s].correct[student] for s in seeds]
    )  # fmt: skip
    return {"over_naive": gain.value, "over_naive_low": gain.low, "over_naive_high": gain.high}


def _median(rows: Sequence[SummaryRow]) -> SummaryRow:
    """Without errors or intervals: those of single tasks say nothing of the median across them."""
    numbers: dict[str, Any] = {
        f.name: _middle([getattr(r, f.name) for r in rows])
        for f in fields(SummaryRow)
        if f.name.endswith(
            ("accuracy", "pgr", "agreement", "weak_right", "weak_wrong", "over_naive")
        )
    }
    blanks: dict[str, Any] = {
        f.name: None for f in fields(SummaryRow) if f.name.endswith(("_se", "_low", "_high"))
    }
    without = sum(r.pgr is None for r in rows)
    reason = f"undefined on {without} of {len(rows)} tasks" if without else None
    return replace(
        rows[0],
        task=MEDIAN,
        marks={},
        seeds=min(r.seeds for r in rows),
        **numbers,
        **blanks,
        pgr_undefined=reason,
    )


def _middle(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return median(known) if known else None


def _mean_and_error(results: Sequence[Result], name: str) -> dict[str, Any]:
    """Over the seeds that have it."""
    known = [v for v in (getattr(r, name) for r in results) if v is not None]
    return {name: fmean(known) if known else None, f"{name}_se": metrics.standard_error(known)}


def _order(sweep: Sweep) -> Callable[[Group], tuple[int, ...]]:
    """Tasks, ladders, methods and variants as the sweep names them first; rungs as on their ladder."""
    position = {
        (ladder, rung): i for ladder, rungs in sweep.ladders.items() for i, rung in enumerate(rungs)
    }
    first: dict[tuple[str, str], int] = {}
    for r in sweep.results:
        for axis in zip(Group._fields, r.group, strict=True):
            first.setdefault(axis, len(first))

    def order(g: Group) -> tuple[int, ...]:
        pair = position[g.ladder, g.weak], position[g.ladder, g.strong]
        return (
            first["task", g.task],
            first["ladder", g.ladder],
            *pair,
            first["method", g.method],
            first["variant", g.variant],
        )

    return order


def _sizes(r: Result) -> dict[str, float]:
    rungs = {"weak": r.rungs[r.weak], "strong": r.rungs[r.strong]}
    return {
        f"{role}_{what}": getattr(rung, what)
        for what in ("size", "compute")
        for role, rung in rungs.items()
    }


def _flat(record: Any, without: Sequence[str] = ()) -> dict[str, Any]:
    values = {f.name: getattr(record, f.name) for f in fields(record) if f.name not in without}
    return values | {f"mark_{name}": mark for name, mark in values.pop("marks", {}).items()}
