"""Hands out the stages of a store to workers of this machine, who live until all is done."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from w2sweep.engine import gpus
from w2sweep.engine.failures import MachineFailed, Missing, StageFailed, failure_of, full_name
from w2sweep.engine.pool import Ended, Pool
from w2sweep.engine.ready import Ready, alike
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Stage, closure
from w2sweep.engine.store import Store

log = logging.getLogger(__name__)

FRUITLESS = 2
"""How often a stage may kill its worker without a new checkpoint in between."""
LOOK_S = 0.5
"""Between two looks at stages that other sweeps' workers are at."""

Wrong = list[StageFailed | Missing]
"""Why stages have no result, as `Store.ensure_only` returns it."""


@dataclass(frozen=True)
class Share:
    """Some of the stages of a sweep, and the store by which they are run: it says how, and for
    whom."""

    store: Store
    stages: Sequence[Stage[Any]]


class Foreman:
    """Has what is missing of some stages, and of what they read, run by workers.

    A stage begins when all that it reads is there, the longest line of work first. One that fails
    costs those that read it; one that kills its worker is begun again, and fails when it does so
    again without a new checkpoint. No worker waits for a stage that another sweep's worker is at.

    Args:
        shares: the stages. Their stores differ in nothing but their circumstances.
        workers: how many.
        preload: modules that stages need and that take long to import.
        cost: how long a stage takes, in whatever unit.
        there: is called with each stage whose result has come.
        spare: is called while workers are busy. Does a little, and returns whether it has more.
        say: tells the user a line.
    """

    def __init__(
        self,
        shares: Sequence[Share],
        workers: int,
        preload: Sequence[str] = (),
        cost: Callable[[Stage[Any]], float] = lambda stage: 1.0,
        there: Callable[[Stage[Any]], object] = lambda stage: None,
        spare: Callable[[], bool] = lambda: False,
        say: Callable[[str], object] = log.warning,
    ):
        self._stores = [share.store for share in shares]
        self._store, self._there, self._spare, self._say = self._stores[0], there, spare, say
        self._workers, self._preload, self._cost = workers, preload, cost
        self._share_of: dict[str, int] = {}
        """By name of a stage, which of the shares it is in."""
        self._stages = self._missing(shares)
        self.failed: dict[str, StageFailed] = {}
        """By name, the stages that failed."""
        self._elsewhere: dict[str, Stage[Any]] = {}
        """By name, the stages that other sweeps' workers are at."""
        self._lacking = set[str]()
        """Names of stages that found their inputs damaged."""
        self._deaths: dict[str, list[object]] = {}
        """By name of a stage, how far it was each time that it killed its worker."""
        self._at_most = self._store.circumstances.runtime.most_together

    def run(self) -> None:
        """Runs them, and returns when nothing more can be done."""
        if not self._stages:
            return
        runtime = self._store.circumstances.runtime
        begin = functools.partial(_begin, runtime, self._stores)
        with Pool(self._workers, runtime.threads, begin, self._preload) as pool:
            self._ready = Ready(self._stages, self._cost, self._alike)
            while self._ready.left:
                self._look_elsewhere()
                self._hand_out(pool)
                if not pool.busy and not self._elsewhere:
                    break
                for ended in pool.wait(self._pause()):
                    self._take(ended)
        while self._spare():
            pass

    def _missing(self, shares: Sequence[Share]) -> list[Stage[Any]]:
        found: list[Stage[Any]] = []
        for i, share in enumerate(shares):
            for stage in closure(tuple(share.stages), self._is_known):
                self._share_of[stage.name] = i
                found.append(stage)
        return found

    def _is_known(self, stage: Stage[Any]) -> bool:
        return stage.name in self._share_of or self._store.done(stage)

    def _alike(self, stage: Stage[Any]) -> Hashable | None:
        """Equal for stages that one call may run together; None for one that is run alone."""
        kind = alike(stage) if self._at_most > 1 else None
        return None if kind is None else (self._share_of[stage.name], kind)

    def _pause(self) -> float | None:
        """Seconds until the next look; None where there is nothing to look at but workers."""
        if self._spare():
            return 0.0
        return LOOK_S if self._elsewhere else None

    def _hand_out(self, pool: Pool) -> None:
        """Gives idle workers what can be run."""
        while pool.idle and (stages := self._ready.take(pool.size, self._at_most)):
            if able := [stage for stage in stages if self._is_ours(stage)]:
                first = able[0].name
                call = _run_with_inputs if first in self._lacking else _run
                pool.give(able, call, self._share_of[first], able)

    def _is_ours(self, stage: Stage[Any]) -> bool:
        """Whether one of our workers is to run it: it is not there yet, and in nobody's hands."""
        if self._store.done(stage):
            self._came(stage)
            return False
        if self._store.in_other_hands(stage):
            self._elsewhere[stage.name] = stage
            return False
        return True

    def _look_elsewhere(self) -> None:
        for stage in list(self._elsewhere.values()):
            if self._store.done(stage) or not self._store.in_other_hands(stage):
                del self._elsewhere[stage.name]
                self._ready.put_back(stage)

    def _take(self, ended: Ended) -> None:
        """Takes what a worker has done, or what it died of."""
        stages: list[Stage[Any]] = ended.task
        if ended.death is not None:
            self._bury(stages, ended.death)
            return
        wrong: Wrong = ended.value or []
        failed = {error.what: error for error in wrong if isinstance(error, StageFailed)}
        for stage in stages:
            if self._store.done(stage):
                self._came(stage)
            elif error := failed.get(full_name(stage)):
                self._fail(stage, error)
            elif isinstance(ended.error, Exception) or stage.name in self._lacking:
                error = ended.error if isinstance(ended.error, Exception) else wrong[0]
                self._fail(stage, failure_of(stage, error, kind=MachineFailed))
            else:  # what it reads was damaged, and has to be computed again
                self._lacking.add(stage.name)
                self._ready.apart(stage)
                self._ready.put_back(stage)

    def _bury(self, stages: Sequence[Stage[Any]], death: str) -> None:
        """Takes note of a worker's death. What it was at is begun again, each stage by itself,
        but for a stage that has killed its workers too often."""
        left = self._store.abandoned(stages)
        for stage in stages:
            self._ready.apart(stage)
            if self._store.done(stage):
                self._came(stage)
            elif (not left or stage.name in left) and self._is_deadly(stage):
                reason = f"its worker {death}, {FRUITLESS} times without a new checkpoint"
                self._say(f"{full_name(stage)}: {reason}")
                self._fail(stage, self._store.condemn(stage, ChildProcessError(reason)))
            else:
                self._say(f"a worker died ({death}) at {stage}: begun again, from where it was")
                self._ready.put_back(stage)

    def _is_deadly(self, stage: Stage[Any]) -> bool:
        """Whether it has killed its workers often enough since its last checkpoint."""
        standing = self._store.standing([stage])
        before = self._deaths.get(stage.name, [])
        self._deaths[stage.name] = [*(then for then in before if then == standing), standing]
        return len(self._deaths[stage.name]) >= FRUITLESS

    def _came(self, stage: Stage[Any]) -> None:
        self._ready.there(stage)
        self._there(stage)

    def _fail(self, stage: Stage[Any], error: StageFailed) -> None:
        self.failed[stage.name] = error
        self._ready.give_up(stage)


# --- in a worker ---------------------------------------------------------------------------------

_STORES: list[Store] = []
"""Of the shares, in their order."""


def _begin(runtime: Runtime, stores: Sequence[Store]) -> None:
    """What a worker does before its first call."""
    gpus.take(runtime.accelerator, runtime.devices)
    _STORES[:] = stores


def _run(share: int, stages: Sequence[Stage[Any]]) -> Wrong:
    """Runs stages whose inputs are there."""
    return _STORES[share].ensure_only(*stages)


def _run_with_inputs(share: int, stages: Sequence[Stage[Any]]) -> Wrong:
    """Runs stages, and before them what is missing of their inputs."""
    try:
        _STORES[share].ensure(*stages)
    except (StageFailed, Missing) as error:
        return [error]
    return []
