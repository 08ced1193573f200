"""A sweep's stages run by workers of this machine, and its cells answered as soon as they can
be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2sweep.engine.failures import StageFailed
from w2sweep.engine.foreman import Foreman, Share
from w2sweep.engine.stage import Stage
from w2sweep.engine.store import Store
from w2sweep.experiment.flops import work
from w2sweep.sweep import comparison
from w2sweep.sweep.joining import joined
from w2sweep.sweep.plan import Planned

ROUNDS = 3
"""How often stages are run again whose results turn out to be damaged when cells are answered."""
STEP = 1e8
"""The FLOPs that take as long as a stage that computes none."""


@dataclass(frozen=True)
class Here:
    """How a sweep is run on this machine."""

    folder: Path
    """The sweep's."""
    workers: int
    """How many processes run stages."""
    preload: tuple[str, ...] = ()
    """Modules that workers have imported before they begin."""


def run_here(left: Sequence[Planned], here: Here, say: Callable[[str], object]) -> None:
    """Runs what is missing of cells by workers of this machine, and writes the cells' results or
    failures into the sweep's folder."""
    for _ in range(ROUNDS):
        cells = Cells(left, here.folder)
        if cells.store.mode == "read-only":
            break
        foreman = Foreman(
            cells.shares,
            here.workers,
            here.preload,
            cost,
            there=cells.there,
            spare=cells.answer_one,
            say=say,
        )
        foreman.run()
        left = [p for p in cells.unanswered if not cells.fail(p, foreman.failed)]
        if not left:
            return
    for p in left:  # whatever is wrong with these is found out, and told
        assert p.cell is not None
        comparison.run(p.cell, p.place, joined(p.request, here.folder), here.folder / p.folder)


def cost(stage: Stage[Any]) -> float:
    """How long a stage takes, in FLOPs, to compare stages by. What another stage delivers costs
    nothing more."""
    if stage.delivered_by is not None:
        return 0.0
    found = work(stage)
    return STEP + (found.flops if found else 0.0)


class Cells:
    """Cells that wait for their stages.

    Args:
        planned: the cells.
        folder: the sweep's.
    """

    def __init__(self, planned: Sequence[Planned], folder: Path):
        self._folder = folder
        self.shares = _shares(planned, folder)
        """Their stages, by how they are to be run."""
        self.store = self.shares[0].store
        self._lacks: dict[Planned, set[str]] = {}
        """The names of the stages that each cell waits for."""
        self._of: dict[str, list[Planned]] = defaultdict(list)
        """By name of a stage, the cells that wait for it."""
        self._complete: list[Planned] = []
        self._failed_to: list[Planned] = []
        for p in planned:
            self._lacks[p] = {s.name for s in _needed(p) if not self.store.done(s)}
            for name in self._lacks[p]:
                self._of[name].append(p)
            if not self._lacks[p]:
                self._complete.append(p)

    @property
    def unanswered(self) -> list[Planned]:
        """The cells without a result."""
        return [*self._failed_to, *self._complete, *(p for p in self._lacks if self._lacks[p])]

    def there(self, stage: Stage[Any]) -> None:
        """Takes note that the result of a stage is there, so that cells may be complete."""
        for p in self._of.pop(stage.name, []):
            self._lacks[p].discard(stage.name)
            if not self._lacks[p]:
                self._complete.append(p)

    def answer_one(self) -> bool:
        """Writes the result of a cell whose stages are there. Returns whether there are more."""
        if self._complete:
            p = self._complete.pop(0)
            assert p.cell is not None
            if not comparison.answer(p.cell, p.place, self.store, self._folder / p.folder):
                self._failed_to.append(p)
        return bool(self._complete)

    def fail(self, p: Planned, failed: dict[str, StageFailed]) -> bool:
        """Writes the failure of a cell, if one of its stages has failed. Returns whether it did."""
        assert p.cell is not None
        return comparison.fail(p.cell, p.place, self.store, self._folder / p.folder, failed)


def _shares(planned: Sequence[Planned], folder: Path) -> list[Share]:
    """Cells that are run alike share a store."""
    alike: dict[Hashable, Store] = {}
    stages: dict[Hashable, list[Stage[Any]]] = defaultdict(list)
    for p in planned:
        kind = (p.request.runtime, p.request.tracking)
        if kind not in alike:
            alike[kind] = joined(p.request, folder)
        stages[kind] += _needed(p)
    return [Share(store, stages[kind]) for kind, store in alike.items()]


def _needed(p: Planned) -> list[Stage[Any]]:
    return comparison.needed(p.cell) if p.cell else []
