"""What stages that are not there will take: FLOPs, seconds and memory, each with what it stands
on."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import mean, median
from typing import Any, Literal

from w2sweep.engine import record
from w2sweep.engine.files import read_json
from w2sweep.engine.paces import Load
from w2sweep.engine.resources import Rule
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Stage, public_name
from w2sweep.engine.store import Store
from w2sweep.experiment.flops import Texts, asked, work
from w2sweep.experiment.memory import Memory, memory
from w2sweep.experiment.splits import Answered, Splits
from w2sweep.experiment.stages import Adapt, Features, Finetune
from w2sweep.experiment.weights import Weights

SAMPLE = 20
"""Finished stages of one kind whose records are read: more would not make their median better."""

Basis = Literal["measured", "measured at another size", "rule", "nothing"]
"""What seconds stand on: finished stages of the same type and size in this store; of the same type
and the nearest size; the FLOPs and those that the rule promises a second; or nothing, which counts
as no time at all."""


@dataclass(frozen=True)
class Forecast:
    """What a stage will take."""

    flops: float | None
    """None: nobody can say."""
    bound: bool
    """Whether FLOPs are an upper bound, with all texts as long as they may be."""
    seconds: float | None
    basis: Basis
    memory: Memory


@dataclass(frozen=True)
class _Pace:
    """How long finished stages of one kind took."""

    a_flop: float | None
    """Seconds; None where they have no FLOPs."""
    seconds: float


class Forecasts:
    """What stages will take, told by the finished ones among them.

    Args:
        there: those of the sweep's stages that are finished.
        missing: the names of those that are to be run.
        store: where the finished ones are.
    """

    def __init__(self, there: Collection[Stage[Any]], missing: Collection[str], store: Store):
        self._there, self._missing, self._store = there, missing, store
        self._texts: dict[str, Texts] = {}

    def of(self, stage: Stage[Any], rule: Rule | None, runtime: Runtime) -> Forecast:
        """What a stage will take that is given what a rule says, and is run so."""
        needed = memory(stage, runtime, _shards(stage, runtime))
        if stage.delivered_by is not None and stage.delivered_by.name in self._missing:
            return Forecast(0.0, False, 0.0, "nothing", needed)
        found = work(stage, self._known, runtime.gradient_checkpointing)
        flops = None if found is None else found.flops
        seconds, basis = self._seconds(stage, flops, rule)
        return Forecast(flops, found is not None and found.bound, seconds, basis, needed)

    def _seconds(
        self, stage: Stage[Any], flops: float | None, rule: Rule | None
    ) -> tuple[float | None, Basis]:
        paces = self._paces.get(public_name(type(stage)), {})
        if stage.size in paces:
            return _taken(paces[stage.size], flops), "measured"
        if flops and rule is not None and rule.flops:
            return flops / rule.flops, "rule"
        if flops and paces:
            nearest = min(paces, key=lambda size: abs(math.log((size or 1) / (stage.size or 1))))
            return _taken(paces[nearest], flops), "measured at another size"
        return (0.0 if flops == 0 else None), "nothing"

    @cached_property
    def _paces(self) -> dict[str, dict[int, _Pace]]:
        """Type of stage -> size -> how fast the finished ones were."""
        kinds: dict[tuple[str, int], list[Stage[Any]]] = defaultdict(list)
        for stage in self._there:
            kinds[public_name(type(stage)), stage.size].append(stage)
        found: dict[str, dict[int, _Pace]] = defaultdict(dict)
        for (type_, size), stages in kinds.items():
            if pace := self._pace(stages):
                found[type_][size] = pace
        return found

    def _pace(self, stages: list[Stage[Any]]) -> _Pace | None:
        seconds, a_flop = [], []
        for stage in stages[:SAMPLE]:
            took = record.seconds(self._store.path(stage))
            if took is not None:
                seconds.append(took)
                done = work(stage, self._known)
                a_flop += [took / done.flops] if done and done.flops else []
        if not seconds:
            return None
        return _Pace(median(a_flop) if a_flop else None, median(seconds))

    def _known(self, splits: Answered) -> Texts:
        if splits.name not in self._texts:
            self._texts[splits.name] = self._read(splits)
        return self._texts[splits.name]

    def _read(self, splits: Answered) -> Texts:
        """What the store says of some texts, or else of such that are made like them."""
        said, tokens = asked(splits), self._counted.get(splits.name)
        if isinstance(splits, Splits) and self._store.done(splits):
            said = replace(said, examples=_examples(self._store, splits) or said.examples)
        if tokens is None and (told := self._counted_by_task.get(splits.task.name)):
            tokens = mean(told)
        return replace(said, tokens=tokens)

    @cached_property
    def _counted(self) -> dict[str, float]:
        """Name of splits -> tokens of one of their texts on average, as finished models noted."""
        found: dict[str, float] = {}
        asked: Counter[str] = Counter()
        for stage in self._there:
            if isinstance(stage, Features | Finetune):
                name = stage.splits.name
                asked[name] += 1
                if name not in found and asked[name] <= SAMPLE:
                    found |= _told(name, record.facts(self._store.path(stage)))
        return found

    @cached_property
    def _counted_by_task(self) -> dict[str, list[float]]:
        """The same by the name of the task, for its splits on other seeds."""
        found: dict[str, list[float]] = defaultdict(list)
        for stage in self._there:
            splits = getattr(stage, "splits", None)
            if isinstance(splits, Answered) and (told := self._counted.get(splits.name)):
                found[splits.task.name].append(told)
        return found


def load(stage: Stage[Any]) -> Load:
    """What a stage has to do, as the configuration alone says: its FLOPs, on texts of a task."""
    found = work(stage)
    return Load(None if found is None else found.flops, stage.told.get("task"))


def _shards(stage: Stage[Any], runtime: Runtime) -> int:
    """Devices that hold one model together: those of stages that train a whole one."""
    trains = isinstance(stage, Adapt | Finetune | Weights)
    return runtime.devices if runtime.sharded and trains else 1


def _taken(pace: _Pace, flops: float | None) -> float:
    """The seconds that a stage will take at this pace."""
    return pace.seconds if pace.a_flop is None or not flops else pace.a_flop * flops


def _told(splits: str, facts: Mapping[str, Any]) -> dict[str, float]:
    """What a finished model noted of the texts that it read, by the name of their splits."""
    told = facts.get("tokens_per_text")
    return {splits: float(told)} if isinstance(told, int | float) and told > 0 else {}


def _examples(store: Store, splits: Splits) -> dict[str, int]:
    """How many examples each of the splits has that are there; {} where nobody says."""
    try:
        told = read_json(store.path(splits) / "manifest.json")["splits"]
        return {str(name): int(its["n"]) for name, its in told.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
