"""How right a cell's models are on easy and on hard test examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.results.by_difficulty import ByDifficulty, counted


def by_difficulty(
    cell: Cell, correct: Mapping[str, NDArray[Any]], store: Store
) -> ByDifficulty | None:
    """Counts by the difficulty that the method asks for; None where it asks for none.

    `correct`: role -> whether it answers each test example rightly [N].
    """
    graded = cell.method.graded(cell.setting)
    if graded is None:
        return None
    by = graded.difficulty
    n, right = counted(by.bin(store.get(by)["test"]), correct, by.bins)
    return ByDifficulty(
        measure=by.measure,
        trained_on=graded.trained_on,
        labels=graded.labels,
        bins=by.bins,
        n=n,
        beyond=by.beyond,
        right=right,
    )
