"""From cells to a table over seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from statistics import fmean, median
from typing import Any

from w2sweep.results import metrics
from w2sweep.results.cell import CEILING, ROLES, STUDENT, SUPERVISOR, Group, Result, Variant
from w2sweep.results.sweep_folder import SweepFolder

BASELINE = "naive"
"""The method that others are compared with, where the sweep has it."""
MANY = 6
"""With more tasks than this, figures show the median across them first."""
MEDIAN = "median across NLP tasks"


AGREEMENTS = ("agreement", "agreement_weak_right", "agreement_weak_wrong")
MEASURES = (
    "weak_accuracy",
    "student_accuracy",
    "ceiling_accuracy",
    "pgr",
    *AGREEMENTS,
    "over_naive",
)
"""The columns whose median across tasks means something."""


@dataclass(frozen=True)
class MeanAccuracy:
    """A model's accuracy, averaged over seeds."""

    mean: float
    se: float | None
    """Standard error of the mean; None with one seed."""


@dataclass(frozen=True)
class SummaryRow:
    """A group of cells over its seeds.

    Accuracies are means. `_se` are standard errors over seeds, of PGR over resamples. `_low` and
    `_high` bound 95 % bootstrap intervals.
    """

    task: str
    family: str
    ladder: str
    weak: str
    strong: str
    method: str
    variant: Variant
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
    """The task's further marks of the student's completions."""
    others: Mapping[str, MeanAccuracy] = field(default_factory=dict)
    """Role -> accuracy of a model that the method compares beside the three."""

    @property
    def group(self) -> Group:
        return Group(self.task, self.ladder, self.weak, self.strong, self.method, self.variant)


def summarize(sweep: SweepFolder) -> list[SummaryRow]:
    """A row for each group of cells, in the sweep's order, rungs from weak to strong."""
    groups: dict[Group, dict[int, Result]] = {}
    for result in sweep.results:
        groups.setdefault(result.group, {})[result.seed] = result
    ordered = sorted(groups, key=_order(sweep))
    return [_row(g, groups[g], groups.get(g._replace(method=BASELINE), {})) for g in ordered]


def medians(rows: Sequence[SummaryRow]) -> list[SummaryRow]:
    """The median across NLP tasks, as in the paper's figures; nothing unless there are many."""
    nlp = [r for r in rows if r.family == "nlp"]
    if len({r.task for r in nlp}) <= MANY:
        return []
    groups: dict[Group, list[SummaryRow]] = {}
    for row in nlp:
        groups.setdefault(row.group._replace(task=MEDIAN), []).append(row)
    return [_median(group) for group in groups.values()]


def _row(group: Group, cells: Mapping[int, Result], naive: Mapping[int, Result]) -> SummaryRow:
    results = list(cells.values())
    return SummaryRow(
        **group._asdict(),
        **_facts(results),
        **_accuracies(results),
        **_recovered(results),
        **_agreements(results),
        **({} if group.method == BASELINE else _over_naive(cells, naive)),
        marks=_marks(results),
        others=_others(results),
    )


def _facts(results: Sequence[Result]) -> dict[str, Any]:
    first = results[0]
    weak, strong = first.rungs[first.weak], first.rungs[first.strong]
    return {
        "family": first.family,
        "seeds": len(results),
        "n_test": min(r.n_test for r in results),
        "weak_size": weak.size,
        "strong_size": strong.size,
        "weak_compute": weak.compute,
        "strong_compute": strong.compute,
    }


def _accuracies(results: Sequence[Result]) -> dict[str, Any]:
    columns = {}
    for name, role in (("weak", SUPERVISOR), ("student", STUDENT), ("ceiling", CEILING)):
        reached = _accuracy(results, role)
        columns |= {f"{name}_accuracy": reached.mean, f"{name}_accuracy_se": reached.se}
    return columns


def _others(results: Sequence[Result]) -> dict[str, MeanAccuracy]:
    roles = dict.fromkeys(role for r in results for role in r.models)
    return {role: _accuracy(results, role) for role in roles if role not in ROLES}


def _accuracy(results: Sequence[Result], role: str) -> MeanAccuracy:
    """Over the seeds whose cells compare a model of this role."""
    reached = [r.accuracy(role) for r in results if role in r.models]
    return MeanAccuracy(fmean(reached), metrics.standard_error(reached))


def _recovered(results: Sequence[Result]) -> dict[str, Any]:
    pgr = metrics.pgr_over_seeds([r.paired for r in results])
    return {
        "pgr": pgr.value,
        "pgr_low": pgr.low,
        "pgr_high": pgr.high,
        "pgr_se": pgr.se,
        "pgr_undefined": pgr.undefined,
        "pgr_undefined_resamples": pgr.undefined_resamples,
    }


def _agreements(results: Sequence[Result]) -> dict[str, Any]:
    """Means and standard errors, each over the seeds that have such examples."""
    columns: dict[str, Any] = {}
    for name in AGREEMENTS:
        known = _known(results, name)
        columns[name] = fmean(known) if known else None
        columns[f"{name}_se"] = metrics.standard_error(known)
    return columns


def _marks(results: Sequence[Result]) -> dict[str, float]:
    """Each mark averaged over the seeds that have it."""
    marks: dict[str, list[float]] = {name: [] for name in results[0].marks}
    for r in results:
        for name in marks.keys() & r.marks.keys():
            marks[name].append(r.marks[name])
    return {name: fmean(found) for name, found in marks.items()}


def _over_naive(cells: Mapping[int, Result], naive: Mapping[int, Result]) -> dict[str, Any]:
    """On the seeds that both have: their splits, so their test examples, are the same."""
    seeds = [seed for seed in cells if seed in naive]
    if not seeds:
        return {}
    own = [cells[seed].correct[STUDENT] for seed in seeds]
    gain = metrics.difference(own, [naive[seed].correct[STUDENT] for seed in seeds])
    return {"over_naive": gain.value, "over_naive_low": gain.low, "over_naive_high": gain.high}


def _median(rows: Sequence[SummaryRow]) -> SummaryRow:
    """Without errors or intervals: those of single tasks say nothing of the median across them."""
    names = [f.name for f in fields(SummaryRow)]
    blanks: dict[str, Any] = dict.fromkeys(n for n in names if n.endswith(("_se", "_low", "_high")))
    without = sum(r.pgr is None for r in rows)
    return replace(
        rows[0],
        **blanks,
        **{name: _middle(_known(rows, name)) for name in MEASURES},
        task=MEDIAN,
        seeds=min(r.seeds for r in rows),
        pgr_undefined=f"undefined on {without} of {len(rows)} tasks" if without else None,
        pgr_undefined_resamples=0.0,
        marks={},
        others=_median_others(rows),
    )


def _median_others(rows: Sequence[SummaryRow]) -> dict[str, MeanAccuracy]:
    reached: dict[str, list[float]] = {}
    for row in rows:
        for role, accuracy in row.others.items():
            reached.setdefault(role, []).append(accuracy.mean)
    return {role: MeanAccuracy(median(found), None) for role, found in reached.items()}


def _middle(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _known(records: Sequence[Result] | Sequence[SummaryRow], name: str) -> list[float]:
    """What the records say under this name, but for None."""
    values = [getattr(record, name) for record in records]
    return [value for value in values if value is not None]


def _order(sweep: SweepFolder) -> Callable[[Group], tuple[int, ...]]:
    """Tasks, ladders, methods and variants as the sweep names them first; rungs as on their
    ladder."""
    rungs = {ladder: list(rungs) for ladder, rungs in sweep.ladders.items()}
    first: dict[tuple[str, Any], int] = {}
    for r in sweep.results:
        for axis in r.group._asdict().items():
            first.setdefault(axis, len(first))

    def order(g: Group) -> tuple[int, ...]:
        task, ladder = first["task", g.task], first["ladder", g.ladder]
        weak, strong = rungs[g.ladder].index(g.weak), rungs[g.ladder].index(g.strong)
        return task, ladder, weak, strong, first["method", g.method], first["variant", g.variant]

    return order
