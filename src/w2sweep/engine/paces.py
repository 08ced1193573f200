"""How long stages take, told by like ones that are finished or well under way."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from w2sweep.engine.stage import Stage, public_name


@dataclass(frozen=True)
class Load:
    """What a stage has to do."""

    amount: float | None = None
    """Of work, in whatever unit; 0: next to nothing; None: nobody can say."""
    data: Hashable = None
    """Equal for stages that read alike data: of those, the same amount takes as long."""


KEPT = 20
"""Of one kind, the last ones that count: more would not make the median better."""
Loads = Callable[[Stage[Any]], Load]
"""What stages have to do."""


def unknown(stage: Stage[Any]) -> Load:
    """The load of a stage of which nothing is known."""
    return Load()


class Paces:
    """Seconds that stages took, each with its load, and what follows for others.

    A stage takes as long for its amount of work as the ones most like it did: of its class, its
    size and its data; or else of its class and size; or else of its class, on the line through the
    two whose amounts are nearest; or else of any class and the nearest size. Of several that are
    alike the median counts.
    """

    def __init__(self, loads: Loads = unknown):
        self._loads = loads
        self._load_of: dict[str, Load] = {}
        self._known: dict[_Kind, list[_Point]] = {}

    def copy(self) -> Paces:
        """Another one, which knows what this one does."""
        other = Paces(self._loads)
        other._load_of = self._load_of
        other._known = {kind: list(points) for kind, points in self._known.items()}
        return other

    def add(self, stage: Stage[Any], seconds: float) -> None:
        """Takes note of how long a stage took."""
        load = self._load(stage)
        for kind in _kinds(stage, load):
            points = self._known.setdefault(kind, [])
            points.append(_Point(load.amount or 0.0, seconds))
            del points[:-KEPT]

    def knows(self, stage: Stage[Any]) -> bool:
        """Whether one of its class and size is known."""
        return _Kind(public_name(type(stage)), stage.size) in self._known

    @property
    def classes(self) -> set[str]:
        """The public names of the classes of stages that are known."""
        return {kind.name for kind in self._known}

    def seconds(self, stage: Stage[Any]) -> float | None:
        """What a stage takes; None where nobody can say."""
        load = self._load(stage)
        for kind in _kinds(stage, load):
            if kind in self._known:
                return _typical(self._known[kind]).scaled(load.amount)
        return self._of_others(public_name(type(stage)), stage.size, load.amount)

    def _load(self, stage: Stage[Any]) -> Load:
        if stage.name not in self._load_of:
            self._load_of[stage.name] = self._loads(stage)
        return self._load_of[stage.name]

    def _of_others(self, name: str, size: int, amount: float | None) -> float | None:
        """By stages of other sizes, or else of other classes."""
        known = {k: _typical(points) for k, points in self._known.items() if k.data is None}
        same = [point for kind, point in known.items() if kind.name == name]
        counted = {kind: point for kind, point in known.items() if point.amount}
        if not amount:
            return median(point.seconds for point in same) if same else amount
        if points := [point for kind, point in counted.items() if kind.name == name]:
            return _on_a_line(points, amount)
        if not counted:
            return None
        nearest = min(_ratio(kind.size, size) for kind in counted)
        near = [p.scaled(amount) for k, p in counted.items() if _ratio(k.size, size) == nearest]
        return median(near)


@dataclass(frozen=True)
class _Kind:
    """Stages of a class and size; with `data`, only those that read such."""

    name: str
    size: int
    data: Hashable = None


def _kinds(stage: Stage[Any], load: Load) -> list[_Kind]:
    """The kinds that a stage is of, the narrowest first."""
    name, of_data = public_name(type(stage)), [] if load.data is None else [load.data]
    return [_Kind(name, stage.size, data) for data in (*of_data, None)]


@dataclass(frozen=True)
class _Point:
    """An amount of work, and what it took."""

    amount: float
    seconds: float

    def scaled(self, amount: float | None) -> float:
        """The seconds of another amount, at the same pace."""
        return self.seconds * amount / self.amount if self.amount and amount else self.seconds


def _ratio(a: int, b: int) -> float:
    """How many times as large the larger one of two sizes is."""
    return max(a, b, 1) / max(min(a, b), 1)


def _typical(points: Sequence[_Point]) -> _Point:
    """One that stands for all: the median of the seconds for a middling amount."""
    amount = median(point.amount for point in points)
    return _Point(amount, median(point.scaled(amount) for point in points))


def _on_a_line(points: Sequence[_Point], amount: float) -> float:
    """The seconds of an amount of work, by those of other sizes of models.

    A small model takes longer than its operations do: a step of it has a price of its own. Two
    models tell both, and the nearest two are asked. With one, nobody knows which of the two it is,
    and the seconds grow with the root of the amount.
    """
    nearest, *others = sorted(points, key=lambda p: abs(math.log(p.amount / amount)))
    others = [point for point in others if point.amount != nearest.amount]
    if not others:
        return nearest.seconds * math.sqrt(amount / nearest.amount)
    slope = (others[0].seconds - nearest.seconds) / (others[0].amount - nearest.amount)
    steepest = nearest.seconds / nearest.amount  # a line through nothing for no work
    return nearest.seconds + min(max(slope, 0.0), steepest) * (amount - nearest.amount)
