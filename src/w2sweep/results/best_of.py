"""What is written down of the replies that a cell's reward models choose, and the arithmetic of
choosing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pydantic
from numpy.typing import ArrayLike, NDArray

TRUTH = "truth"
"""Who chooses by the true quality."""
DIGITS = 5
"""Behind the point, of what is written down."""


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config={"extra": "ignore"})
class BestReplies:
    """How good the best of n replies are in truth, by who chooses them."""

    stages: dict[str, str]
    """Role -> which stage of the store scored the replies."""
    written_by: str
    """Who wrote the replies, in words."""
    replies: int
    """To each question."""
    n: list[int]
    """From how many is chosen, from 1 on [K]."""
    quality: dict[str, list[list[float]]]
    """Who chooses -> the expected true quality of the chosen reply to each question [K, P]."""
    good: dict[str, dict[str, list[float]]]
    """Who chooses -> respect -> how often the chosen reply is good in it [K]."""
    believed: dict[str, list[float]]
    """Who chooses -> the score that it gives to what it chooses, in standard deviations of its
    scores of all replies to a question, above their mean [K]."""

    def means(self, who: str) -> NDArray[np.float64]:
        """The mean true quality over questions [K]."""
        return np.array(self.quality[who]).mean(1)


def chosen(
    n: Sequence[int],
    scores: Mapping[str, ArrayLike],
    marks: ArrayLike,
    weights: Mapping[str, float],
    stages: Mapping[str, str],
    written_by: str,
) -> BestReplies:
    """What the scores of all models say is best, and the truth.

    Args:
        n: from how many is chosen [K].
        scores: role -> scores of N replies to each of P questions [P, N].
        marks: whether each reply is good in each of R respects [P, N, R].
        weights: respect -> how much it counts, in the order of the marks.
        stages: role -> the stage of the scores.
        written_by: who wrote the replies.
    """
    good = np.asarray(marks, float)
    quality = (2 * good - 1) @ np.array(list(weights.values()))
    everybody = {**scores, TRUTH: quality}
    picked = {who: chances(said, n) for who, said in everybody.items()}
    by_respect, believed = {}, {}
    for who, weight in picked.items():
        found = np.einsum("kpn,pnr->kr", weight, good) / len(quality)
        by_respect[who] = dict(zip(weights, _rounded(found.T), strict=True))
        believed[who] = _rounded((weight * _standard(everybody[who])).sum(2).mean(1))
    return BestReplies(
        stages=dict(stages),
        written_by=written_by,
        replies=quality.shape[1],
        n=list(n),
        quality={who: _rounded((weight * quality).sum(2)) for who, weight in picked.items()},
        good=by_respect,
        believed=believed,
    )


def chances(scores: ArrayLike, n: Sequence[int]) -> NDArray[np.float64]:
    """How likely each of N replies is the best of n that are drawn from them without replacement,
    for each question [K, P, N].

    Of all sets of n, the share C(i - 1, n - 1) / C(N, n) has the i-th lowest score for its highest;
    equal scores share what they have together. Sums with these weights are unbiased: so many sets
    say more than a single one of n replies.

    Args:
        scores: [P, N].
        n: up to N each [K].
    """
    return np.stack([_of_question(row, n) for row in np.asarray(scores, float)], axis=1)


def bits(n: ArrayLike) -> NDArray[np.float64]:
    """The optimization that is in choosing the best of n, in bits: log2 n."""
    return np.log2(np.asarray(n, float))


def divergence(n: ArrayLike) -> NDArray[np.float64]:
    """How far the best of n is from a random reply, as the KL divergence of the two distributions
    in nats where no two replies score the same: log n - (n - 1) / n. (Gao et al. 2022.)"""
    n = np.asarray(n, float)
    return np.log(n) - (n - 1) / n


def _of_question(scores: NDArray[np.float64], n: Sequence[int]) -> NDArray[np.float64]:
    """Of the replies to one question [K, N]."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    up_to = np.cumsum(counts)
    logs = np.log(np.arange(1, len(scores) + 1))
    factorials = np.concatenate([[0.0], np.cumsum(logs)])
    below = [_all_below(up_to, each, factorials) for each in n]
    own = np.diff(np.array(below), axis=1, prepend=0.0)
    return (own / counts)[:, place]


def _all_below(
    up_to: NDArray[np.int64], n: int, factorials: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The share of all sets of `n` out of N that lie within the lowest `up_to` [U] ones:
    C(up_to, n) / C(N, n) [U].

    `factorials`: the logarithms of 0!, 1!, ..., N!.
    """
    there, total = np.maximum(up_to, n), len(factorials) - 1
    sets = factorials[there] - factorials[there - n]
    everything = factorials[total] - factorials[total - n]
    return np.where(up_to < n, 0.0, np.exp(sets - everything))


def _standard(scores: ArrayLike) -> NDArray[np.float64]:
    """Scores [P, N] less their mean over replies, in their standard deviations."""
    scores = np.asarray(scores, float)
    spread = scores.std(1, keepdims=True)
    return (scores - scores.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1.0)


def _rounded(numbers: NDArray[np.float64]) -> list:
    return numbers.round(DIGITS).tolist()
