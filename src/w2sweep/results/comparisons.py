"""Many methods compared with one baseline at once, so that the best of them is no finding by luck.

Of twenty methods that change nothing, one is told from the baseline at the 5 % level by accident,
and the best one looks good. Here the chance that a family of comparisons has *any* such accident is
5 % at most (the family-wise error rate):

- each comparison is paired: a seed has one world, one supervisor and one test split for all
  methods, so what is tested is the mean over seeds of the differences;
- its p-value is that of Student's t over the seeds (see `intervals.p_value`);
- p-values are corrected by Holm's step-down procedure (1979): the smallest of M is multiplied by M,
  the next one by M - 1, and so on. It assumes nothing of how the comparisons depend on each other,
  and these do, for all have the same baseline;
- beside the plain interval of each comparison stands a wider one, of level 1 - 0.05 / M
  (Bonferroni): that all M of those hold their true values at once has a chance of 95 %, so that it
  may be read of the method that came out best, too.

Why t and not a test that permutes signs: of S seeds there are 2^S patterns of signs, so a p-value
is 2 / 2^S at least. With ten seeds that is 0.002, and by Holm's procedure nothing among more than
25 comparisons could ever be told from none. (Westfall and Young's maximum over methods mends that;
on simulated zoos of ten seeds it finds as much as Holm's procedure with t, and of five seeds
nothing at all.) A difference here is a mean over hundreds of test examples, and over several tasks,
and so near enough to a normal distribution; tests/results/test_comparisons.py simulates that the
rate is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2sweep.results import intervals
from w2sweep.results.intervals import Estimate

FAMILY_WISE = 0.05
"""The chance that a family of comparisons without any effect has one that is told from none."""


@dataclass(frozen=True)
class PairedMeasure:
    """A difference to the baseline on each of S seeds."""

    per_seed: NDArray[np.float64]
    """[S]"""
    within: NDArray[np.float64]
    """Its variances over the test examples of each seed [S]."""


@dataclass(frozen=True)
class OneOfMany:
    """A mean difference to the baseline, as one of a family of comparisons."""

    estimate: Estimate
    """With the interval of this comparison by itself."""
    low_of_all: float | None
    """Bounds of the interval that holds for all comparisons of the family at once."""
    high_of_all: float | None
    p: float | None
    """By itself."""
    p_holm: float | None
    """Corrected for the family; None where there is a single seed."""
    family: int
    """How many comparisons there are."""

    @property
    def told(self) -> bool:
        """Whether it is told from zero, whatever else the family holds."""
        return self.p_holm is not None and self.p_holm < FAMILY_WISE


def corrected(family: Sequence[PairedMeasure]) -> list[OneOfMany]:
    """What is known of each comparison of a family, in its order. Those of a single seed have no
    p-value and do not count."""
    p_values = [intervals.p_value(of.per_seed, of.within) for of in family]
    known = [p for p in p_values if p is not None]
    stepped = iter(holm(known))
    adjusted = [None if p is None else next(stepped) for p in p_values]
    found = zip(family, p_values, adjusted, strict=True)
    return [_placed(of, p, p_holm, len(known)) for of, p, p_holm in found]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order of the p-values (Scandinavian Journal of Statistics
    6, 1979): p_(i) becomes the largest of (M - j + 1) p_(j) over j <= i, and 1 at most."""
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty_like(p)
    found[order] = np.minimum(stepped, 1.0)
    return found.tolist()


def averaged(measures: Sequence[PairedMeasure]) -> PairedMeasure:
    """The mean of T measures of the same seeds, each on test examples of its own, such as those of
    several tasks."""
    per_seed = np.mean([of.per_seed for of in measures], axis=0)
    within = np.sum([of.within for of in measures], axis=0) / len(measures) ** 2
    return PairedMeasure(per_seed, within)


def _placed(of: PairedMeasure, p: float | None, p_holm: float | None, family: int) -> OneOfMany:
    alone = intervals.mean(of.per_seed, of.within)
    if p is None:
        return OneOfMany(alone, None, None, None, None, family)
    of_all = intervals.mean(of.per_seed, of.within, 1 - FAMILY_WISE / family)
    return OneOfMany(alone, of_all.low, of_all.high, p, p_holm, family)
