"""What is measured of a cell, and over seeds: accuracy, agreement, the performance gap recovered.

Arrays called `correct` say whether each of N test examples was answered rightly. Paired answers of
K models to the same examples are [K, N], and each seed has an array of its own. R resamples of a
bootstrap are drawn from S seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Agreement:
    """How often the student answers as its supervisor does; None where there is no such example."""

    overall: float
    weak_right: float | None
    weak_wrong: float | None


@dataclass(frozen=True)
class PGR:
    """The performance gap recovered, or why it is not defined: never clipped."""

    value: float | None
    undefined: str | None = None


@dataclass(frozen=True)
class Estimate:
    """A number with a bootstrap interval that contains `level` of all resamples."""

    value: float | None
    se: float | None = None
    """Standard deviation over the resamples; None where there is no interval."""
    low: float | None = None
    high: float | None = None
    undefined: str | None = None
    """Why there is no value."""
    undefined_resamples: float = 0.0
    """Share of the resamples without a value. They count as outside of the interval; where they are
    more than 1 - level of all, no interval of that level exists."""


def accuracy(correct: ArrayLike) -> float:
    """The share of right answers in `correct` [N]. Raises ValueError on an empty array."""
    correct = np.asarray(correct)
    if correct.size == 0:
        raise ValueError("accuracy of no examples: found an empty array, expected [N] with N > 0")
    return float(correct.mean())


def agreement(agrees: ArrayLike, weak_correct: ArrayLike) -> Agreement:
    """Agreement overall, and where the supervisor is right or wrong.

    Burns et al. 2023, section 5.1.3.

    Args:
        agrees: [N], whether the student answers each example as its supervisor does.
        weak_correct: [N], whether the supervisor answers it rightly.
    """
    agrees, right = np.asarray(agrees, bool), np.asarray(weak_correct, bool)
    return Agreement(accuracy(agrees), _mean(agrees[right]), _mean(agrees[~right]))


def pgr(weak: float, student: float, ceiling: float) -> PGR:
    """(student - weak) / (ceiling - weak), from accuracies. Burns et al. 2023, section 3."""
    if not _above(ceiling, weak):
        return PGR(None, f"ceiling {ceiling:.3f} <= weak {weak:.3f}")
    return PGR((student - weak) / (ceiling - weak))


def standard_error(values: Sequence[float]) -> float | None:
    """The standard error of the mean of `values`; None with fewer than two of them."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def pgr_over_seeds(
    correct: Sequence[ArrayLike], *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """PGR of the accuracies' means over seeds, with a paired bootstrap interval.

    Each resample draws seeds, and within each seed test examples, with replacement; it draws the
    same ones for all three models.

    Args:
        correct: [3, N] for each seed: supervisor, student and ceiling on the same test examples.
        resamples: how many are drawn.
        level: the share of them that the interval contains.
        seed: of the random numbers.
    """
    weak, student, ceiling = _means(correct)
    mean = pgr(weak, student, ceiling)
    drawn = _pgrs(resampled_means(correct, resamples, seed))
    return _estimate(mean.value, mean.undefined, drawn, level)


def difference(
    a: Sequence[ArrayLike],
    b: Sequence[ArrayLike],
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Mean accuracy of `a` minus that of `b`, with a paired bootstrap interval.

    Raises ValueError where `a` and `b` have different seeds or different test examples.

    Args:
        a: [N] for each seed.
        b: [N] for each of the same seeds, on the same test examples.
        resamples: how many are drawn.
        level: the share of them that the interval contains.
        seed: of the random numbers.
    """
    pairs = [np.stack([np.asarray(x), np.asarray(y)]) for x, y in zip(a, b, strict=True)]
    mean_a, mean_b = _means(pairs)
    means = resampled_means(pairs, resamples, seed)
    return _estimate(mean_a - mean_b, None, means[:, 0] - means[:, 1], level)


def largest_step(
    accuracies: ArrayLike, *, resamples: int = 2000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """The share of the climb from the first rung to the last that its largest step takes.

    It is of the accuracies averaged over seeds, with an interval over resampled seeds, and over 1
    where a later rung falls back.

    Args:
        accuracies: [S, rungs], the weakest rung first.
        resamples: how many are drawn.
        level: the share of them that the interval contains.
        seed: of the random numbers.
    """
    accuracies = np.asarray(accuracies, float)
    share = float(_largest_steps(accuracies.mean(0, keepdims=True))[0])
    if np.isnan(share):
        return Estimate(None, undefined="the last rung is not above the first")
    if len(accuracies) == 1:
        return Estimate(share)
    drawn = np.random.default_rng(seed).integers(len(accuracies), size=(resamples, len(accuracies)))
    return _estimate(share, None, _largest_steps(accuracies[drawn].mean(1)), level)


def resampled_means(correct: Sequence[ArrayLike], resamples: int, seed: int) -> NDArray[np.float64]:
    """Accuracies [R, K], averaged over resampled seeds, from an array [K, N] for each seed.

    K paired answers have 2^K joint outcomes, and drawing N examples with replacement is drawing how
    often each outcome occurs: one multinomial instead of N indices. Raises ValueError where the
    arrays have no such shape.
    """
    rng = np.random.default_rng(seed)
    k = len(np.asarray(correct[0]))
    counts = np.array([_outcomes(np.asarray(c), k) for c in correct])  # [S, 2^K]
    n = counts.sum(1)  # [S]
    drawn = rng.integers(len(counts), size=(resamples, len(counts)))  # [R, S]
    resampled = rng.multinomial(n[drawn], (counts / n[:, None])[drawn])  # [R, S, 2^K]
    right = np.arange(2**k)[:, None] >> np.arange(k) & 1  # [2^K, K]
    return (resampled @ right / n[drawn][..., None]).mean(1)


def _mean(values: NDArray) -> float | None:
    return float(values.mean()) if values.size else None


def _means(correct: Sequence[ArrayLike]) -> list[float]:
    """The K accuracies averaged over seeds, from an array [K, N] for each seed."""
    return np.mean([np.asarray(c).mean(1) for c in correct], axis=0).tolist()


def _above(ceiling: ArrayLike, weak: ArrayLike) -> NDArray[np.bool_]:
    # Accuracies are means of counts: what lies closer than this is equal but for rounding.
    return np.asarray(ceiling) - np.asarray(weak) > 1e-9


def _pgrs(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """PGR [R] of accuracies [R, 3]; nan where it is undefined."""
    weak, student, ceiling = means.T
    return _shares(student - weak, ceiling - weak, _above(ceiling, weak))


def _largest_steps(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares [R] of the climbs [R, rungs]; nan where there is no climb."""
    first, last = means[:, 0], means[:, -1]
    return _shares(np.diff(means).max(1), last - first, _above(last, first))


def _shares(
    part: NDArray[np.float64], whole: NDArray[np.float64], defined: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """`part` over `whole`, [R]; nan where it is not defined."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=defined)


def _outcomes(correct: NDArray, k: int) -> NDArray[np.int64]:
    """How often each joint outcome [2^K] of paired answers [K, N] occurs."""
    if correct.ndim != 2 or len(correct) != k or correct.shape[1] == 0:
        raise ValueError(
            f"paired answers of one seed have shape {list(correct.shape)}, "
            f"expected [{k}, N] with N > 0"
        )
    bits = correct.astype(bool) << np.arange(k)[:, None]  # [K, N]
    return np.bincount(bits.sum(0), minlength=2**k)


def _estimate(
    value: float | None, undefined: str | None, resamples: NDArray[np.float64], level: float
) -> Estimate:
    """`value` with the interval of `resamples` [R], which are nan where there is no value."""
    defined = resamples[~np.isnan(resamples)]
    share = 1 - len(defined) / len(resamples)
    if value is None or share > 1 - level:
        return Estimate(value, undefined=undefined, undefined_resamples=share)
    # The tail is one of the defined resamples, so that `level` of all of them lie inside.
    tail = (1 - level - share) / 2 / (1 - share)
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Estimate(value, float(defined.std()), float(low), float(high), None, share)
