"""`plan=true`: what a sweep would run, told to people and to programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from w2sweep.building import made
from w2sweep.engine.resources import Rule
from w2sweep.engine.runtime import Runtime
from w2sweep.interface.launching import room, workers
from w2sweep.interface.staging import rules_of
from w2sweep.sweep.outlook import Kind, Means, Outlook, Row, State
from w2sweep.sweep.request import Form
from w2sweep.values import ConfigError

KEY = "hydra.launcher.resources"
TITLES = (
    "stages",
    "size",
    "rule",
    "there",
    "to run",
    "FLOPs",
    "time",
    "longest",
    "memory",
    "time by",
)
CSV = ("stage", "what", "type", "size", "state", "rule", "flops", "seconds", "by", "gb", "inputs")
NONE = "-"


def means_of(config: DictConfig, launcher: Launcher, runtime: Runtime) -> Means:
    """Where stages would run: under the rules of the launcher, or in its workers. Raises
    ConfigError for a rule that cannot be."""
    rules = rules_of(config)
    if not rules:
        return Means(workers(launcher, room(runtime)))
    runtimes = {name: _with(runtime, rule, f"{KEY}.{name}") for name, rule in rules.items()}
    return Means(None, rules, runtimes)


def tell(found: Outlook, form: Form) -> None:
    """Prints what would be run: a table, JSON, or a row of CSV a stage."""
    if form == "json":
        print(json.dumps(_as_json(found), indent=1))
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(CSV)
        writer.writerows(map(_csv_row, found.rows))
    else:
        print("\n".join(lines(found)))


def lines(found: Outlook) -> list[str]:
    """The table, and what its sums come to."""
    table = [TITLES, *map(_cells, found.kinds), _sums(found)]
    parts = (_cells_said(found), _aligned(table), _totals(found), _notes(found))
    return "\n\n".join("\n".join(part) for part in parts if part).split("\n")


def _with(runtime: Runtime, rule: Rule, path: str) -> Runtime:
    """How stages of a rule are run: as its overrides say."""
    fields = asdict(runtime)
    for override in OverridesParser.create().parse_overrides(list(rule.overrides)):
        group, _, key = override.key_or_group.partition(".")
        if group == "runtime" and key:
            fields[key] = override.value()
    try:
        return made(Runtime, fields)
    except ConfigError as error:
        raise ConfigError(f"{path}.overrides: runtime.{error}") from error


def _cells_said(found: Outlook) -> list[str]:
    skipped = sum(found.skipped.values())
    reasons = [f"  {n} skipped: {reason}" for reason, n in found.skipped.items()]
    jobs = f" in {sum(found.jobs.values())} jobs" if found.jobs else ""
    what = f"{found.cells - skipped} cells, {len(found.rows)} stages"
    said = f"{what}, {found.states['to run']} of them to be run{jobs}; nothing is run now"
    return [said, *reasons]


def _cells(kind: Kind) -> tuple[str, ...]:
    timed = kind.basis not in (None, "nothing")
    bound, mark = "<" if kind.bound else "", " !" if kind.too_large else ""
    longer = bound if kind.basis == "rule" else ""  # what was measured was told in the same tokens
    return (
        kind.type,
        _si(kind.size) if kind.size else NONE,
        kind.rule or NONE,
        str(kind.states["there"]),
        str(kind.states["to run"]),
        f"{bound}{kind.flops:.2e}" if kind.flops else NONE,
        longer + _time(kind.hours) if timed else NONE,
        longer + _time(kind.longest) if timed else NONE,
        _memory(kind.memory_gb) + mark if kind.memory_gb else NONE,
        kind.basis if timed and kind.basis else NONE,
    )


def _sums(found: Outlook) -> tuple[str, ...]:
    states = found.states
    bound = "<" if any(kind.bound for kind in found.kinds) else ""
    sums = (f"{bound}{found.flops:.2e}", _time(found.hours) if found.hours else NONE)
    return ("all", "", "", str(states["there"]), str(states["to run"]), *sums, "", "", "")


def _totals(found: Outlook) -> list[str]:
    if not found.hours:
        return []
    least = "at least " if found.unknown else ""
    chain = [str(row.stage) for row in found.chain if row.seconds]
    said = []
    if found.means.rules:
        devices = {"GPU": found.gpu_hours, "CPU": found.cpu_hours}
        hours = [f"{n:,.1f} {device}-hours" for device, n in devices.items() if n]
        said = [f"device time   {least}{', '.join(hours)}"]
        said += [f"cost          {least}{found.dollars:,.0f} dollars"] if found.dollars else []
    on = ", if nothing has to wait for its turn"
    if found.means.workers:
        on = f", on {found.means.workers} at once"
    end = f"earliest end  in {least}{_time(found.earliest)}{on}"
    return [*said, end, f"longest chain {' > '.join(chain)}"]


def _notes(found: Outlook) -> list[str]:
    """What is to be known of the numbers."""
    notes = []
    if any(kind.bound for kind in found.kinds):
        notes.append(
            "<  with all texts as long as they may be (recipe.max_tokens), for no finished stage "
            "of this store has counted their tokens"
        )
    late = [row for row in found.rows if row.allocations > 1]
    if late:
        most = max(row.allocations for row in late)
        notes.append(
            f"~  {len(late)} stages take longer than one job of their rule may, and go on from "
            f"their checkpoints in up to {most} of them"
        )
    large = [row for row in found.rows if row.too_large]
    if large:
        notes.append(f"!  needs more memory than its rule gives: {_some(large)}")
    if found.unknown:
        unknown = [r for r in found.rows if r.forecast and r.forecast.seconds is None]
        notes.append(
            f"-  nobody can say how long {len(unknown)} stages take, for no such stage is "
            f"finished, and no rule says flops: {_some(unknown)}"
        )
    return notes


def _some(rows: Sequence[Row]) -> str:
    kinds = dict.fromkeys(str(row.stage) for row in rows)
    more = f", and {len(kinds) - 3} more" if len(kinds) > 3 else ""
    return ", ".join(list(kinds)[:3]) + more


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Columns of words to the left, of numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    words = (0, 2, len(TITLES) - 1)
    return ["  ".join(_padded(row, widths, words)).rstrip() for row in table]


def _padded(row: Sequence[str], widths: Sequence[int], words: Sequence[int]) -> list[str]:
    padded = []
    for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
        padded.append(cell.ljust(width) if i in words else cell.rjust(width))
    return padded


def _time(hours: float) -> str:
    """In the unit that suits it."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{hours * 60:.1f} min" if hours * 60 >= 1 else f"{hours * 3600:.1f} s"


def _memory(gb: float) -> str:
    return f"{gb:,.1f} GB" if gb >= 1 else f"{gb * 1000:,.1f} MB"


def _si(n: float) -> str:
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= size:
            return f"{n / size:.3g}{unit}"
    return f"{n:g}"


def _as_json(found: Outlook) -> dict[str, Any]:
    return {
        "cells": found.cells - sum(found.skipped.values()),
        "skipped": dict(found.skipped),
        "stages": len(found.rows),
        **_states(found.states),
        "kinds": list(map(_kind, found.kinds)),
        "jobs": dict(found.jobs),
        "flops": found.flops,
        "hours": found.hours,
        "gpu_hours": found.gpu_hours,
        "cpu_hours": found.cpu_hours,
        "dollars": found.dollars,
        "workers": found.means.workers,
        "earliest_end_hours": found.earliest,
        "longest_chain": [row.stage.name for row in found.chain],
        "of_unknown_length": found.unknown,
    }


def _kind(kind: Kind) -> dict[str, Any]:
    return {
        "type": kind.type,
        "size": kind.size,
        "rule": kind.rule,
        **_states(kind.states),
        "flops": kind.flops,
        "flops_are_a_bound": kind.bound,
        "hours": kind.hours,
        "longest_hours": kind.longest,
        "hours_by": kind.basis,
        "memory_gb": kind.memory_gb,
        "too_large": kind.too_large,
    }


def _states(counted: Mapping[State, int]) -> dict[str, int]:
    return {state.replace(" ", "_"): n for state, n in counted.items()}


def _csv_row(row: Row) -> list[object]:
    f = row.forecast
    inputs = " ".join(stage.name for stage in row.stage.reads)
    told = ("", "", "", "") if f is None else (f.flops, f.seconds, f.basis, f"{row.memory_gb:.3f}")
    shown = ["" if cell is None else cell for cell in (row.rule, *told)]
    return [row.stage.name, str(row.stage), row.type, row.stage.size, row.state, *shown, inputs]
