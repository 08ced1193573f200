"""From cells to a table over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2sweep.report.accuracies import MeanAccuracy, mean_accuracy, others
from w2sweep.report.best_of import Choosing, choosing
from w2sweep.report.curves import Lesson, Moment, lessons, mean_curve
from w2sweep.report.elsewhere import Carried, elsewhere
from w2sweep.report.grades import Grades, grades
from w2sweep.report.heldout import HeldOut, heldout
from w2sweep.results import diagnostics, metrics
from w2sweep.results.cell import (
    CEILING,
    METHOD,
    NAMES,
    ROLES,
    STUDENT,
    SUPERVISOR,
    Group,
    Result,
    Variant,
)
from w2sweep.results.intervals import Estimate
from w2sweep.results.sweep_folder import SweepFolder

BASELINE = "naive"
"""The method that others are compared with, where the sweep has it."""
AGREEMENTS = ("agreement", "agreement_weak_right", "agreement_weak_wrong")


@dataclass(frozen=True)
class SummaryRow:
    """A group of cells over its seeds.

    Accuracies are means. `_se` are standard errors, `_low` and `_high` bound 95 % intervals, all of
    them over what `interval_over` says (see `w2sweep.results.intervals`).
    """

    task: str
    family: str
    ladder: str
    weak: str
    strong: str
    method: str
    variant: Variant
    digest: str
    """Of the configuration, but for the seed."""
    seeds: int
    interval_over: str
    """"seeds and test examples", or, of one seed, "test examples"."""
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
    chance: float | None
    """The accuracy of guessing."""
    at_chance: Sequence[str]
    """The models whose accuracy cannot be told from chance: weak, student, ceiling, others."""
    one_answer: Mapping[str, int]
    """The models that give one answer to all test examples, and on how many seeds."""
    gap: float | None
    """The ceiling's accuracy minus the supervisor's."""
    gap_low: float | None
    gap_high: float | None
    pgr: float | None
    """Of the mean accuracies. Without an interval where the gap cannot be told from zero: then it
    may be anything."""
    pgr_low: float | None
    pgr_high: float | None
    pgr_se: float | None
    pgr_undefined: str | None
    """Why there is none."""
    agreement: float
    """How often the student answers as its supervisor does: on all test examples, on those that the
    supervisor answers rightly, and on those that it answers wrongly."""
    agreement_se: float | None
    agreement_weak_right: float | None
    agreement_weak_right_se: float | None
    agreement_weak_wrong: float | None
    agreement_weak_wrong_se: float | None
    true_labels: int = 0
    """True labels with which the student was made, beside those that its supervisor learned from:
    `Method.true_labels`. The most of a seed."""
    over_naive: float | None = None
    """The student's accuracy minus the naive student's, on the same seeds and test examples."""
    over_naive_low: float | None = None
    over_naive_high: float | None = None
    over_naive_seeds: int = 0
    """How many seeds these are."""
    over_naive_detectable: float | None = None
    """The smallest true difference to naive that these seeds and test examples would tell from none
    four times in five (`diagnostics.detectable`)."""
    pgr_detectable: float | None = None
    """The smallest true PGR that they would tell from none."""
    diagnostics: Mapping[str, Estimate] = field(default_factory=dict)
    """Name of a number that `w2sweep.results.diagnostics` has -> its mean over seeds, with the
    standard error between them."""
    reliability: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Role -> mean confidence, accuracy and count of each bin [bins, 3], of all seeds together."""
    marks: Mapping[str, float] = field(default_factory=dict)
    """The task's further marks of the student's completions."""
    others: Mapping[str, MeanAccuracy] = field(default_factory=dict)
    """Role -> accuracy of a model that the method compares beside the three, and PGR with it."""
    by_difficulty: Grades | None = None
    """Accuracies by the difficulty of test examples, where the method asks for them."""
    elsewhere: Mapping[str, Carried] = field(default_factory=dict)
    """Name of another task -> how the three models do on it (`evaluate_on`)."""
    curve: Sequence[Moment] = ()
    """The student along its training, where the method looks at that: at each evaluation."""
    lessons: Mapping[str, Lesson] = field(default_factory=dict)
    """Role -> how the model did while it was trained."""
    language_models: Mapping[str, HeldOut] = field(default_factory=dict)
    """Name -> a language model whose loss on held-out text the method asks for."""
    cells: Mapping[int, Result] = field(default_factory=dict)
    """Seed -> the cell that it averages."""
    naive_cells: Mapping[int, Result] = field(default_factory=dict)
    """Seed -> the naive cell with the same supervisor and ceiling, where there is one."""
    best_of: Choosing | None = None
    """The replies that its models choose, where that is asked for."""

    @property
    def group(self) -> Group:
        axes = (self.task, self.ladder, self.weak, self.strong, self.method)
        return Group(*axes, self.variant, self.digest)

    @property
    def kind(self) -> str:
        """What the method is for: method, control or oracle."""
        return next((cell.kind for cell in self.cells.values()), METHOD)

    @property
    def recovered(self) -> Estimate:
        """PGR with its error and its interval."""
        return Estimate(self.pgr, self.pgr_se, self.pgr_low, self.pgr_high, self.pgr_undefined)

    @property
    def unclear(self) -> bool:
        """Whether it has a PGR that says nothing, for its gap cannot be told from zero."""
        return self.pgr is not None and self.gap_low is not None and self.gap_low <= 0


def summarize(sweep: SweepFolder) -> list[SummaryRow]:
    """A row for each group of cells, in the sweep's order, rungs from weak to strong."""
    groups: dict[Group, dict[int, Result]] = {}
    for result in sweep.results:
        groups.setdefault(result.group, {})[result.seed] = result
    ordered = sorted(groups, key=_order(sweep))
    naive: dict[Group, list[Result]] = defaultdict(list)
    for group in groups:
        if group.method == BASELINE:
            naive[group.label] += groups[group].values()
    return [_row(g, groups[g], _baseline(g, groups[g], naive)) for g in ordered]


def _baseline(
    group: Group, cells: Mapping[int, Result], naive: Mapping[Group, Sequence[Result]]
) -> dict[int, Result]:
    """By seed the naive cells with the same supervisor and the same ceiling: their splits, so their
    test examples, are the same."""
    peers = naive.get(group.label._replace(method=BASELINE), ())
    return {r.seed: r for r in peers if r.seed in cells and _same_setting(r, cells[r.seed])}


def _same_setting(a: Result, b: Result) -> bool:
    return all(a.models[role].stage == b.models[role].stage for role in (SUPERVISOR, CEILING))


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
        diagnostics=diagnostics.over_seeds([r.diagnostics for r in results]),
        reliability=_reliability(results),
        by_difficulty=grades(results),
        elsewhere=elsewhere(results),
        curve=mean_curve(results),
        lessons=lessons(results),
        language_models=heldout(results),
        cells=cells,
        naive_cells=naive,
        best_of=choosing(results),
    )


def _facts(results: Sequence[Result]) -> dict[str, Any]:
    first = results[0]
    weak, strong = first.rungs[first.weak], first.rungs[first.strong]
    spent = max(r.true_labels for r in results)
    return {
        "family": first.family,
        "seeds": len(results),
        "interval_over": "seeds and test examples" if len(results) > 1 else "test examples",
        "n_test": min(r.n_test for r in results),
        "true_labels": spent,
        "weak_size": weak.size,
        "strong_size": strong.size,
        "weak_compute": weak.compute,
        "strong_compute": strong.compute,
    }


def _accuracies(results: Sequence[Result]) -> dict[str, Any]:
    reached = {name: mean_accuracy(results, role) for role, name in NAMES.items()}
    further = others(results)
    columns: dict[str, Any] = {"others": further, "chance": results[0].chance}
    for name, accuracy in reached.items():
        columns |= {f"{name}_accuracy": accuracy.mean, f"{name}_accuracy_se": accuracy.se}
    everything = (reached | further).items()
    columns["at_chance"] = [name for name, accuracy in everything if accuracy.at_chance]
    columns["one_answer"] = {name: a.one_answer for name, a in everything if a.one_answer}
    return columns


def _recovered(results: Sequence[Result]) -> dict[str, Any]:
    pgr = metrics.pgr_over_seeds([r.paired for r in results])
    ceiling = [r.correct[CEILING] for r in results]
    gap = metrics.difference(ceiling, [r.correct[SUPERVISOR] for r in results])
    return {
        "gap": gap.value,
        "gap_low": gap.low,
        "gap_high": gap.high,
        "pgr": pgr.value,
        "pgr_low": pgr.low,
        "pgr_high": pgr.high,
        "pgr_se": pgr.se,
        "pgr_undefined": pgr.undefined,
        "pgr_detectable": diagnostics.detectable(pgr),
    }


def _agreements(results: Sequence[Result]) -> dict[str, Any]:
    """Means and standard errors, each over the seeds that have such examples."""
    columns: dict[str, Any] = {}
    for name in AGREEMENTS:
        known = [r for r in results if getattr(r, name) is not None]
        shares = [getattr(r, name) for r in known]
        counts = [_examples_of(name, r) for r in known]
        found = metrics.mean_share(shares, counts) if known else metrics.Estimate(None)
        columns |= {name: found.value, f"{name}_se": found.se}
    return columns


def _examples_of(name: str, r: Result) -> int:
    """How many test examples an agreement is a share of."""
    right = int(r.correct[SUPERVISOR].sum())
    return {"agreement_weak_right": right, "agreement_weak_wrong": r.n_test - right}.get(
        name, r.n_test
    )


def _marks(results: Sequence[Result]) -> dict[str, float]:
    """Each mark averaged over the seeds that have it."""
    marks: dict[str, list[float]] = {name: [] for name in results[0].marks}
    for r in results:
        for name in marks.keys() & r.marks.keys():
            marks[name].append(r.marks[name])
    return {name: fmean(found) for name, found in marks.items()}


def _reliability(results: Sequence[Result]) -> dict[str, NDArray[np.float64]]:
    """Of the models that all cells have it of."""
    common = set(ROLES).intersection(*(r.reliability for r in results))
    found = {}
    for role in [role for role in ROLES if role in common]:
        curves = [r.reliability[role] for r in results]
        found[role] = diagnostics.pooled(curves)
    return found


def _over_naive(cells: Mapping[int, Result], naive: Mapping[int, Result]) -> dict[str, Any]:
    """On the seeds that both have."""
    seeds = [seed for seed in cells if seed in naive]
    if not seeds:
        return {}
    own = [cells[seed].correct[STUDENT] for seed in seeds]
    gain = metrics.difference(own, [naive[seed].correct[STUDENT] for seed in seeds])
    if all(cells[seed].models[STUDENT] == naive[seed].models[STUDENT] for seed in seeds):
        # The very same students, so that it is certain.
        gain = replace(gain, low=0.0, high=0.0, se=None)
    return {
        "over_naive": gain.value,
        "over_naive_low": gain.low,
        "over_naive_high": gain.high,
        "over_naive_seeds": len(seeds),
        "over_naive_detectable": diagnostics.detectable(gain),
    }


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
        labels = (first["method", g.method], first["variant", g.variant])
        return task, ladder, weak, strong, *labels, first["digest", g.digest]

    return order
