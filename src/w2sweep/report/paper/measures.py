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

    def cells(self, results: Sequence[Result]) -> dict[int, Result]:
        """Its cells by seed: those of the weakest supervisor."""
        mine = [r for r in results if r.method == self.method and self._fits(r)]
        having = [r for r in mine if self.role in r.models]
        if not having:
            return {}
        pick = min if self.smallest else max
        size = pick(r.rungs[r.strong].compute for r in having)
        sized = [r for r in having if r.rungs[r.strong].compute == size]
        weakest = min(r.rungs[r.weak].compute for r in sized)
        return {r.seed: r for r in sized if r.rungs[r.weak].compute == weakest}

    def _fits(self, r: Result) -> bool:
        return all(r.variant.get(key) == value for key, value in self.where.items())


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
        first, second = who.cells(results), over.cells(results)
        seeds = [seed for seed in first if seed in second]
        if not seeds:
            return UNDEFINED
        better = [first[seed].correct[who.role] for seed in seeds]
        worse = [second[seed].correct[over.role] for seed in seeds]
        return scaled(metrics.difference(better, worse), 100)

    return measured


def recovered(who: Who) -> Measure:
    """PGR with a model in the student's place."""

    def measured(results: Sequence[Result]) -> Estimate:
        roles = (SUPERVISOR, who.role, CEILING)
        answers = [r.right(roles) for r in who.cells(results).values()]
        return metrics.pgr_over_seeds(answers) if answers else UNDEFINED

    return measured


def change(scalar: Scalar, who: Who, since: Who, scale: float = 100) -> Measure:
    """How much larger a number is in one group of cells than in another, `scale` times."""

    def measured(results: Sequence[Result]) -> Estimate:
        first, second = who.cells(results), since.cells(results)
        pairs = [(scalar(first[s]), scalar(second[s])) for s in first if s in second]
        changes = [a - b for a, b in pairs if a is not None and b is not None]
        return scaled(over_seeds(changes), scale)

    return measured


def change_of_gain(who: Who, over: Who) -> Measure:
    """How much more one model gains over another with the largest student than with the smallest,
    in points."""
    small, over_small = replace(who, smallest=True), replace(over, smallest=True)

    def measured(results: Sequence[Result]) -> Estimate:
        largest = _gains(results, who, over)
        smallest = _gains(results, small, over_small)
        changes = [largest[seed] - smallest[seed] for seed in largest if seed in smallest]
        return scaled(over_seeds(changes), 100)

    return measured


def _gains(results: Sequence[Result], who: Who, over: Who) -> dict[int, float]:
    """Seed -> how much more accurate one model is than another, of the seeds that both have."""
    first, second = who.cells(results), over.cells(results)
    shared = [seed for seed in first if seed in second]
    return {s: first[s].accuracy(who.role) - second[s].accuracy(over.role) for s in shared}


def gain_on_errors(who: Who, over: Who) -> Measure:
    """How much more one model gains over another where the supervisor is wrong than where it is
    right, in points."""

    def measured(results: Sequence[Result]) -> Estimate:
        first, second = who.cells(results), over.cells(results)
        gains = [
            _on_errors(first[seed], first[seed].correct[who.role], second[seed].correct[over.role])
            for seed in first
            if seed in second
        ]
        return scaled(over_seeds(gains), 100)

    return measured


def _on_errors(cell: Result, better: NDArray[np.uint8], worse: NDArray[np.uint8]) -> float:
    """The gain of one model over another, of which is given whether they are right [N], where the
    supervisor is wrong, minus that where it is right."""
    gained, wrong = better.astype(float) - worse, cell.correct[SUPERVISOR] == 0
    return float(gained[wrong].mean() - gained[~wrong].mean())


def on_hardest(who: Who, over: Who, margin: float) -> Measure:
    """How much more accurate one student is than another on the hardest third of the test examples,
    plus a margin, in points."""

    def measured(results: Sequence[Result]) -> Estimate:
        first = grades(who.cells(results).values())
        second = grades(over.cells(results).values())
        if first is None or second is None:
            return UNDEFINED
        found = scaled(first.over(second, STUDENT, second.hardest_third), 100)
        return shifted(found, margin)

    return measured


def over_seeds(values: Sequence[float]) -> Estimate:
    """The mean of one value a seed, with Student's interval; of a single seed there is none."""
    if len(values) < 2:
        return Estimate(values[0]) if values else UNDEFINED
    return intervals.mean(values, np.zeros(len(values)))


def scaled(found: Estimate, by: float) -> Estimate:
    """The same in another unit; `by` is positive."""
    numbers = (found.value, found.se, found.low, found.high)
    return Estimate(*(None if x is None else by * x for x in numbers), undefined=found.undefined)


def shifted(found: Estimate, by: float) -> Estimate:
    """The same, higher by a number."""
    moved = [None if x is None else x + by for x in (found.value, found.low, found.high)]
    return replace(found, value=moved[0], low=moved[1], high=moved[2])
