"""Which of many stages are to be run next: first those with the longest line of work behind them,
and by one call those that can be run together."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from w2sweep.engine.stage import Stage


def alike(stage: Stage[Any]) -> Hashable | None:
    """Equal, and not None, for stages that one call may run together."""
    return None if stage.together is None else (type(stage), stage.together)


class Ready:
    """Stages that are to be run, and what each of them waits for. Stages that one call may run are
    called mates.

    Args:
        stages: inputs before their readers. What they read that is not among them is there.
        cost: how long a stage takes, in whatever unit.
        alike: equal, and not None, for stages that are mates.
    """

    def __init__(
        self,
        stages: Sequence[Stage[Any]],
        cost: Callable[[Stage[Any]], float],
        alike: Callable[[Stage[Any]], Hashable | None],
    ):
        self.left = {stage.name: stage for stage in stages}
        """All that are neither there nor given up, by name."""
        self._lacks: dict[str, set[str]] = {}
        self._readers: dict[str, list[str]] = defaultdict(list)
        for stage in stages:
            self._lacks[stage.name] = {s.name for s in stage.reads if s.name in self.left}
            for name in self._lacks[stage.name]:
                self._readers[name].append(stage.name)
        self._line = self._lines(stages, cost)
        self._alike = {stage.name: alike(stage) for stage in stages}
        self._mates: dict[Hashable, dict[str, None]] = defaultdict(dict)
        for name, kind in self._alike.items():
            if kind is not None:
                self._mates[kind][name] = None
        self._portions: dict[Hashable, int] = {}
        """How many mates the last worker was given, so that the next one is given as many."""
        self._taken = set[str]()
        self._order = {stage.name: i for i, stage in enumerate(stages)}
        self._queue: list[tuple[float, int, str]] = []
        for name in self.left:
            self._queue_if_ready(name)

    def take(self, workers: int, at_most: int) -> list[Stage[Any]]:
        """The stages that one of so many workers is to run by its next call: no more than
        `at_most`, and none where all of them wait for something.

        Mates that can begin are shared out among the workers that would else have nothing to do.
        As long as some of them wait for stages that are being run, stages of other kinds come
        first, so that more mates are run together.
        """
        first = self._first()
        if first is None:
            return []
        kind = self._alike[first]
        able = [name for name in self._mates[kind] if self._is_ready(name)] if kind else [first]
        shares = max(1, workers - self._others(kind, workers))
        able.sort(key=self._rank)
        portion = max(math.ceil(len(able) / shares), self._portions.get(kind, 1))
        self._portions[kind] = portion if kind else 1
        chosen = able[: min(at_most, portion)]
        self._taken |= set(chosen)
        return [self.left[name] for name in chosen]

    def begun(self, stage: Stage[Any]) -> None:
        """Takes note that somebody runs a stage, so that nobody else is to."""
        self._taken.add(stage.name)

    def put_back(self, stage: Stage[Any]) -> None:
        """Takes back a stage that was taken and was not run."""
        self._taken.discard(stage.name)
        self._queue_if_ready(stage.name)

    def apart(self, stage: Stage[Any]) -> None:
        """Has a stage run by a call of its own from now on."""
        self._mates[self._alike[stage.name]].pop(stage.name, None)
        self._alike[stage.name] = None

    def there(self, stage: Stage[Any]) -> None:
        """Takes note that the result of a stage is there, so that its readers may begin."""
        if self._drop(stage.name):
            for reader in self._readers[stage.name]:
                self._lacks[reader].discard(stage.name)
                self._queue_if_ready(reader)

    def give_up(self, stage: Stage[Any]) -> None:
        """Takes note that a stage has failed, so that whatever waits for it cannot be run."""
        behind = [stage.name]
        while behind:
            name = behind.pop()
            if self._drop(name):
                behind += self._readers[name]

    def _drop(self, name: str) -> Stage[Any] | None:
        self._taken.discard(name)
        self._mates[self._alike[name]].pop(name, None)
        return self.left.pop(name, None)

    def _lines(
        self, stages: Sequence[Stage[Any]], cost: Callable[[Stage[Any]], float]
    ) -> dict[str, float]:
        """For each stage the longest work that begins with it, one stage after the other."""
        lines: dict[str, float] = {}
        for stage in reversed(stages):
            behind = [lines[name] for name in self._readers[stage.name]]
            lines[stage.name] = cost(stage) + max(behind, default=0.0)
        return lines

    def _others(self, kind: Hashable, at_most: int) -> int:
        """How many calls could begin that run no stages of this kind, counted up to `at_most`."""
        found = set[Hashable]()
        for _, _, name in self._queue:
            if len(found) == at_most:
                break
            if self._is_ready(name) and (kind is None or self._alike[name] != kind):
                found.add(self._alike[name] or name)
        return len(found)

    def _rank(self, name: str) -> tuple[float, int]:
        return -self._line[name], self._order[name]

    def _is_ready(self, name: str) -> bool:
        return name in self.left and name not in self._taken and not self._lacks[name]

    def _queue_if_ready(self, name: str) -> None:
        if self._is_ready(name):
            heapq.heappush(self._queue, (*self._rank(name), name))

    def _first(self) -> str | None:
        """Takes from the queue the first stage whose mates are not about to get ready, or else the
        first of all."""
        later: list[tuple[float, int, str]] = []
        growing: dict[Hashable, bool] = {}
        found = None
        while self._queue:
            entry = heapq.heappop(self._queue)
            name, kind = entry[-1], self._alike[entry[-1]]
            if not self._is_ready(name):
                continue
            if kind is not None and kind not in growing:
                growing[kind] = self._grows(kind)
            if kind is None or not growing[kind]:
                found = name
                break
            later.append(entry)
        if found is None and later:
            found = later.pop(0)[-1]
        for entry in later:
            heapq.heappush(self._queue, entry)
        return found

    def _grows(self, kind: Hashable) -> bool:
        """Whether there is a stage of this kind that waits, but only for stages that are being run
        or can begin."""
        for mate in self._mates[kind]:
            lacks = self._lacks[mate]
            if lacks and not any(self._lacks[name] for name in lacks):
                return True
        return False
