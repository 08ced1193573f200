"""What a sweep would run, before it does: its stages, where each of them would run, and what all of
it takes. Nothing is run, and nothing is written."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from w2sweep.engine.resources import Rule, rule_of
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Stage, closure, public_name
from w2sweep.engine.store import Store
from w2sweep.experiment.sharded import check_sharded
from w2sweep.experiment.stages import Finetune
from w2sweep.sweep.comparison import needed
from w2sweep.sweep.estimates import Basis, Forecast, Forecasts
from w2sweep.sweep.jobs import stage_jobs
from w2sweep.sweep.plan import Planned

HOUR_S, GB = 3600.0, 1e9
State = Literal["there", "to run", "not needed"]
"""`not needed`: not there, and only read by stages that are."""


@dataclass(frozen=True)
class Means:
    """Where stages may run: what the launcher offers."""

    workers: int | None = 1
    """On this machine at once; None where that is for others to say."""
    rules: Mapping[str, Rule] = field(default_factory=dict)
    """What stages are given, by the names of the rules; none: all run in the workers."""
    runtimes: Mapping[str, Runtime] = field(default_factory=dict)
    """How stages are run, where a rule says so."""


@dataclass(frozen=True)
class Row:
    """A stage of the sweep."""

    stage: Stage[Any]
    state: State
    rule: str | None
    """Under which it would run; None of a stage that would not, and where there are no rules."""
    forecast: Forecast | None
    """None of a stage that would not run."""
    too_large: bool = False
    """Whether it needs more memory than its rule gives."""
    allocations: int = 1
    """Jobs that it takes one after the other, each as long as its rule lets it be."""

    @property
    def type(self) -> str:
        """The name of its class."""
        return public_name(type(self.stage))

    @property
    def seconds(self) -> float:
        """What it will take; 0 where nobody can say."""
        return (self.forecast.seconds or 0.0) if self.forecast else 0.0

    @property
    def flops(self) -> float:
        """What it will compute; 0 where nobody can say."""
        return (self.forecast.flops or 0.0) if self.forecast else 0.0

    @property
    def memory_gb(self) -> float:
        """Of each of its devices."""
        return self.forecast.memory.total / GB if self.forecast else 0.0


class Sums:
    """What some stages take together."""

    rows: Sequence[Row]

    @cached_property
    def states(self) -> Counter[State]:
        return Counter(row.state for row in self.rows)

    @property
    def flops(self) -> float:
        return sum(row.flops for row in self.rows)

    @property
    def hours(self) -> float:
        """One stage after the other."""
        return sum(row.seconds for row in self.rows) / HOUR_S


@dataclass(frozen=True)
class Kind(Sums):
    """The stages of one type and size that would run under one rule; and those that are there."""

    type: str
    size: int
    rule: str | None
    rows: Sequence[Row]

    @property
    def longest(self) -> float:
        """Hours of the stage that takes most."""
        return max(row.seconds for row in self.rows) / HOUR_S

    @property
    def memory_gb(self) -> float:
        """Of the stage that needs most."""
        return max(row.memory_gb for row in self.rows)

    @property
    def too_large(self) -> bool:
        return any(row.too_large for row in self.rows)

    @property
    def bound(self) -> bool:
        """Whether FLOPs are an upper bound, for nobody has counted the tokens."""
        return any(row.forecast is not None and row.forecast.bound for row in self.rows)

    @property
    def basis(self) -> Basis | None:
        """What its hours stand on: the weakest of its stages; None where none would run."""
        found = {row.forecast.basis for row in self.rows if row.forecast is not None}
        order: tuple[Basis, ...] = ("nothing", "rule", "measured at another size", "measured")
        return next((basis for basis in order if basis in found), None)


@dataclass(frozen=True)
class Outlook(Sums):
    """What a sweep would run."""

    cells: int
    skipped: Mapping[str, int]
    """Why -> how many cells."""
    rows: Sequence[Row]
    """All stages, inputs before their readers."""
    means: Means
    jobs: Mapping[str, int] = field(default_factory=dict)
    """Name of a rule -> how many jobs of a cluster it makes."""

    @cached_property
    def kinds(self) -> list[Kind]:
        """The smallest first."""
        found: dict[tuple[str, int, str | None], list[Row]] = defaultdict(list)
        for row in self.rows:
            found[row.type, row.stage.size, row.rule].append(row)
        kinds = [Kind(*key, rows) for key, rows in found.items()]
        return sorted(kinds, key=lambda kind: (kind.size, kind.type, kind.rule or ""))

    @property
    def gpu_hours(self) -> float:
        return self._by_rule(lambda rule: rule.gpus)

    @property
    def cpu_hours(self) -> float:
        """Of the cores of stages that have no GPU."""
        return self._by_rule(lambda rule: 0 if rule.gpus else rule.cpus)

    @property
    def dollars(self) -> float:
        return self._by_rule(lambda rule: rule.dollars)

    @property
    def unknown(self) -> int:
        """Stages that would run and of which nobody can say how long."""
        forecasts = [row.forecast for row in self.rows if row.forecast]
        return sum(forecast.seconds is None for forecast in forecasts)

    @cached_property
    def chain(self) -> list[Row]:
        """The stages, each of which reads the one before, that take longest: no sweep ends sooner,
        on however many machines."""
        ends: dict[str, float] = {}
        before: dict[str, Row | None] = {}
        rows = {row.stage.name: row for row in self.rows if row.state == "to run"}
        for name, row in rows.items():
            read = {s.name for s in row.stage.reads} & rows.keys()
            last = max(read, key=lambda input: ends[input], default=None)
            before[name] = rows[last] if last else None
            ends[name] = row.seconds + (ends[last] if last else 0.0)
        if not ends:
            return []
        found: list[Row] = []
        step: Row | None = rows[max(ends, key=ends.__getitem__)]
        while step is not None:
            found.append(step)
            step = before[step.stage.name]
        return found[::-1]

    @property
    def earliest(self) -> float:
        """Hours after which all of it can have ended."""
        chain = sum(row.seconds for row in self.chain) / HOUR_S
        workers = self.means.workers
        return chain if self.means.rules or not workers else max(chain, self.hours / workers)

    def _by_rule(self, rate: Any) -> float:
        total = 0.0
        for row in self.rows:
            if row.rule is not None:
                total += row.seconds / HOUR_S * rate(self.means.rules[row.rule])
        return total


def outlook(planned: Sequence[Planned], means: Means) -> Outlook:
    """What these cells would run. Raises ConfigError where no rule matches a stage, or one would
    have it run as it cannot be."""
    request = planned[0].request
    store = Store(request.store, mode="read-only")
    wanted = _distinct(needed(p.cell) for p in planned if p.cell)
    stages = closure(wanted)
    forced = request.cache == "force"
    there = set() if forced else {stage.name for stage in stages if store.done(stage)}
    missing = {s.name for s in closure(wanted, known=lambda s: s.name in there)}
    finished = [stage for stage in stages if store.done(stage)]
    forecasts = Forecasts(finished, missing, store)
    rows = [_row(stage, there, missing, forecasts, means, request.runtime) for stage in stages]
    skipped = Counter(p.skipped for p in planned if p.skipped)
    jobs = stage_jobs(planned, means.rules, lambda s: s.name in there) if means.rules else []
    return Outlook(len(planned), skipped, rows, means, Counter(job.rule for job in jobs))


def _distinct(stages: Iterable[Iterable[Stage[Any]]]) -> tuple[Stage[Any], ...]:
    found: dict[str, Stage[Any]] = {}
    for some in stages:
        for stage in some:
            found.setdefault(stage.name, stage)
    return tuple(found.values())


def _row(
    stage: Stage[Any],
    there: Collection[str],
    missing: Collection[str],
    forecasts: Forecasts,
    means: Means,
    runtime: Runtime,
) -> Row:
    if stage.name not in missing:
        return Row(stage, "there" if stage.name in there else "not needed", None, None)
    name = rule_of(stage, means.rules) if means.rules else None
    rule = means.rules[name] if name else None
    its = means.runtimes.get(name or "", runtime)
    if its.sharded and isinstance(stage, Finetune):
        check_sharded(stage.head, stage.recipe)
    forecast = forecasts.of(stage, rule, its)
    minutes = (forecast.seconds or 0.0) / 60
    jobs = math.ceil(minutes / rule.minutes) if rule else 1
    return Row(stage, "to run", name, forecast, _too_large(forecast, rule), max(1, jobs))


def _too_large(forecast: Forecast, rule: Rule | None) -> bool:
    given = None if rule is None else rule.device_gb if rule.gpus else rule.mem_gb
    return given is not None and forecast.memory.total > given * GB
