"""What is measured of a cell, and over seeds: accuracy, agreement, the performance gap recovered.

Arrays called `correct` say whether each of N test examples was answered rightly. Paired answers of
K models to the same examples are [K, N], and each of S seeds has an array of its own. All intervals
are made in one way (see `intervals`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from w2sweep.results import intervals
from w2sweep.results.intervals import Estimate


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


def mean_share(shares: Sequence[float], counts: Sequence[int]) -> Estimate:
    """The mean over seeds of shares of examples, such as accuracies.

    Args:
        shares: of each seed [S].
        counts: how many examples each is a share of [S].
    """
    return intervals.mean(shares, intervals.variances(shares, counts))


def pgr_over_seeds(correct: Sequence[ArrayLike]) -> Estimate:
    """PGR of the accuracies' means over seeds.

    There is a value but no interval where the gap cannot be told from zero: then PGR may be
    anything.

    Args:
        correct: [3, N] for each seed: supervisor, student and ceiling on the same test examples.
    """
    means = measured(correct, np.eye(3))[0].mean(0)
    found = pgr(*means.tolist())
    if found.value is None:
        return Estimate(None, undefined=found.undefined)
    return intervals.ratio(*measured(correct, [[-1, 1, 0], [-1, 0, 1]]))


def difference(a: Sequence[ArrayLike], b: Sequence[ArrayLike]) -> Estimate:
    """Mean accuracy of `a` minus that of `b`, paired.

    Raises ValueError where `a` and `b` have different seeds or different test examples.

    Args:
        a: [N] for each seed.
        b: [N] for each of the same seeds, on the same test examples.
    """
    pairs = [np.stack([np.asarray(x), np.asarray(y)]) for x, y in zip(a, b, strict=True)]
    per_seed, within = measured(pairs, [[1, -1]])
    return intervals.mean(per_seed[:, 0], within[:, 0, 0])


def largest_step(correct: Sequence[ArrayLike]) -> Estimate:
    """The share of the climb from the first rung to the last that its largest step takes.

    It is of the accuracies averaged over seeds, and over 1 where a later rung falls back. The
    interval is that of the step that is the largest of these means.

    Args:
        correct: [rungs, N] for each seed, the weakest rung first, on the same test examples.
    """
    rungs = np.eye(len(correct[0]))  # type: ignore[arg-type]
    means = measured(correct, rungs)[0].mean(0)
    if not _above(means[-1], means[0]):
        return Estimate(None, undefined="the last rung is not above the first")
    at = int(np.diff(means).argmax())
    step, climb = rungs[at + 1] - rungs[at], rungs[-1] - rungs[0]
    return intervals.ratio(*measured(correct, [step, climb]))


def measured(
    correct: Sequence[ArrayLike], contrasts: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """M differences of K accuracies: of each seed [S, M], and their covariances over its test
    examples [S, M, M].

    Args:
        correct: [K, N] for each seed.
        contrasts: [M, K], how often each accuracy counts in each difference.
    """
    contrasts = np.asarray(contrasts, float)
    answers = [_paired(c, contrasts.shape[1]) for c in correct]
    per_seed = [contrasts @ a.mean(1) for a in answers]
    within = [contrasts @ intervals.covariance(a) @ contrasts.T for a in answers]
    return np.array(per_seed), np.array(within)


def _paired(correct: ArrayLike, k: int) -> NDArray[np.bool_]:
    """Checked to be of the shape [K, N]."""
    answers = np.asarray(correct, bool)
    if answers.ndim != 2 or len(answers) != k or answers.shape[1] == 0:
        raise ValueError(
            f"paired answers of one seed have shape {list(answers.shape)}, "
            f"expected [{k}, N] with N > 0"
        )
    return answers


def _mean(values: NDArray) -> float | None:
    return float(values.mean()) if values.size else None


def _above(ceiling: float, weak: float) -> bool:
    # Accuracies are means of counts: what lies closer than this is equal but for rounding.
    return ceiling - weak > 1e-9
