"""Means and ratios over few seeds, with standard errors and 95 % intervals that hold what they say.

Two things make a mean over seeds uncertain: another seed has another world, other splits and other
models, and within a seed other test examples might have been drawn. Student's t over the seeds
covers both, for seeds differ in their test examples too, but with two or three seeds their spread
is sometimes small by accident; what the test examples alone leave open is known with a single seed.
An interval here is the union of the two, and a standard error the larger one. Measures of one seed
have an interval over the test examples only.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error and its 95 % interval."""

    value: float | None
    se: float | None = None
    low: float | None = None
    high: float | None = None
    """None with `low`: there is no interval, for it would be unbounded."""
    undefined: str | None = None
    """Why there is no value."""
    one_seed: bool = False
    """Whether it is known to be of a single seed: then the interval leaves out how seeds differ."""


UNDEFINED = Estimate(None)
"""What is known of nothing."""


@dataclass(frozen=True)
class Spread:
    """How uncertain the means of K paired measures are."""

    covariance: NDArray[np.float64]
    """Of the means [K, K]."""
    quantile: float
    """How many standard errors an interval reaches to either side."""


def covariance(correct: ArrayLike) -> NDArray[np.float64]:
    """The covariances [K, K] of the accuracies of K models over the test examples of one seed.

    They are those of the posterior under a prior that is worth one example, spread evenly over the
    2^K ways to answer it: for a single accuracy it is Jeffreys' prior. So an accuracy of 100 % on
    forty examples is not certain, and neither is that two models with the same answers are equal.

    Args:
        correct: whether each model answers each example rightly [K, N].
    """
    right = np.asarray(correct, float)
    k, n = right.shape
    prior = np.full((k, k), 0.25) + np.eye(k) / 4  # the second moments of even coins
    mean = (right.sum(1) + 0.5) / (n + 1)
    second = (right @ right.T + prior) / (n + 1)
    return (second - np.outer(mean, mean)) / (n + 2)


def variances(shares: ArrayLike, counts: ArrayLike) -> NDArray[np.float64]:
    """The same of single shares [S] of `counts` examples [S] each."""
    shares, counts = np.asarray(shares, float), np.asarray(counts, float)
    mean = (shares * counts + 0.5) / (counts + 1)
    return mean * (1 - mean) / (counts + 2)


def mean(per_seed: ArrayLike, within: ArrayLike, level: float = LEVEL) -> Estimate:
    """The mean over seeds of a measure [S], whose variances over test examples are `within` [S],
    with an interval of this level."""
    per_seed, within = np.asarray(per_seed, float), np.asarray(within, float)
    value = float(per_seed.mean())
    spreads = _spreads(per_seed[:, None], within[:, None, None], level)
    errors = [sqrt(s.covariance[0, 0]) for s in spreads]
    reach = max(error * s.quantile for error, s in zip(errors, spreads, strict=True))
    return Estimate(value, max(errors), value - reach, value + reach)


def p_value(per_seed: ArrayLike, within: ArrayLike) -> float | None:
    """How often a mean at least this far from zero would come about by chance, were it truly zero:
    below 0.05 exactly where the interval of `mean` leaves zero out, and so for any other level.

    So it is the larger one of Student's t over the seeds and of the test examples' own. None of a
    single seed, which says nothing of another one.

    Args:
        per_seed: the measure [S].
        within: its variances over the test examples of each seed [S].
    """
    from scipy.special import ndtr, stdtr

    per_seed, within = np.asarray(per_seed, float), np.asarray(within, float)
    seeds, value = len(per_seed), abs(float(per_seed.mean()))
    if seeds < 2:
        return None
    if value == 0:
        return 1.0
    between = sqrt(float(per_seed.var(ddof=1)) / seeds)
    inside = sqrt(float(within.mean()) / seeds)
    of_seeds = 2 * float(stdtr(seeds - 1, -value / between)) if between else 0.0
    of_examples = 2 * float(ndtr(-value / inside)) if inside else 0.0
    return max(of_seeds, of_examples)


def of_error(value: float, error: float, freedom: int) -> Estimate:
    """A number whose standard error was estimated with so many degrees of freedom."""
    from scipy.special import stdtrit

    reach = error * float(stdtrit(freedom, (1 + LEVEL) / 2))
    return Estimate(value, error, value - reach, value + reach)


def ratio(per_seed: ArrayLike, within: ArrayLike) -> Estimate:
    """The ratio of the means over seeds of two paired measures.

    The interval is Fieller's (1954): all ratios R for which the mean of `first - R second` cannot
    be told from zero. Where the second mean itself cannot be told from zero it is unbounded, and
    there is none.

    Args:
        per_seed: numerator and denominator of each seed [S, 2]; the denominator's mean is not zero.
        within: their covariances over the test examples of each seed [S, 2, 2].
    """
    per_seed, within = np.asarray(per_seed, float), np.asarray(within, float)
    top, bottom = map(float, per_seed.mean(0))
    spreads = _spreads(per_seed, within)
    found = [_fieller(top, bottom, s) for s in spreads]
    bounds = [interval for interval in found if interval]
    if len(bounds) < len(found):
        return Estimate(top / bottom)
    lows, highs = zip(*bounds, strict=True)
    towards = np.array([1.0, -top / bottom])
    variance = max(float(towards @ s.covariance @ towards) for s in spreads)
    error = sqrt(max(variance, 0.0)) / abs(bottom)
    return Estimate(top / bottom, error, min(lows), max(highs))


def _spreads(
    per_seed: NDArray[np.float64], within: NDArray[np.float64], level: float = LEVEL
) -> list[Spread]:
    """Within seeds, and, of several, between them: of K measures of each seed [S, K], whose
    covariances over test examples are `within` [S, K, K]."""
    from scipy.special import ndtri, stdtrit  # takes a while, and planning needs none of it

    seeds, tail = len(per_seed), (1 + level) / 2
    found = [Spread(within.mean(0) / seeds, float(ndtri(tail)))]
    if seeds > 1:
        between = np.atleast_2d(np.cov(per_seed, rowvar=False)) / seeds
        found.append(Spread(between, float(stdtrit(seeds - 1, tail))))
    return found


def _fieller(top: float, bottom: float, spread: Spread) -> tuple[float, float] | None:
    """The ratios R with (top - R bottom)² <= q² Var(top - R bottom); None: they are unbounded."""
    (v_top, v_both), (_, v_bottom) = spread.quantile**2 * spread.covariance
    a, b, c = bottom**2 - v_bottom, top * bottom - v_both, top**2 - v_top
    if a <= 0:
        return None
    root = sqrt(max(b**2 - a * c, 0.0))
    return float((b - root) / a), float((b + root) / a)
