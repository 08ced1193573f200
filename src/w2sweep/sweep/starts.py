"""Starts of a sweep's cells: again where workers died, and alone where they die each time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from w2sweep.engine.stage import Stage, closure
from w2sweep.engine.store import Store
from w2sweep.sweep.plan import Planned, by_new_work

FRUITLESS = 2
"""Starts in a row that may bring nothing: a worker may die before it has done anything, but what
dies each time is not to be started for ever."""

Launch = Callable[[Sequence[Planned]], object]
"""Calls `run_cell` for each of these cells, in this or in other processes. What it raises means
that one of those died."""


class Starts:
    """Has cells run until they have their records, or until that leads nowhere.

    Args:
        launch: runs some cells.
        store: which they share.
        stages: all of the sweep's.
        settled: whether a cell has its record.
        say: tells the user a line.
    """

    def __init__(
        self,
        launch: Launch,
        store: Store,
        stages: Sequence[Stage],
        settled: Callable[[Planned], bool],
        say: Callable[[str], object],
    ):
        self._launch, self._store, self._stages = launch, store, stages
        self._settled, self._say = settled, say

    def run(self, left: Sequence[Planned]) -> None:
        """Runs these cells. A stage whose worker dies again and again costs only the cells that
        need it, though a launcher may end all of its workers when one of them dies."""
        while left:
            left, died = self._until_over(left)
            if not died or len(left) < 2:
                return
            left = self._without_deadly(left)

    def _until_over(self, left: Sequence[Planned]) -> tuple[Sequence[Planned], bool]:
        """Starts cells as long as workers die, and one of the last two starts has brought anything.
        Returns the cells without a record, and whether the last start lost a worker."""
        fruitless, died = 0, False
        while left:
            before = self._standing(left)
            died = self._try(left)
            left = [p for p in left if not self._settled(p)]
            fruitless = fruitless + 1 if self._standing(left) == before else 0
            if not left or not died or fruitless == FRUITLESS:
                break
            cells = _count(len(left), "cell")
            self._say(f"{cells} without a result: started again, from where they were")
        return left, died

    def _without_deadly(self, left: Sequence[Planned]) -> list[Planned]:
        """Starts cells alone that need what dead workers were at, until one kills its worker alone
        too. Returns what is left but for those that need the stage at which it died; none where
        nobody can tell what the workers were at."""
        suspects = self._store.abandoned(self._stages).keys()
        alone = self._needing(suspects, self._ordered(left))
        deadly = set[str]()
        for p in alone:
            before = self._store.abandoned(self._stages).items()
            self._say(f"{p.folder} is started alone, for workers die each time")
            if self._until_over([p])[1]:
                deadly = {name for name, _ in self._store.abandoned(self._stages).items() - before}
                self._say(f"its worker dies alone too, at {', '.join(sorted(deadly))}")
                break
        unsettled = [p for p in left if not self._settled(p)]
        unable = self._needing(deadly, unsettled)
        able = [p for p in unsettled if p not in unable]
        return able if alone and len(able) < len(left) else []

    def _try(self, left: Sequence[Planned]) -> bool:
        """Launches cells. Returns whether a worker died."""
        try:
            self._launch(self._ordered(left))
        except Exception as death:
            reason = " ".join(str(death).split()).partition(". ")[0]
            self._say(f"a worker died ({type(death).__name__}: {reason:.120})")
            return True
        return False

    def _standing(self, left: Sequence[Planned]) -> object:
        """What changes with every result and every checkpoint."""
        return [p.folder for p in left], self._store.standing(self._stages)

    def _ordered(self, left: Sequence[Planned]) -> list[Planned]:
        order = by_new_work(self._missing(left))
        return [left[i] for i in order]

    def _needing(self, stages: Collection[str], cells: Sequence[Planned]) -> list[Planned]:
        missing = self._missing(cells)
        return [p for p, its in zip(cells, missing, strict=True) if not its.isdisjoint(stages)]

    def _missing(self, cells: Sequence[Planned]) -> list[set[str]]:
        """For each cell the names of the stages that it needs and that are not there."""
        done = {stage.name for stage in self._stages if self._store.done(stage)}
        wanted = [tuple(p.cell.stages) if p.cell else () for p in cells]
        missing = [closure(stages, known=lambda stage: stage.name in done) for stages in wanted]
        return list(map(_names, missing))


def _names(stages: Sequence[Stage[Any]]) -> set[str]:
    return {stage.name for stage in stages}


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
