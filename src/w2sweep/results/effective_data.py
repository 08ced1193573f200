"""What pretraining is worth in tokens of a target text: effective data transferred.

Hernandez et al. 2021, arXiv 2102.01293: D_E is how many tokens a model with random weights needs to
reach the loss of a pretrained one that has read D_F of them; D_T = D_E - D_F is what was
transferred, and D_T = k D_F^alpha N^beta for models of N parameters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from w2sweep.results.intervals import Estimate, of_error

PARAMETERS = 3
"""Of the law: k, alpha, beta."""


@dataclass(frozen=True)
class Effective:
    """How many tokens reach a loss, or where they lie beyond what was measured."""

    tokens: float | None
    beyond: Literal["below", "above"] | None = None
    """`below`: the fewest tokens that were tried do better. `above`: the most do not reach it."""


def effective_tokens(tokens: ArrayLike, losses: ArrayLike, loss: float) -> Effective:
    """How many tokens reach `loss`, by linear interpolation in the logarithm of tokens.

    Nothing is extrapolated. Where more tokens happened to give a higher loss, they are passed over:
    the line goes through the numbers of tokens that gave a better one than all fewer did.

    Args:
        tokens: [D], of models with random weights.
        losses: [D], what they reach.
        loss: what is to be reached.
    """
    order = np.argsort(np.asarray(tokens, float))
    at = np.log(np.asarray(tokens, float)[order])
    reached = np.minimum.accumulate(np.asarray(losses, float)[order])
    if loss > reached[0]:
        return Effective(None, "below")
    if loss < reached[-1]:
        return Effective(None, "above")
    first = np.unique(reached, return_index=True)  # ascending losses, each where it is first met
    return Effective(float(np.exp(np.interp(loss, first[0], at[first[1]]))))


@dataclass(frozen=True)
class Transferred:
    """What one pretrained model shows: a point of the fit."""

    seed: int
    size: float
    """N, its parameters."""
    tokens: float
    """D_F."""
    transferred: float
    """D_T, above zero."""


@dataclass(frozen=True)
class TransferLaw:
    """D_T = k D_F^alpha N^beta, with 95 % intervals."""

    k: Estimate
    alpha: Estimate
    beta: Estimate
    typical: Estimate
    """D_T at a D_F and an N of usual size: k alone is an extrapolation to one token."""
    at: tuple[float, float]
    """These two."""
    points: int
    seeds: int
    over: str
    """What the intervals are over: "seeds", or, of one seed, "points"."""

    def __call__(self, tokens: ArrayLike, size: float) -> NDArray[np.float64]:
        """D_T of models of `size` parameters that have read `tokens` [D]; [D]."""
        typical, alpha, beta = (e.value or 0.0 for e in (self.typical, self.alpha, self.beta))
        more = np.asarray(tokens, float) / self.at[0]
        return typical * more**alpha * (size / self.at[1]) ** beta


def fit_transfer(
    points: Sequence[Transferred], at: tuple[float, float] | None = None
) -> TransferLaw | None:
    """The law of these points, by least squares in logarithms.

    Each seed is fitted by itself; a coefficient is the mean over seeds, and its interval Student's
    t over them, for the points of a seed share a world and so are not independent. Seeds with no
    more points than the law has parameters, or with a single D_F or N, are left out. Of one seed
    the interval is that of ordinary least squares, over its points. None where no seed is left.

    Args:
        points: of any seeds, numbers of tokens and sizes.
        at: D_F and N at which D_T is told; None: their geometric means over the points.
    """
    by_seed: dict[int, list[Transferred]] = defaultdict(list)
    for point in points:
        by_seed[point.seed].append(point)
    fitted = {seed: of for seed, of in by_seed.items() if _determined(of)}
    if not fitted:
        return None
    used = [point for of in fitted.values() for point in of]
    at = at or centre((p.tokens, p.size) for p in used)
    solved = [_least_squares(of, at) for of in fitted.values()]
    middle, alpha, beta, k = _estimates(solved, at)
    over = "seeds" if len(fitted) > 1 else "points"
    return TransferLaw(_raised(k), alpha, beta, _raised(middle), at, len(used), len(fitted), over)


@dataclass(frozen=True)
class _Solution:
    """Of one seed's least squares: log D_T in the middle, alpha, beta."""

    coefficients: NDArray[np.float64]
    """[3]"""
    covariance: NDArray[np.float64]
    """[3, 3]"""
    freedom: int
    """Degrees of freedom that are left."""


def _determined(points: Sequence[Transferred]) -> bool:
    rows = _design(points, centre((p.tokens, p.size) for p in points))
    return len(points) > PARAMETERS and np.linalg.matrix_rank(rows, tol=1e-6) == PARAMETERS


def centre(read: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """The geometric means of D_F and of N, of pairs of them above zero."""
    logs = np.log(list(read)).mean(0)
    return float(np.exp(logs[0])), float(np.exp(logs[1]))


def _design(points: Sequence[Transferred], at: tuple[float, float]) -> NDArray[np.float64]:
    """[P, 3]: one, and the logarithms of D_F and N relative to the middle."""
    logs = [(1.0, np.log(p.tokens / at[0]), np.log(p.size / at[1])) for p in points]
    return np.array(logs)


def _least_squares(points: Sequence[Transferred], at: tuple[float, float]) -> _Solution:
    rows, goal = _design(points, at), np.log([p.transferred for p in points])
    found = np.linalg.lstsq(rows, goal, rcond=None)[0]
    freedom = len(points) - PARAMETERS
    variance = float(((goal - rows @ found) ** 2).sum()) / freedom
    covariance = variance * np.linalg.inv(rows.T @ rows)
    return _Solution(found.astype(np.float64), covariance.astype(np.float64), freedom)


def _estimates(solved: Sequence[_Solution], at: tuple[float, float]) -> list[Estimate]:
    """log D_T in the middle, alpha, beta, and log k."""
    towards = np.vstack([np.eye(PARAMETERS), [1.0, *-np.log(at)]])  # [4, 3]
    per_seed = np.array([towards @ s.coefficients for s in solved])  # [S, 4]
    if len(solved) > 1:
        errors = per_seed.std(0, ddof=1) / np.sqrt(len(solved))
        freedom = len(solved) - 1
    else:
        errors = np.sqrt(np.diag(towards @ solved[0].covariance @ towards.T))
        freedom = solved[0].freedom
    pairs = zip(per_seed.mean(0).tolist(), errors.tolist(), strict=True)
    return [of_error(value, error, freedom) for value, error in pairs]


def _raised(logarithm: Estimate) -> Estimate:
    """The estimate of what this is the logarithm of. A standard error does not survive that."""
    bounds = np.array([logarithm.value, logarithm.low, logarithm.high], float)
    value, low, high = np.exp(bounds).tolist()
    return Estimate(value, None, low, high)
