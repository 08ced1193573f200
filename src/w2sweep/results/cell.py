"""What is written down of a cell, and read again: one class for both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, dataclass_transform

import numpy as np
import pydantic
from numpy.typing import NDArray

from w2sweep.engine.files import read_json, replacing, sweep_up, write_json
from w2sweep.results.best_of import BestReplies
from w2sweep.results.by_difficulty import ByDifficulty
from w2sweep.results.cost import METHOD, Cost
from w2sweep.results.curve import Curve, Learning
from w2sweep.results.shown import Shown

CORRECT = "correct.safetensors"
SEAL = "written"
"""The key under which a record says with which checksum it was written."""
SUPERVISOR, STUDENT, CEILING = ROLES = ("supervisor", "student", "ceiling")
"""The models that every cell compares."""
NAMES = {SUPERVISOR: "weak", STUDENT: "student", CEILING: "ceiling"}
"""What columns call them."""
Variant = tuple[tuple[str, str], ...]
"""Overrides as (key, value), in an order of their own."""


class Group(NamedTuple):
    """What the cells have in common whose seeds are averaged."""

    task: str
    ladder: str
    weak: str
    strong: str
    method: str
    variant: Variant
    """The items of the cells' variant."""
    digest: str = ""
    """Of all that their numbers came from, but for the seed."""

    @property
    def label(self) -> Group:
        """What it is called: two groups of one label came from different configurations."""
        return self._replace(digest="")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(pydantic.Field,))
def _record(cls):
    # Unknown fields are no error: the sweep may have been written by a later version.
    config = pydantic.ConfigDict(extra="ignore", arbitrary_types_allowed=True)
    return pydantic.dataclasses.dataclass(cls, frozen=True, kw_only=True, config=config)


@_record
class Place:
    """Where on the sweep's grid a cell lies: all that tells it from the others."""

    task: str
    ladder: str
    weak: str
    strong: str
    method: str
    seed: int
    variant: dict[str, str] = pydantic.Field(default_factory=dict)
    """The overrides that none of the above says, key -> value. Cells with different ones are never
    averaged."""
    family: str = ""
    digest: str = ""
    """Of all that its numbers come from, but for the seed. Cells with different ones are never
    averaged, whatever they are called."""

    @property
    def group(self) -> Group:
        """The cells that it is averaged with."""
        variant = tuple(self.variant.items())
        axes = (self.task, self.ladder, self.weak, self.strong, self.method)
        return Group(*axes, variant, self.digest)

    @property
    def title(self) -> str:
        """A line that names it."""
        pair = f"{self.strong} <- {self.weak} on {self.ladder}"
        seed = f"seed {self.seed}"
        return ", ".join((f"{self.task}: {pair}", self.method, seed, *overrides(self.variant)))


@_record
class RungFacts:
    """What figures need to know of a rung."""

    size: int
    """Parameters without embeddings, as the ladder says."""
    compute: float
    """Pretraining FLOPs."""
    counted: int | None = None
    """All parameters by the model's own configuration; None where that is not known, or is where
    `size` comes from."""
    parameters: int | None = None
    """All parameters, as the ladder says; None: those of `size`."""


@_record
class Compared:
    """One of the models that a cell compares."""

    stage: str
    """Which stage of the store made its answers."""
    accuracy: float
    """On the test split."""
    only: str | None = None
    """The one answer that it gives to all test examples; None where it gives several."""


@_record
class Elsewhere:
    """How the models of a cell do on a task that they were not finetuned on."""

    stages: dict[str, str]
    """Role -> which stage of the store made its answers."""
    accuracy: dict[str, float]
    """Role -> accuracy on that task's test split."""
    pgr: float | None
    pgr_undefined: str | None = None
    n_test: int
    chance: float | None = None
    left_out: int = 0
    """Test examples of that task that are not marked: their very texts are among those that the
    cell's models were trained or chosen on."""


@_record
class LanguageModel:
    """A language model of a cell: what it has read, and how well it knows text of the kind."""

    stage: str
    """Which stage of the store it is."""
    rung: str
    tokens: int
    """Read of the text that the loss is on."""
    before: int
    """Tokens of other text that were read before, as far as they are known."""
    loss: float
    """On text that was held out, in nats a token."""


@_record
class Result(Place):
    """A finished cell: `cell.json`, and `correct.safetensors` beside it."""

    FILE: ClassVar[str] = "cell.json"

    rungs: dict[str, RungFacts]
    """The whole ladder, weakest first."""
    models: dict[str, Compared]
    """Role -> model: supervisor, student, ceiling, and what the method compares beside them."""
    pgr: float | None
    pgr_undefined: str | None = None
    """Why there is none."""
    agreement: float
    """How often the student answers as its supervisor does."""
    agreement_weak_right: float | None = None
    agreement_weak_wrong: float | None = None
    n_test: int
    """Test examples."""
    chance: float | None = None
    """The accuracy of guessing: one of K classes, of which the test split has as many each. None
    where answers are completions."""
    marks: dict[str, float] = pydantic.Field(default_factory=dict)
    """The task's further marks of the student's completions."""
    diagnostics: dict[str, float] = pydantic.Field(default_factory=dict)
    """Name -> number (see `w2sweep.results.diagnostics`); what is not defined is left out."""
    reliability: dict[str, list[list[float]]] = pydantic.Field(default_factory=dict)
    """Role -> mean confidence, accuracy and count of each bin; empty where answers are
    completions."""
    by_difficulty: ByDifficulty | None = None
    """Where the method asks for it."""
    elsewhere: dict[str, Elsewhere] = pydantic.Field(default_factory=dict)
    """Name of another task -> how the models do on it (`evaluate_on`)."""
    curve: Curve | None = None
    """How the student did along its training, where the method looks at that."""
    learning: dict[str, Learning] = pydantic.Field(default_factory=dict)
    """Role -> how the model did while it was trained, of supervisor, student and ceiling."""
    shown: list[Shown] | None = None
    """Some test examples; None of a cell that was written before there were any."""
    language_models: dict[str, LanguageModel] = pydantic.Field(default_factory=dict)
    """Name -> language model, of methods that ask for it."""
    cost: Cost | None = None
    """What the method costs; None of a cell that was written before anybody counted."""
    kind: str = METHOD
    """What the method is for: one of KINDS."""
    true_labels: int = 0
    """True labels of other examples than the supervisor's own that the student is made with."""
    best_of: BestReplies | None = None
    """How good the replies are that its models choose, where that is asked for."""
    store: str
    w2sweep: str
    """The version of the program."""
    correct: dict[str, NDArray[np.uint8]] = pydantic.Field(default_factory=dict)
    """Role -> whether it answers each test example rightly [n_test]; of another task, under
    TASK/ROLE."""

    def write(self, folder: Path) -> None:
        """Writes both files, each whole or not at all."""
        from safetensors.numpy import save_file

        with replacing(folder / CORRECT) as new:
            save_file(self.correct, new)
        _write(self, folder, without=("correct",), beside=CORRECT)

    @classmethod
    def read(cls, folder: Path, fields: Mapping[str, Any]) -> Self:
        """The result in a folder, whose `cell.json` has these fields. Raises ValueError where the
        two files do not belong together, or are not as they were written."""
        from safetensors.numpy import load_file

        correct = load_file(folder / CORRECT)
        result = cls(**fields, correct=correct)
        found = {role: answers.shape for role, answers in correct.items()}
        shapes = {role: found.get(role) for role in result.models}
        if set(shapes.values()) != {(result.n_test,)}:
            raise ValueError(f"{CORRECT} has shapes {shapes}, expected ({result.n_test},) for each")
        _check_seal(folder, fields)
        return result

    def accuracy(self, role: str) -> float:
        """Of one of the models."""
        return self.models[role].accuracy

    def right(self, roles: Iterable[str]) -> NDArray[np.uint8]:
        """[models, n_test]: whether the models of these roles answer rightly."""
        return np.stack([self.correct[role] for role in roles])

    @property
    def paired(self) -> NDArray[np.uint8]:
        """[3, n_test]: whether supervisor, student and ceiling answer rightly."""
        return self.right(ROLES)

    def paired_on(self, target: str) -> NDArray[np.uint8]:
        """[3, n]: the same on the test split of another task."""
        return self.right(f"{target}/{role}" for role in ROLES)


@_record
class SkippedCell(Place):
    """A cell with nothing to run, which `cell.json` says."""

    FILE: ClassVar[str] = "cell.json"

    skipped: str
    """Why."""

    def write(self, folder: Path) -> None:
        _write(self, folder)


@_record
class Failed(Place):
    """A cell that ended with an error: `failure.json`."""

    FILE: ClassVar[str] = "failure.json"

    reason: str
    error: str = ""
    """The exception's type."""
    traceback: str = ""

    def write(self, folder: Path) -> None:
        _write(self, folder)


Record = Result | SkippedCell | Failed
"""What a cell's folder may say."""


def read(folder: Path) -> Record | None:
    """What a cell's folder says; None where it says nothing yet.

    Raises OSError, ValueError or KeyError where its files are damaged.
    """
    if (folder / Result.FILE).exists():
        found = _fields(folder / Result.FILE)
        return SkippedCell(**found) if "skipped" in found else Result.read(folder, found)
    if (folder / Failed.FILE).exists():
        return Failed(**_fields(folder / Failed.FILE))
    return None


def _fields(file: Path) -> dict[str, Any]:
    found = read_json(file)
    if not isinstance(found, dict):
        raise ValueError(
            f"{file.name} holds a {type(found).__name__}, expected the fields of a cell"
        )
    return found


def clear(folder: Path) -> None:
    """Makes the folder, without what an earlier run of the cell said."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (Result.FILE, Failed.FILE, CORRECT):
        (folder / stale).unlink(missing_ok=True)
    sweep_up(folder)


def overrides(variant: Mapping[str, str]) -> list[str]:
    """As on the command line: `key=value`, or the key alone where something is taken away."""
    return [f"{key}={value}" if value else key for key, value in variant.items()]


def _write(
    record: Any, folder: Path, without: tuple[str, ...] = (), beside: str | None = None
) -> None:
    names = [f.name for f in fields(record) if f.name not in without]
    said = {name: _plain(getattr(record, name)) for name in names}
    seal = {"fields": names, "beside": beside}
    seal["sha256"] = _sealed(folder, said, seal)
    write_json(folder / record.FILE, {**said, SEAL: seal})


def _check_seal(folder: Path, found: Mapping[str, Any]) -> None:
    """Raises ValueError where a record, or the file beside it, is not as it was written."""
    try:
        seal = found[SEAL]
        whole = seal["sha256"] == _sealed(folder, found, seal)
    except (TypeError, KeyError):
        raise ValueError("it has no readable checksum") from None
    if not whole:
        raise ValueError("it was changed after it was written (its checksum is another)")


def _sealed(folder: Path, said: Mapping[str, Any], seal: Mapping[str, Any]) -> str:
    """The checksum of these fields of a record, and of the file beside it."""
    covered = json.dumps({name: said[name] for name in seal["fields"]}, sort_keys=True)
    found = hashlib.sha256(covered.encode())
    if seal["beside"]:
        found.update((folder / seal["beside"]).read_bytes())
    return found.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
