"""Sweeps as the command line leaves them, with results from a made-up law instead of training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from toys import place

from w2sweep.engine.files import write_json
from w2sweep.results import metrics
from w2sweep.results.cell import (
    ROLES,
    Compared,
    Failed,
    Place,
    Record,
    Result,
    RungFacts,
    SkippedCell,
    clear,
    read,
)

TASKS = {"sentiment": "nlp", "preference": "reward", "mate": "chess"}
LADDER = {"nano": 1.7e3, "micro": 7e3, "mini": 2.6e4, "small": 1.0e5}
TWO_RUNGS = {"nano": 1.7e3, "small": 1.0e5}
RECOVERED = {"naive": 0.5, "confidence": 0.75}
"""Method -> the share of the gap that its students recover of an empty one."""


def fake_sweep(
    path: Path,
    *,
    tasks: Mapping[str, str] = TASKS,
    ladder: Mapping[str, float] = LADDER,
    methods: Iterable[str] = ("naive", "confidence"),
    variants: Iterable[Mapping[str, str]] = ({},),
    seeds: int = 2,
    n_test: int = 400,
    gap: float = 0.3,
    digest: str = "",
    further: Iterable[str] = (),
    diagnosed: bool = False,
) -> Path:
    """A sweep's folder. Students recover less of a larger gap; `further` models that confidence
    compares are as good as its students; cells are `diagnosed` since 0.2."""
    folders = []
    for task, weak, strong, method, variant, seed in product(
        tasks, ladder, ladder, methods, variants, range(seeds)
    ):
        if method == "confidence" and tasks[task] == "chess":
            continue
        axes: dict[str, Any] = {"task": task, "family": tasks[task], "ladder": "lab", "weak": weak}
        axes |= {"strong": strong, "method": method, "seed": seed, "variant": dict(variant)}
        axes["digest"] = digest
        at = place(**axes)
        roles = (*ROLES, *(further if method == "confidence" else ()))
        folder = path / folder_of(at)
        clear(folder)
        found = invented(at, ladder, gap, n_test, roles, list(tasks).index(task))
        if diagnosed and isinstance(found, Result):
            found = with_diagnostics(found)
        found.write(folder)
        folders.append(folder.name)
    plan: dict[str, Any] = {"name": path.name, "command": "w2sweep -cn quickstart seed=0,1"}
    plan["cells"] = [{"dir": name, "overrides": [], "digest": digest} for name in folders]
    plan["stages"] = {f"Finetune/{i:04x}": "student" for i in range(42)}
    write_json(path / "sweep.json", plan)
    return path


def folder_of(at: Place) -> str:
    """The name of a cell's folder."""
    axes = ("task", "weak", "strong", "method", "seed")
    parts = [f"{axis}={getattr(at, axis)}" for axis in axes]
    variant = [f"{key}={value}" for key, value in at.variant.items()]
    return ",".join(parts + variant).replace("/", "_")


def invented(
    at: Place, ladder: Mapping[str, float], gap: float, n: int, roles: Iterable[str], task: int
) -> Result | SkippedCell:
    """The record of a cell."""
    i, j = list(ladder).index(at.weak), list(ladder).index(at.strong)
    if i >= j:
        return SkippedCell(**vars(at), skipped=f"weak {at.weak} >= strong {at.strong}")
    steps = len(ladder) - 1
    rng = np.random.default_rng(task + 100 * at.seed)
    difficulty, noise = rng.random(n), rng.normal(0, 0.04, 2 * steps + 2)
    supervisor = 0.62 + gap * i / steps + noise[i]
    ceiling = 0.62 + gap * j / steps + abs(noise[j]) / 2
    recovered = RECOVERED.get(at.method, 0.3) - 0.12 * (j - i) + noise[-1]
    student = supervisor + recovered * (ceiling - supervisor)
    reach = {"supervisor": supervisor, "student": student, "ceiling": ceiling}
    # Right answers by a threshold on each example's difficulty: models agree as real ones do.
    felt = {role: difficulty + rng.normal(0, 0.1, n) for role in roles}
    correct = {role: felt[role] < reach.get(role, student) for role in roles}
    return finished(at, ladder, {role: c.astype(np.uint8) for role, c in correct.items()})


def finished(at: Place, ladder: Mapping[str, float], correct: Mapping[str, np.ndarray]) -> Result:
    """The record of a cell whose models answer so; `correct`: role -> [N]."""
    models = {r: Compared(stage=f"Finetune/{r}", accuracy=c.mean()) for r, c in correct.items()}
    recovered = metrics.pgr(*(models[role].accuracy for role in ROLES))
    right, student = correct["supervisor"], correct["student"]
    agreed = metrics.agreement(right == student, right)
    compute = {name: 6 * size * 40 * size**0.8 for name, size in ladder.items()}
    return Result(
        **vars(at),
        rungs={name: RungFacts(size=int(ladder[name]), compute=c) for name, c in compute.items()},
        models=models,
        pgr=recovered.value,
        pgr_undefined=recovered.undefined,
        agreement=agreed.overall,
        agreement_weak_right=agreed.weak_right,
        agreement_weak_wrong=agreed.weak_wrong,
        n_test=len(right),
        chance=None if at.family == "chess" else 0.5,
        marks={"legality": 0.97} if at.family == "chess" else {},
        store="outputs/store",
        w2sweep="0.1.0",
        correct=dict(correct),
    )


def with_diagnostics(r: Result) -> Result:
    """The record with some of the diagnostics that cells of classes have."""
    agreements = ("", "_weak_right", "_weak_wrong")
    found = {f"ceiling_agreement{where}": 0.7 for where in agreements}
    found |= {"misfit": 0.01 * r.seed + 0.02, "capa": 0.1, "loss_gained": 0.02}
    found["accuracy_gained"] = r.accuracy("student") - r.accuracy("supervisor")
    curve = [[(i + 0.5) / 15, 0.7, 40.0 * (i > 7)] for i in range(15)]
    return replace(r, diagnostics=found, reliability=dict.fromkeys(ROLES, curve))


def cell(sweep: Path, **at: object) -> Path:
    """The folder of the one cell that lies there."""
    wanted = {f"{axis}={value}" for axis, value in at.items()}
    (found,) = [f for f in sweep.iterdir() if wanted <= set(f.name.split(","))]
    return found


def record(folder: Path) -> Record:
    """What a cell's folder says."""
    found = read(folder)
    assert found is not None
    return found


def results(sweep: Path) -> dict[Path, Result]:
    """Folder -> result, of the cells that have one."""
    found = {folder: read(folder) for folder in sweep.iterdir() if folder.is_dir()}
    return {folder: cell for folder, cell in found.items() if isinstance(cell, Result)}


def change(folder: Path, result: Result, **fields: object) -> None:
    """Writes a result again, with other fields."""
    replace(result, **fields).write(folder)  # type: ignore[arg-type]


def fail(folder: Path, reason: str, traceback: str = "Traceback ...") -> None:
    """Makes a cell one that has failed."""
    axes = Place.__dataclass_fields__  # type: ignore[attr-defined]
    at = {axis: getattr(record(folder), axis) for axis in axes}
    clear(folder)
    Failed(**at, reason=reason, error="ValueError", traceback=traceback).write(folder)
