"""Jobs of a sweep: which stages a worker of a cluster is given together, what they are run by, and
what has to be over before they can begin. It is the same for every engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from w2sweep.engine.handover import StageJob
from w2sweep.engine.resources import Rule, rule_of
from w2sweep.engine.stage import Stage, closure
from w2sweep.sweep.comparison import needed
from w2sweep.sweep.plan import Planned
from w2sweep.values import ConfigError

CELL, ONLY = "--cell", "--only"
"""Words of w2sweep-stage."""


def stage_jobs(
    planned: Sequence[Planned],
    rules: Mapping[str, Rule],
    done: Callable[[Stage[Any]], bool],
    live: Mapping[str, str] | None = None,
) -> list[StageJob]:
    """All that is missing for these cells, in an order in which it can be run.

    Stages of one level under one rule share a job, as many as the rule packs, but not those that
    others wait for with those that nobody waits for; what a stage delivers is made sure of in its
    job, right behind it.

    Args:
        planned: the cells.
        rules: by name; the first that matches a stage holds.
        done: whether the result of a stage is there.
        live: name of a stage -> what the engine calls a job that is at work on it already, and so
            is not missing.

    Raises ConfigError where no rule matches, or where one would change results.
    """
    for name, rule in rules.items():
        _check(name, rule)
    packs: dict[tuple[int, bool, str], list[_Unit]] = defaultdict(list)
    live = live or {}
    for unit in _units(planned, rules, lambda stage: stage.name in live or done(stage)):
        packs[unit.level, unit.height > 0, unit.rule].append(unit)
    jobs: list[StageJob] = []
    job_of: dict[str, int] = {}
    for (_, _, name), units in packs.items():
        n = rules[name].pack
        for together in (units[i : i + n] for i in range(0, len(units), n)):
            job = _job(together, planned, rules[name], job_of, live)
            job_of.update(dict.fromkeys(job.stages, len(jobs)))
            jobs.append(job)
    return jobs


@dataclass
class _Unit:
    """A stage, and those that it delivers: never in two jobs."""

    stages: list[tuple[Stage[Any], int]]
    """Each with the position of the first cell that needs it."""
    level: int
    """How many jobs have to be over before it can begin, one after the other."""
    rule: str
    reads: set[str]
    """Names of all that it reads."""
    height: int = 0
    """How many jobs wait for it, one after the other."""

    @property
    def size(self) -> int:
        return max(stage.size for stage, _ in self.stages)


def _units(
    planned: Sequence[Planned], rules: Mapping[str, Rule], done: Callable[[Stage[Any]], bool]
) -> list[_Unit]:
    """All that is missing; of one level first what the longest line waits for, and the largest of
    that: such work is best begun early."""
    units: list[_Unit] = []
    unit_of: dict[str, _Unit] = {}
    there: set[str] = set()

    def known(stage: Stage[Any]) -> bool:
        if stage.name not in unit_of and stage.name not in there and done(stage):
            there.add(stage.name)
        return stage.name in unit_of or stage.name in there

    for i, p in enumerate(planned):
        for stage in closure(tuple(needed(p.cell)), known) if p.cell else []:
            read = [unit_of[of.name] for of in stage.reads if of.name in unit_of]
            unit = _deliverer(stage, unit_of)
            if unit and all(of is unit or of.level < unit.level for of in read):
                unit.stages.append((stage, i))
            else:
                level = 1 + max((of.level for of in read), default=-1)
                unit = _Unit([(stage, i)], level, rule_of(stage, rules), set())
                units.append(unit)
            unit.reads |= {of.name for of in stage.reads}
            unit_of[stage.name] = unit
    for unit in sorted(units, key=lambda unit: -unit.level):
        for of in [unit_of[name] for name in unit.reads if name in unit_of]:
            of.height = max(of.height, unit.height + (of is not unit))
    return sorted(units, key=lambda unit: (unit.level, -unit.height, -unit.size))


def _deliverer(stage: Stage[Any], unit_of: Mapping[str, _Unit]) -> _Unit | None:
    by = stage.delivered_by
    return unit_of.get(by.name) if by else None


def _job(
    units: Sequence[_Unit],
    planned: Sequence[Planned],
    rule: Rule,
    job_of: Mapping[str, int],
    live: Mapping[str, str],
) -> StageJob:
    of_cells = [of_cell for unit in units for of_cell in unit.stages]
    stages = [stage for stage, _ in of_cells]
    more = f" (+{len(stages) - 1})" if len(stages) > 1 else ""
    read = set[str]().union(*(unit.reads for unit in units))
    by_cell: dict[int, list[str]] = defaultdict(list)
    for stage, i in of_cells:
        by_cell[i].append(stage.name)
    words: list[str] = []
    for i, names in by_cell.items():
        words += [CELL, *planned[i].overrides, *rule.overrides, ONLY, *names]
    needs = {job_of[name] for name in read if name in job_of}
    after = {live[name] for name in read if name in live}
    return StageJob(
        name=f"{stages[0]}{more}",
        words=tuple(words),
        stages=tuple(stage.name for stage in stages),
        rule=units[0].rule,
        needs=tuple(sorted(needs)),
        after=tuple(sorted(after)),
    )


def _check(name: str, rule: Rule) -> None:
    """Raises ConfigError where a rule would change more than how stages are run."""
    for override in rule.overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key.partition(".")[0].partition("@")[0] != "runtime":
            raise ConfigError(
                f"hydra.launcher.resources.{name}.overrides: found {override}, expected keys of "
                "runtime, for nothing else may differ from job to job: give it to the whole sweep"
            )
