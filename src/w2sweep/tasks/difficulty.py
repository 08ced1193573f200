"""Difficulty as a task itself knows it: a puzzle's rating, how many moves compete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Scale:
    """What whole numbers stand for a task's difficulty, and the bins that figures have of them."""

    name: str
    """What is counted or rated: the higher, the harder."""
    starts: Sequence[int]
    """The lowest number of each bin, ascending. What is lower is of the first bin; the last one has
    no end."""

    @property
    def bins(self) -> list[str]:
        """A name for each bin, such as "4", "5–6" and "7+"."""
        return [*(_bin(low, end) for low, end in pairwise(self.starts)), f"{self.starts[-1]}+"]

    def bin(self, difficulty: ArrayLike) -> NDArray[np.int64]:
        """The bin of each of N difficulties [N]."""
        return np.searchsorted(self.starts[1:], np.asarray(difficulty), side="right")


def _bin(low: int, end: int) -> str:
    return f"{low}" if end == low + 1 else f"{low}–{end - 1}"
