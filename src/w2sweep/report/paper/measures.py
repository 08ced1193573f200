"""What is measured of a sweep, to hold it against a finding of the paper.

Seeds are paired wherever two groups of cells are compared. Accuracies are in points of percent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from w2sweep.report.grades import grades
from w2sweep.results import intervals, metrics
from w2sweep.results.cell import CEILING, STUDENT, SUPERVISOR, Result
from w2sweep.results.intervals import UNDEFINED, Estimate
from w2sweep.results.sweep_folder import SweepFolder

FAMILIES = ("nlp", "reward", "chess")
Measure = Callable[[Sequence[Result]], Estimate]
"""Of the results of one task."""
Pair = tuple[str, str]
"""A weak and a strong rung."""
Scalar = Callable[[Result], float | None]
"""Of one cell."""


@dataclass(frozen=True)
class Who:
    """One of the models of a sweep, over seeds."""

    method: str = "naive"
    role: str = STUDENT
    where: Mapping[str, str] = field(default_factory=dict)
    """Overrides that its cells must have, key -> value."""
    smallest: bool = False
    """Whether it is of the smallest student's cells, instead of the largest one's."""

    def within(self, results: Sequence[Result]) -> list[Result]:
        """All its cells."""
        mine = [r for r in results if r.method == self.method and self._fits(r)]
        return [r for r in mine if self.role in r.models]

    def pair(self, results: Sequence[Result]) -> Pair:
        """The rungs that it is told of, of these cells: those of the weakest supervisor."""
        size = min if self.smallest else max
        sized = size(results, key=lambda r: r.rungs[r.strong].compute)
        same = [r for r in results if r.strong == sized.strong]
        weakest = min(same, key=lambda r: r.rungs[r.weak].compute)
        return weakest.weak, weakest.strong

    def _fits(self, r: Result) -> bool:
        return all(r.variant.get(key) == value for key, value in self.where.items())


def paired(results: Sequence[Result], *models: Who) -> list[tuple[Result, ...]]:
    """A cell of each model, for every seed that all of them have.

    Those of the largest students are of the same two rungs, and so are those of the smallest, also
    where one of them has failed on a larger one. None where the two sizes are one, and none where
    several cells fit a model and a seed, for nobody says which of them is meant.
    """
    own = [model.within(results) for model in models]
    sizes = [model.smallest for model in models]
    at: dict[bool, Pair] = {}
    for smallest in dict.fromkeys(sizes):
        sides = [its for its, of in zip(own, sizes, strict=True) if of == smallest]
        shared = _of_shared_rungs(sides)
        if not shared:
            return []
        at[smallest] = Who(smallest=smallest).pair(shared)
    if len({strong for _, strong in at.values()}) < len(at):
        return []
    by_seed = [_by_seed(its, at[of]) for its, of in zip(own, sizes, strict=True)]
    seeds = [seed for seed in by_seed[0] if _all_have(by_seed, seed)]
    return [_of_seed(by_seed, seed) for seed in seeds]


def _of_shared_rungs(sides: Sequence[Sequence[Result]]) -> list[Result]:
    """The cells of the first model whose two rungs all models have."""
    everywhere = set.intersection(*map(_rungs, sides))
    return [r for r in sides[0] if (r.weak, r.strong) in everywhere]


def _rungs(cells: Sequence[Result]) -> set[Pair]:
    return {(r.weak, r.strong) for r in cells}


def _of_seed(by_seed: Sequence[Mapping[int, Result]], seed: int) -> tuple[Result, ...]:
    return tuple(of[seed] for of in by_seed)


def _by_seed(cells: Sequence[Result], at: Pair) -> dict[int, Result]:
    """Those of two rungs; {} where a seed has several."""
    found = [r for r in cells if (r.weak, r.strong) == at]
    by_seed = {r.seed: r for r in found}
    return by_seed if len(by_seed) == len(found) else {}


def _all_have(by_seed: Sequence[Mapping[int, Result]], seed: int) -> bool:
    return all(seed in of for of in by_seed)


def each_task(
    measure: Measure, families: Collection[str] = FAMILIES
) -> Callable[[SweepFolder], dict[str, Estimate]]:
    """The measure on each task of these families."""

    def measured(sweep: SweepFolder) -> dict[str, Estimate]:
        by_task: dict[str, list[Result]] = defaultdict(list)
        for r in sweep.results:
            if r.family in families:
                by_task[r.task].append(r)
        return {task: measure(results) for task, results in by_task.items()}

    return measured


def gain(who: Who, over: Who) -> Measure:
    """How much more accurate one model is than another on the same test examples, in points."""

    def measured(results: Sequence[Result]) -> Estimate:
        pairs = paired(results, who, over)
        if not pairs:
            return UNDEFINED
        better = [first.correct[who.role] for first, _ in pairs]
        worse = [second.correct[over.role] for _, second in pairs]
        return scaled(of_seeds(metrics.difference(better, worse), len(pairs)), 100)

    return measured


def recovered(who: Who) -> Measure:
    """PGR with a model in the student's place."""

    def measured(results: Sequence[Result]) -> Estimate:
        roles = (SUPERVISOR, who.role, CEILING)
        found = [r for (r,) in paired(results, who)]
        answers = [r.right(roles) for r in found]
        return of_seeds(metrics.pgr_over_seeds(answers), len(found)) if answers else UNDEFINED

    return measured


def change(scalar: Scalar, who: Who, since: Who, scale: float = 100) -> Measure:
    """How much larger a number is in one group of cells than in another, `scale` times."""

    def measured(results: Sequence[Result]) -> Estimate:
        pairs = [(scalar(first), scalar(second)) for first, second in paired(results, who, since)]
        changes = [a - b for a, b in pairs if a is not None and b is not None]
        return scaled(over_seeds(changes), scale)

    return measured


def change_of_gain(who: Who, over: Who) -> Measure:
    """How much more one model gains over another with the largest student than with the smallest,
    in points."""
    models = (who, over, replace(who, smallest=True), replace(over, smallest=True))

    def measured(results: Sequence[Result]) -> Estimate:
        changes = []
        for large, large_over, small, small_over in paired(results, *models):
            gained = large.accuracy(who.role) - large_over.accuracy(over.role)
            before = small.accuracy(who.role) - small_over.accuracy(over.role)
            changes.append(gained - before)
        return scaled(over_seeds(changes), 100)

    return measured


def gain_on_errors(who: Who, over: Who) -> Measure:
    """How much more one model gains over another where the supervisor is wrong than where it is
    right, in points; of the seeds on which it is sometimes wrong and sometimes right."""

    def measured(results: Sequence[Result]) -> Estimate:
        gains = [
            _on_errors(first, first.correct[who.role], second.correct[over.role])
            for first, second in paired(results, who, over)
        ]
        return scaled(over_seeds([gain for gain in gains if gain is not None]), 100)

    return measured


def _on_errors(cell: Result, better: NDArray[np.uint8], worse: NDArray[np.uint8]) -> float | None:
    """The gain of one model over another, of which is given whether they are right [N], where the
    supervisor is wrong, minus that where it is right; None where it is only one of the two."""
    gained, wrong = better.astype(float) - worse, cell.correct[SUPERVISOR] == 0
    if wrong.all() or not wrong.any():
        return None
    return float(gained[wrong].mean() - gained[~wrong].mean())


def on_hardest(who: Who, over: Who, margin: float) -> Measure:
    """How much more accurate one student is than another on the hardest third of the test examples,
    plus a margin, in points."""

    def measured(results: Sequence[Result]) -> Estimate:
        pairs = paired(results, who, over)
        first, second = map(grades, zip(*pairs, strict=True)) if pairs else (None, None)
        if first is None or second is None:
            return UNDEFINED
        found = of_seeds(first.over(second, STUDENT, second.hardest_third), len(pairs))
        return shifted(scaled(found, 100), margin)

    return measured


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean of one value a seed, with Student's interval; of a single seed there is none."""
    if len(values) < 2:
        return of_seeds(Estimate(values[0]), 1) if values else UNDEFINED
    return intervals.mean(values, np.zeros(len(values)))


def of_seeds(found: Estimate, seeds: int) -> Estimate:
    """The estimate, which says so where it is of a single seed."""
    return replace(found, one_seed=seeds == 1)


def scaled(found: Estimate, by: float) -> Estimate:
    """The same in another unit; `by` is positive."""
    numbers = (found.value, found.se, found.low, found.high)
    value, se, low, high = (None if x is None else by * x for x in numbers)
    return replace(found, value=value, se=se, low=low, high=high)


def shifted(found: Estimate, by: float) -> Estimate:
    """The same, higher by a number."""
    moved = [None if x is None else x + by for x in (found.value, found.low, found.high)]
    return replace(found, value=moved[0], low=moved[1], high=moved[2])
