"""Accuracy by the difficulty of test examples, over seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from w2sweep.results import intervals, metrics
from w2sweep.results.by_difficulty import ByDifficulty
from w2sweep.results.cell import Result
from w2sweep.results.intervals import UNDEFINED, Estimate


@dataclass(frozen=True)
class Grades:
    """What the cells of a row say of B bins of test examples, from easy to hard."""

    cells: Mapping[int, ByDifficulty]
    """By seed."""

    @property
    def first(self) -> ByDifficulty:
        """That of one seed: measure, bins and what students saw are the same for all."""
        return next(iter(self.cells.values()))

    @property
    def counts(self) -> list[int]:
        """Test examples of all seeds in each bin [B]."""
        by_seed = [cell.n for cell in self.cells.values()]
        return [sum(of_bin) for of_bin in zip(*by_seed, strict=True)]

    @property
    def shares(self) -> list[float]:
        """The share of all test examples that each bin has [B]."""
        return [n / sum(self.counts) for n in self.counts]

    @property
    def hardest_third(self) -> list[int]:
        """The fewest of the hardest bins that have a third of all examples or more, but for
        those that are beyond all rungs. The easiest bin is never among them: where it has more
        than two thirds, they are all others."""
        counts = self.counts[:-1] if self.first.beyond else self.counts
        taken: list[int] = []
        for b in reversed(range(1, len(counts))):
            if 3 * sum(counts[t] for t in taken) < sum(counts):
                taken.append(b)
        return sorted(taken)

    def accuracy(self, role: str, bins: Collection[int]) -> Estimate:
        """Over the seeds that have examples in these bins."""
        found = [_share(c, role, bins) for c in self.cells.values() if role in c.right]
        known = [(share, n) for share, n in found if n]
        return metrics.mean_share(*zip(*known, strict=True)) if known else UNDEFINED

    def over(self, other: Grades, role: str, bins: Collection[int]) -> Estimate:
        """Accuracy minus that of another row, on the seeds that both have.

        Within a seed, the two are taken as independent, which they are not: intervals are too wide
        rather than too narrow.
        """
        seeds = [seed for seed in self.cells if seed in other.cells]
        own = [_share(self.cells[seed], role, bins) for seed in seeds]
        others = [_share(other.cells[seed], role, bins) for seed in seeds]
        pairs = [(a, b) for a, b in zip(own, others, strict=True) if a[1] and b[1]]
        if not pairs:
            return UNDEFINED
        gains = [a[0] - b[0] for a, b in pairs]
        within = [intervals.variances(*zip(*pair, strict=True)).sum() for pair in pairs]
        return intervals.mean(gains, within)


def grades(results: Iterable[Result]) -> Grades | None:
    """Those of the cells that tell accuracies by difficulty; None where none does."""
    cells = {r.seed: r.by_difficulty for r in results if r.by_difficulty}
    return Grades(cells) if cells else None


def _share(cell: ByDifficulty, role: str, bins: Collection[int]) -> tuple[float, int]:
    """The share of right answers among the examples in these bins, and how many there are."""
    n = sum(cell.n[b] for b in bins)
    right = sum(cell.right[role][b] for b in bins)
    return (right / n if n else 0.0), n
