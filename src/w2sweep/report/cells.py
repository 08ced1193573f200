"""Reading a sweep's folder: what finished, what was skipped, what failed, what has no result yet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, dataclass_transform

import numpy as np
import pydantic

from w2sweep.values import ConfigError


class Group(NamedTuple):
    """What the cells have in common whose seeds are averaged."""

    task: str
    ladder: str
    weak: str
    strong: str
    method: str
    variant: str


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(pydantic.Field,))
def _record(cls):
    # Unknown fields are no error: the sweep may have been written by a later version.
    config = pydantic.ConfigDict(extra="ignore", arbitrary_types_allowed=True)
    return pydantic.dataclasses.dataclass(cls, frozen=True, kw_only=True, config=config)


@_record
class Place:
    """Where on the sweep's grid a cell lies."""

    task: str
    ladder: str
    weak: str
    strong: str
    method: str
    seed: int
    dir: str
    """Its folder in the sweep's."""
    variant: str = ""
    """The sweep's other overrides; cells that differ in them are never averaged together."""
    family: str = ""

    @property
    def group(self) -> Group:
        return Group(self.task, self.ladder, self.weak, self.strong, self.method, self.variant)

    @property
    def title(self) -> str:
        """In words."""
        variant = f", {self.variant}" if self.variant else ""
        return f"{self.task}: {self.strong} <- {self.weak} on {self.ladder}, {self.method}, seed {self.seed}{variant}"


@_record
class Rung:
    """What figures need to know of a rung."""

    size: int
    """Parameters."""
    compute: float
    """Pretraining FLOPs."""


@_record
class Result(Place):
    """A finished cell: `cell.json`."""

    rungs: dict[str, Rung]
    """The whole ladder, weakest first."""
    weak_accuracy: float
    student_accuracy: float
    ceiling_accuracy: float
    pgr: float | None
    pgr_undefined: str | None = None
    agreement: float
    agreement_weak_right: float | None = None
    agreement_weak_wrong: float | None = None
    n_test: int
    marks: dict[str, float] = pydantic.Field(default_factory=dict)
    """Further marks of the student."""
    stages: dict[str, str] = pydantic.Field(default_factory=dict)
    """Role -> the stage that made its answers."""
    correct: np.ndarray
    """[3, n_test]: whether weak, student and ceiling answer each test example rightly."""


@_record
class Skipped(Place):
    """A cell with nothing to run."""

    skipped: str
    """Why."""


@_record
class Failed(Place):
    """A cell that ended with an error: `failure.json`."""

    reason: str
    error: str = ""
    """The exception's type."""
    traceback: str = ""


@dataclass(frozen=True)
class Unreadable:
    """A cell whose files are damaged."""

    dir: str
    reason: str
    traceback: str = ""

    @property
    def title(self) -> str:
        return self.dir


@dataclass(frozen=True)
class Sweep:
    """All cells of one folder, in the order in which the sweep names them."""

    path: Path
    name: str
    command: str
    stages: int
    """Distinct ones of the whole sweep."""
    results: list[Result] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    failures: list[Failed | Unreadable] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    """Folders of cells that have neither a result nor a failure."""

    @property
    def ladders(self) -> dict[str, dict[str, Rung]]:
        """Name -> rungs, weakest first: those of all cells, for an override may give some of them more."""
        rungs: dict[str, dict[str, Rung]] = {}
        for result in sorted(self.results, key=lambda r: -len(r.rungs)):
            rungs.setdefault(result.ladder, {}).update(result.rungs)
        return rungs


def read_sweep(path: Path) -> Sweep:
    """Reads `outputs/sweeps/<name>`. Raises ConfigError where it is no sweep or no cell of it has finished."""
    plan = _plan(path)
    sweep = Sweep(path, plan.get("name", path.resolve().name), plan.get("command", ""), len(plan.get("stages", {})))
    for folder in _folders(path, plan):
        try:
            _read_cell(folder, sweep)
        except Exception as error:  # whatever is wrong with one cell, the others are reported
            reason = f"unreadable result, remove the folder and run the sweep again: {_one_line(error)}"
            sweep.failures.append(Unreadable(folder.name, reason))
    if not sweep.results:
        raise ConfigError(f"no finished cell in {path}: {_census(sweep)}")
    return sweep


def _plan(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise ConfigError(f"no folder {path}; expected a sweep, as in outputs/sweeps/<name>")
    plan = path / "sweep.json"
    if plan.exists():
        try:
            return _read_json(plan)
        except ValueError as error:
            damage = f"{plan} is damaged ({_one_line(error)}): run the sweep again, which trains nothing twice"
            raise ConfigError(damage) from None
    if not any(path.glob("*/cell.json")):
        raise ConfigError(f"{path} is no sweep: it has neither sweep.json nor cells; expected outputs/sweeps/<name>")
    return {}


def _folders(path: Path, plan: Mapping[str, Any]) -> Iterator[Path]:
    """The planned cells first, in their order, then those of earlier runs under the same name."""
    planned = [path / cell["dir"] for cell in plan.get("cells", [])]
    yield from dict.fromkeys(planned)
    found = {file.parent for name in ("cell.json", "failure.json") for file in path.glob(f"*/{name}")}
    yield from sorted(found - set(planned))


def _read_cell(folder: Path, sweep: Sweep) -> None:
    if (folder / "cell.json").exists():
        fields = _read_json(folder / "cell.json")
        if "skipped" in fields:
            sweep.skipped.append(Skipped(**fields, dir=folder.name))
        else:
            correct = _read_correct(folder, fields["n_test"])
            sweep.results.append(Result(**fields, dir=folder.name, correct=correct))
    elif (folder / "failure.json").exists():
        sweep.failures.append(Failed(**_read_json(folder / "failure.json"), dir=folder.name))
    else:
        sweep.pending.append(folder.name)


def _read_json(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def _read_correct(folder: Path, n_test: int) -> np.ndarray:  # [3, n_test]
    from safetensors.numpy import load_file

    correct = load_file(folder / "correct.safetensors")
    shapes = {role: correct[role].shape for role in ("weak", "student", "ceiling")}
    if set(shapes.values()) != {(n_test,)}:
        raise ValueError(f"correct.safetensors has shapes {shapes}, expected ({n_test},) for each")
    return np.stack([correct[role] for role in shapes])


def _census(sweep: Sweep) -> str:
    first = f" (the first: {sweep.failures[0].reason})" if sweep.failures else ""
    return (
        f"{len(sweep.failures)} failed{first}, {len(sweep.skipped)} skipped, {len(sweep.pending)} without a result yet"
    )


def _one_line(error: Exception) -> str:
    if isinstance(error, pydantic.ValidationError):
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
