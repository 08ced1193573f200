"""What is written down of a cell whose models are told apart by the difficulty of examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pydantic
from numpy.typing import ArrayLike, NDArray


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config={"extra": "ignore"})
class ByDifficulty:
    """How many test examples each model answers rightly, in B bins from easy to hard."""

    measure: str
    """What the difficulty is."""
    trained_on: str
    """The examples that the student saw: easy, all or hard ones."""
    labels: str
    """Whose labels it saw: truth or weak."""
    bins: list[str]
    """Names [B]."""
    n: list[int]
    """Test examples [B]."""
    beyond: bool
    """Whether the last bin is of examples that the largest rung is wrong about."""
    right: dict[str, list[int]]
    """Role -> how many of them it answers rightly [B]."""


def counted(
    bins: ArrayLike, correct: Mapping[str, ArrayLike], names: Sequence[str]
) -> tuple[list[int], dict[str, list[int]]]:
    """Examples in each of B bins, and by role how many of them are answered rightly.

    Args:
        bins: of each example [N].
        correct: role -> whether it answers each example rightly [N].
        names: of the bins [B].
    """
    bins = np.asarray(bins)

    def count(of: NDArray[np.bool_]) -> list[int]:
        return np.bincount(bins[of], minlength=len(names)).tolist()

    everything = np.ones(len(bins), dtype=bool)
    return count(everything), {r: count(np.asarray(c, bool)) for r, c in correct.items()}
