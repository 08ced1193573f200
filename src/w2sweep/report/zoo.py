"""Where many methods stand beside naive finetuning: task by task, and over all of them.

A sweep's zoo is read from the cells behind its summary. Two families of comparisons are corrected
for the number that they have (see `w2sweep.results.comparisons`): each method over all columns,
which is what a claim should rest on, and each method in each column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

import numpy as np

from w2sweep.report.summary import BASELINE, SummaryRow
from w2sweep.report.table import TRUTH
from w2sweep.report.variants import Names, short_variants
from w2sweep.results import intervals, metrics
from w2sweep.results.cell import STUDENT, SUPERVISOR, Result
from w2sweep.results.comparisons import OneOfMany, PairedMeasure, averaged, corrected
from w2sweep.results.cost import KINDS, METHOD
from w2sweep.results.intervals import Estimate

FEWEST = 5
"""Methods besides naive from which on a sweep is a zoo: fewer stand in the summary."""
EVERYWHERE = "all"
"""What the column of all columns is called in tables."""


@dataclass(frozen=True)
class Entry:
    """A method in one column: the cells of its seeds, each beside the naive one."""

    method: str
    kind: str
    column: str
    cells: Mapping[int, Result]
    naive: Mapping[int, Result]

    @property
    def seeds(self) -> list[int]:
        """Those that both have."""
        return sorted(self.cells.keys() & self.naive.keys())

    def beside(self, other: Entry) -> Entry:
        """The same with another method in the place of the naive one."""
        return replace(self, naive=other.cells)

    def over_naive(self, seeds: Sequence[int]) -> PairedMeasure:
        """The student's accuracy minus the naive student's [S]."""
        pairs = [(self.cells[seed], self.naive[seed]) for seed in seeds]
        answers = [np.stack([own.correct[STUDENT], other.correct[STUDENT]]) for own, other in pairs]
        per_seed, within = metrics.measured(answers, [[1, -1]])
        if all(own.models[STUDENT] == other.models[STUDENT] for own, other in pairs):
            within = np.zeros_like(within)  # the very same students: that they are equal is certain
        return PairedMeasure(per_seed[:, 0], within[:, 0, 0])


@dataclass(frozen=True)
class MethodStanding:
    """Where a method stands, in a column or over all of its columns."""

    method: str
    kind: str
    column: str
    columns: int
    """Over how many."""
    seeds: int
    over_naive: OneOfMany | None
    """None of the naive method itself."""
    pgr: Estimate
    """Of accuracies averaged over seeds and columns."""
    naive_pgr: Estimate
    """The naive students' on the very same seeds and columns."""
    below: int
    """Students that are less often right than their supervisor."""
    cells: int
    """Of so many."""
    steps: float | None
    """Optimizer steps of the student and of all that it is made with, on average over cells; None
    where a cell does not say."""
    steps_ratio: float | None
    """Times the naive student's, on average."""
    flops_ratio: float | None
    true_labels: int = 0
    """True labels that the student is made with, of other examples than the supervisor's own: the
    most of a cell."""

    @property
    def called(self) -> str:
        """Its name, marked where it spends true labels."""
        return f"{self.method}{TRUTH}" if self.true_labels else self.method

    @property
    def gain(self) -> float:
        """The estimate of its difference to naive."""
        found = self.over_naive.estimate.value if self.over_naive else None
        return 0.0 if found is None else found

    @property
    def record(self) -> dict[str, Any]:
        """For `zoo.csv`."""
        record = {"method": self.method, "kind": self.kind, "column": self.column}
        record |= {"columns": self.columns, "seeds": self.seeds}
        return {
            **record,
            **_difference(self.over_naive),
            **_pgr("pgr", self.pgr),
            **_pgr("naive_pgr", self.naive_pgr),
            "below_supervisor": self.below,
            "cells": self.cells,
            "steps": self.steps,
            "steps_ratio": self.steps_ratio,
            "flops_ratio": self.flops_ratio,
            "true_labels": self.true_labels,
        }


@dataclass(frozen=True)
class Zoo:
    """All methods of a sweep beside naive."""

    columns: Sequence[str]
    """Tasks; with pairs of rungs and variants where there are several."""
    overall: Sequence[MethodStanding]
    """Over all of its columns, a method each: first methods, then controls, then oracles, the best
    first."""
    single: Mapping[tuple[str, str], MethodStanding]
    """Method, column -> how it stands there."""
    naive: MethodStanding

    @property
    def records(self) -> list[dict[str, Any]]:
        """For `zoo.csv`: over all columns first."""
        return [of.record for of in (self.naive, *self.overall, *self.single.values())]

    @cached_property
    def seeds(self) -> str:
        """`10 seeds`, or `3 to 10 seeds`."""
        counts = [of.seeds for of in self.overall]
        low, high = min(counts), max(counts)
        return f"{low} to {high} seeds" if low < high else f"{low} seed{'s' * (low != 1)}"

    @property
    def sentence(self) -> str:
        """What came out, in one sentence."""
        candidates = [of for of in self.overall if of.kind == METHOD]
        tested = [of.over_naive for of in candidates if of.over_naive and of.over_naive.family]
        where = f"{len(self.columns)} columns" if len(self.columns) > 1 else self.columns[0]
        start = f"of {len(candidates)} methods beside naive ({where}, {self.seeds}),"
        if not tested:
            return f"{start} none can be told from it: that takes two seeds at least."
        above = [of for of in candidates if _told(of) and of.gain > 0]
        under = [of for of in candidates if _told(of) and of.gain < 0]
        how = f"5 % for all {tested[0].family} comparisons together"
        found = f"{_named(above, 'above')}, {_named(under[::-1], 'below')}"
        return f"{start} {found}, beyond luck ({how})."


def zoo(rows: Sequence[SummaryRow]) -> Zoo | None:
    """The zoo of these rows; None where there are too few methods besides naive."""
    entries = entries_of(rows)
    others = [entry for entry in entries if entry.method != BASELINE]
    if len({entry.method for entry in others}) < FEWEST:
        return None
    by_method: dict[str, list[Entry]] = {}
    for entry in entries:
        by_method.setdefault(entry.method, []).append(entry)
    naive = by_method.pop(BASELINE, None)
    if naive is None:
        return None
    overall = _standings(list(filter(_shared, by_method.values())), EVERYWHERE)
    single = _standings([[entry] for entry in others], None)
    [baseline] = _standings([naive], EVERYWHERE)
    columns = dict.fromkeys(entry.column for entry in others)
    return Zoo(
        columns=list(columns),
        overall=sorted(overall, key=lambda of: (KINDS.index(of.kind), -of.gain)),
        single={(of.method, of.column): of for of in single},
        naive=baseline,
    )


def entries_of(rows: Sequence[SummaryRow]) -> list[Entry]:
    """Each method in each column where the naive one is too. Cells that were computed by several
    configurations of one name are taken together."""
    columns = _columns(rows)
    cells: dict[tuple[str, str], dict[int, Result]] = {}
    naive: dict[tuple[str, str], dict[int, Result]] = {}
    for row in rows:
        if beside := dict(row.cells if row.method == BASELINE else row.naive_cells):
            at = row.method, columns[row.group.label]
            cells.setdefault(at, {}).update(row.cells)
            naive.setdefault(at, {}).update(beside)
    found = []
    for (method, column), of in cells.items():
        kind = next(iter(of.values())).kind
        found.append(Entry(method, kind, column, of, naive[method, column]))
    return found


def _columns(rows: Sequence[SummaryRow]) -> dict[Any, str]:
    """The group of each row -> its column: its task, and what else tells it from others."""
    names = short_variants(rows)
    pairs = {(row.ladder, row.weak, row.strong) for row in rows}
    ladders = {row.ladder for row in rows}
    return {row.group.label: _column(row, names, len(pairs), len(ladders)) for row in rows}


def _column(row: SummaryRow, names: Names, pairs: int, ladders: int) -> str:
    pair = f"{row.weak} to {row.strong}" if pairs > 1 else ""
    ladder = row.ladder if ladders > 1 else ""
    return ", ".join(filter(None, (row.task, names[row.task, row.variant], pair, ladder)))


def _standings(groups: Sequence[Sequence[Entry]], column: str | None) -> list[MethodStanding]:
    """Of each group of a method's entries, as one family of comparisons."""
    compared = [group for group in groups if group[0].method != BASELINE]
    measures = [averaged_over(group) for group in compared]
    tested = dict(zip(map(id, compared), corrected(measures), strict=True))
    return [_standing(group, column, tested.get(id(group))) for group in groups]


def over_naive(row: SummaryRow, level: float) -> Estimate | None:
    """The accuracy of a row's student over the naive one's, with an interval of this level; None
    where there is no naive one on the same seeds."""
    entry = next(iter(entries_of([row])), None)
    if entry is None or not entry.seeds:
        return None
    measure = entry.over_naive(entry.seeds)
    return intervals.mean(measure.per_seed, measure.within, level)


def averaged_over(group: Sequence[Entry]) -> PairedMeasure:
    """Over columns, on the seeds that all of them have."""
    shared = _shared(group)
    return averaged([entry.over_naive(shared) for entry in group])


def _shared(group: Sequence[Entry]) -> list[int]:
    return sorted(set.intersection(*(set(entry.seeds) for entry in group)))


def _standing(
    group: Sequence[Entry], column: str | None, over_naive: OneOfMany | None
) -> MethodStanding:
    first, seeds = group[0], _shared(group)
    own_columns = [entry.cells for entry in group]
    naive_columns = [entry.naive for entry in group]
    own, naive = _cells(own_columns, seeds), _cells(naive_columns, seeds)
    steps, flops = _ratios(own, naive)
    spent = max(r.true_labels for r in own)
    return MethodStanding(
        method=first.method,
        kind=first.kind,
        column=first.column if column is None else column,
        columns=len(group),
        seeds=len(seeds),
        over_naive=over_naive,
        pgr=_recovered(own_columns, seeds),
        naive_pgr=_recovered(naive_columns, seeds),
        below=sum(map(_is_below, own)),
        cells=len(own),
        steps=_mean([r.cost.steps if r.cost else None for r in own]),
        steps_ratio=steps,
        flops_ratio=flops,
        true_labels=spent,
    )


def _cells(columns: Sequence[Mapping[int, Result]], seeds: Sequence[int]) -> list[Result]:
    return [of[seed] for of in columns for seed in seeds]


def _is_below(r: Result) -> bool:
    """Whether the student is less often right than its supervisor."""
    return r.accuracy(STUDENT) < r.accuracy(SUPERVISOR) - 1e-9  # equal but for rounding


def _recovered(columns: Sequence[Mapping[int, Result]], seeds: Sequence[int]) -> Estimate:
    """PGR of the accuracies' means over seeds and columns."""
    gains = [[-1, 1, 0], [-1, 0, 1]]  # of the student over its supervisor, and of the ceiling
    found = []
    for of in columns:
        answers = [of[seed].paired for seed in seeds]
        found.append(metrics.measured(answers, gains))
    per_seed = np.mean([of for of, _ in found], axis=0)
    within = np.sum([of for _, of in found], axis=0) / len(found) ** 2
    if per_seed[:, 1].mean() <= 1e-9:
        return Estimate(None, undefined="the ceiling is not above the supervisor")
    return intervals.ratio(per_seed, within)


def _ratios(own: Sequence[Result], naive: Sequence[Result]) -> tuple[float | None, float | None]:
    """Steps and FLOPs of cells, times those of the naive cells beside them, on average."""
    pairs = [(a.cost, b.cost) for a, b in zip(own, naive, strict=True)]
    known = [(a, b) for a, b in pairs if a and b and b.steps]
    if len(known) < len(pairs):
        return None, None
    steps = _mean([a.steps / b.steps for a, b in known])
    return steps, _mean([a.flops / b.flops for a, b in known])


def _mean(values: Sequence[float | None]) -> float | None:
    """None where one of them is not known."""
    known = [x for x in values if x is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _told(of: MethodStanding) -> bool:
    return of.over_naive is not None and of.over_naive.told


def _named(found: Sequence[MethodStanding], where: str) -> str:
    if not found:
        return f"none is {where}"
    names = [f"{of.method} {100 * of.gain:+.1f}" for of in found]
    are = "is" if len(found) == 1 else "are"
    return f"{len(found)} {are} {where} ({', '.join(names)})"


def _difference(of: OneOfMany | None) -> dict[str, Any]:
    if of is None:
        return {}
    found = {"value": of.estimate.value, "low": of.estimate.low, "high": of.estimate.high}
    record = {f"over_naive_{name}".removesuffix("_value"): x for name, x in found.items()}
    record |= {"low_of_all": of.low_of_all, "high_of_all": of.high_of_all}
    return record | {"p": of.p, "p_holm": of.p_holm, "comparisons": of.family}


def _pgr(name: str, found: Estimate) -> dict[str, Any]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
