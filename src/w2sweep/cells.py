"""One cell: its stages made sure of, and what they say of each other written into its folder."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from w2sweep import __version__
from w2sweep.metrics import accuracy, agreement, pgr
from w2sweep.setting import Cell, Setting
from w2sweep.stages import Labels
from w2sweep.store import StageFailed, Store
from w2sweep.tasks import Example, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Label:
    """What a cell is called in tables: all that tells it from the other cells of its sweep."""

    task: str
    family: str
    ladder: str
    weak: str
    strong: str
    method: str
    seed: int
    variant: str
    """The overrides that none of the above says; cells with different ones are never averaged."""


def roles(cell: Cell) -> dict[str, Labels]:
    """The three stages that a cell compares."""
    return {"supervisor": cell.setting.supervisor, "student": cell.student, "ceiling": cell.setting.ceiling}


def run(cell: Cell, label: Label, store: Store, folder: Path) -> bool:
    """Writes `cell.json` and `correct.safetensors`, or `failure.json`; whether there is a result."""
    clear(folder)
    try:
        stages = roles(cell)
        store.ensure(*stages.values())
        record = {**asdict(label), **_facts(cell.setting), **_compared(cell, stages, store, folder)}
    except Exception as error:
        write_json(folder / "failure.json", {**asdict(label), **_failure(error)})
        return False
    write_json(folder / "cell.json", record)
    return True


def current(cell: Cell, label: Label, store: Store, folder: Path) -> bool:
    """Whether the folder has already what `run` would write there, by this version of the program."""
    try:
        said = json.loads((folder / "cell.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    expected = {**asdict(label), **_origin(cell, store)}
    return all(said.get(k) == v for k, v in expected.items()) and (folder / "correct.safetensors").exists()


def skip(reason: str, label: Label, folder: Path) -> None:
    """Writes a `cell.json` that says why there is nothing to run."""
    clear(folder)
    write_json(folder / "cell.json", {**asdict(label), "skipped": reason})


def clear(folder: Path) -> None:
    """Makes the folder, without what an earlier run of the cell said."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in ("cell.json", "failure.json", "correct.safetensors"):
        (folder / stale).unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes the whole file or nothing: a reader never meets a half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def _facts(s: Setting) -> dict[str, Any]:
    rungs = {name: {"size": b.size, "compute": b.compute} for name, b in s.ladder.rungs.items()}
    weak, strong = rungs[s.weak], rungs[s.strong]
    return {
        "weak_size": weak["size"],
        "strong_size": strong["size"],
        "weak_compute": weak["compute"],
        "strong_compute": strong["compute"],
        "rungs": rungs,
    }


def _origin(cell: Cell, store: Store) -> dict[str, Any]:
    """What a cell's numbers follow from."""
    stages = {role: stage.name for role, stage in roles(cell).items()}
    return {"stages": stages, "store": str(store.root), "w2sweep": __version__}


def _compared(cell: Cell, stages: Mapping[str, Labels], store: Store, folder: Path) -> dict[str, Any]:
    splits = store.get(cell.setting.splits)
    examples = splits["test"]
    weak, student, ceiling = (store.get(stage) for stage in stages.values())
    correct = {k: p.correct("test", examples) for k, p in (("weak", weak), ("student", student), ("ceiling", ceiling))}
    _write_correct(folder, correct)
    accuracies = {k: accuracy(v) for k, v in correct.items()}
    recovered = pgr(**accuracies)
    agreed = agreement(student.agrees(weak, "test"), correct["weak"])
    return {
        **{f"{k}_accuracy": v for k, v in accuracies.items()},
        "pgr": recovered.value,
        "pgr_undefined": recovered.undefined,
        "agreement": agreed.overall,
        "agreement_weak_right": agreed.weak_right,
        "agreement_weak_wrong": agreed.weak_wrong,
        "n_test": len(examples),
        "marks": _marks(cell.setting.task, examples, student.answers["test"]) | _marks_of_labels(cell, splits, store),
        **_origin(cell, store),
    }


def _write_correct(folder: Path, correct: Mapping[str, np.ndarray]) -> None:
    from safetensors.numpy import save

    temporary = folder / f".correct.{os.getpid()}"
    temporary.write_bytes(save({k: v.astype(np.uint8) for k, v in correct.items()}))
    temporary.replace(folder / "correct.safetensors")


def _marks(task: Task, examples: Sequence[Example], answers: NDArray[np.float32] | list[str]) -> dict[str, float]:
    """The task's own marks of completions, each averaged over the examples that have it."""
    if not isinstance(answers, list):
        return {}
    marks = [task.judge(e, c) for e, c in zip(examples, answers, strict=True)]
    return {k: float(np.mean([m[k] for m in marks if k in m])) for k in sorted({k for m in marks for k in m})}


def _marks_of_labels(cell: Cell, splits: Mapping[str, Sequence[Example]], store: Store) -> dict[str, float]:
    """The same of the completions that the student is trained on: illegal ones are labels too, so they are counted."""
    stage = cell.student
    if stage.labels is None:
        return {}
    answers = store.get(stage.labels).answers[stage.on]
    return {f"weak_labels_{k}": v for k, v in _marks(cell.setting.task, splits[stage.on], answers).items()}


def _failure(error: Exception) -> dict[str, str]:
    if isinstance(error, StageFailed):
        return {"reason": f"{error.what}: {error.reason}", "error": error.error, "traceback": error.trace}
    reason = " ".join(str(error).split()) or "no message"
    trace = "".join(traceback.format_exception(error))
    return {"reason": reason, "error": type(error).__name__, "traceback": trace}
