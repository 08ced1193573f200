"""How long a sweep still takes: what is under way is finished, and then what is to come is handed
out as a foreman hands it out, longest line of work first."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from w2sweep.engine.ready import Ready, alike
from w2sweep.engine.stage import Stage


@dataclass(frozen=True)
class UnderWay:
    """Stages that one worker runs by one call."""

    stages: Sequence[Stage[Any]]
    left: float
    """Seconds until the last of them is there."""


def time_left(
    stages: Sequence[Stage[Any]],
    under_way: Sequence[UnderWay],
    takes: Callable[[Stage[Any]], float],
    workers: int,
    at_most: int = 1,
) -> float:
    """Seconds until the last of the stages is there.

    It is never less than the longest chain of stages that read each other, nor than all of the work
    shared out evenly among the workers.

    Args:
        stages: all that are not there, inputs before their readers, and none that reads a failed
            one.
        under_way: those of them that workers are at.
        takes: the seconds of a stage; of such that are run together, its share of the call's.
        workers: how many there are, at least one.
        at_most: how many stages one call runs.
    """
    ready = Ready(stages, takes, alike if at_most > 1 else lambda stage: None)
    # Of calls that end at the same time the first one given comes first.
    numbers = itertools.count()
    calls: list[tuple[float, int, Sequence[Stage[Any]]]] = []
    for call in under_way:
        for stage in call.stages:
            ready.begun(stage)
        heapq.heappush(calls, (call.left, next(numbers), call.stages))
    now, idle = 0.0, max(workers - len(under_way), 0)
    while True:
        while idle and (chosen := ready.take(workers, at_most)):
            idle -= 1
            ends = now + sum(map(takes, chosen))
            heapq.heappush(calls, (ends, next(numbers), chosen))
        if not calls:
            return now
        now, _, ended = heapq.heappop(calls)
        idle += 1
        for stage in ended:
            ready.there(stage)
