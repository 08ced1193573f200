"""How good the replies are that reward models choose, over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from w2sweep.results import intervals
from w2sweep.results.best_of import TRUTH, BestReplies
from w2sweep.results.cell import Result
from w2sweep.results.intervals import Estimate

LATE = 16
"""From here on it is told whether more optimization still helps: the n at which most of what can be
gained easily is gained."""


@dataclass(frozen=True)
class Choosing:
    """What the cells of a row say of the best of n replies."""

    cells: Mapping[int, BestReplies]
    """By seed."""

    @property
    def first(self) -> BestReplies:
        """That of one seed: who wrote the replies, and how many there are, is the same for all."""
        return next(iter(self.cells.values()))

    @property
    def respects(self) -> list[str]:
        """What replies are judged by."""
        return list(self.first.good[TRUTH])

    def quality(self, who: str) -> list[Estimate]:
        """The true quality of the best of n by who chooses [K]."""
        return [self._measured(who, [at]) for at in range(len(self.first.n))]

    def good(self, who: str, respect: str) -> list[float]:
        """How often the best of n is good in a respect [K]."""
        return np.mean([cell.good[who][respect] for cell in self.cells.values()], 0).tolist()

    def believed(self, who: str) -> list[float]:
        """How far above the mean of all replies who chooses puts the best of n [K]."""
        return np.mean([cell.believed[who] for cell in self.cells.values()], 0).tolist()

    def gain(self, who: str) -> Estimate:
        """True quality of the best of the most replies, over that of a random one."""
        return self._measured(who, [-1], [0])

    def late(self, who: str) -> Estimate:
        """What is gained from n = `LATE` on; below zero, optimization does harm."""
        return self._measured(who, [-1], [self.since])

    @property
    def since(self) -> int:
        """Which of the n is the last one of up to `LATE`."""
        return max(at for at, n in enumerate(self.first.n) if n <= LATE)

    def _measured(self, who: str, plus: Sequence[int], minus: Sequence[int] = ()) -> Estimate:
        """The mean over seeds and questions of the quality at some n less that at others."""
        by_seed = [np.array(cell.quality[who]) for cell in self.cells.values()]
        found = [cell[list(plus)].sum(0) - cell[list(minus)].sum(0) for cell in by_seed]
        within = [each.var(ddof=1) / len(each) if len(each) > 1 else 0.0 for each in found]
        return intervals.mean([each.mean() for each in found], within)


def choosing(results: Iterable[Result]) -> Choosing | None:
    """Of the cells whose models choose replies; None where none does."""
    cells = {r.seed: r.best_of for r in results if r.best_of}
    return Choosing(cells) if cells else None
