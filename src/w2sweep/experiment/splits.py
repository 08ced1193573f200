"""The task's examples in splits: a stage of its own, so that all models see the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from w2sweep.engine.files import write_json
from w2sweep.engine.kept import Kept
from w2sweep.engine.stage import Job, Stage, identity
from w2sweep.experiment.shift import Shift
from w2sweep.experiment.shifting import Shifting
from w2sweep.experiment.splitting import Sizes, split
from w2sweep.tasks.example import Example
from w2sweep.tasks.source import Source
from w2sweep.tasks.task import Task


def answered(splits: Iterable[str]) -> list[str]:
    """The splits that are predicted: all but the supervisor's own, which labels nobody."""
    return [name for name in splits if name != "supervisor"]


class Answered(Stage[dict[str, list[Example]]]):
    """A stage whose result are examples by split, which models read: at least all that are
    answered."""

    task: Task
    """What they are examples of."""


@dataclass(frozen=True)
class Splits(Answered):
    """The task's examples in splits that are disjoint by group and balanced.

    Burns et al. 2023, appendix A.1. Make it by `Splits.of`, so that tasks with the same examples
    share their splits.
    """

    added: ClassVar[frozenset[str]] = frozenset({"shift"})

    task: Task
    sizes: Sizes
    seed: int
    shift: Shift | None = None
    """How the student's half differs from the test; None: it does not."""

    @staticmethod
    def of(task: Task, sizes: Sizes, seed: int, shift: Shift | None = None) -> Splits:
        """The splits of a task, which depend on no more of it than its examples do."""
        return Splits(task.for_examples, sizes, seed, None if shift == Shift() else shift)

    @property
    def what(self) -> str:
        return f"splits of {self.task.name}"

    def run(self, job: Job) -> None:
        """Writes `<split>.jsonl` and `manifest.json`."""
        splits, manifest = self.made()
        for name, examples in splits.items():
            write_examples(job.out / f"{name}.jsonl", examples)
        write_json(job.out / "manifest.json", _origin(self.task) | manifest)

    def made(self) -> tuple[dict[str, list[Example]], dict[str, Any]]:
        """The examples of each split, and their manifest, computed here and now."""
        shifting = None if self.shift is None else Shifting(self.shift, self.task, self.seed)
        return split(self.task.examples(), self.sizes, self.seed, shifting)

    def read(self, path: Path) -> dict[str, list[Example]]:
        """The examples of each split, in the order of their ids. All models of a task read them, so
        a process reads a file again only when it has changed."""
        return {name: list(_kept(path / f"{name}.jsonl")) for name in self.sizes.asked}


def _origin(task: Task) -> dict[str, Any]:
    """Where the rows of a task were read from, and what they were; {} of a task without rows."""
    source = getattr(task, "source", None)
    if not isinstance(source, Source):
        return {}
    return {"source": {"read": source.label, "content": identity(source)}}


def _fields(e: Example) -> dict[str, Any]:
    """What is written of an example. A difficulty that is not known is left out."""
    return {name: held for name, held in asdict(e).items() if held is not None}


def write_examples(file: Path, examples: Iterable[Example]) -> None:
    """Writes examples as JSON, one a line."""
    lines = [json.dumps(_fields(e), ensure_ascii=False) + "\n" for e in examples]
    file.write_text("".join(lines), encoding="utf-8", newline="\n")


def read_examples(file: Path) -> list[Example]:
    """What `write_examples` wrote."""
    with file.open(encoding="utf-8", newline="\n") as lines:
        return [_example(line) for line in lines]


_READ = Kept[list[Example]](room=2**25)
"""Bytes of files, which take about three times as much in memory."""


def _kept(file: Path) -> list[Example]:
    found = file.stat()
    key = (file, found.st_size, found.st_mtime_ns, found.st_ino)
    return _READ.get(key, lambda: read_examples(file), lambda _: found.st_size)


def _example(line: str) -> Example:
    fields = json.loads(line)
    return Example(**{**fields, "views": tuple(fields["views"])})
