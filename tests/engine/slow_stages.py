"""Stages that never run: tests say what runs, and what took how long."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from w2sweep.engine.failures import StageFailed, failure_file
from w2sweep.engine.files import write_json
from w2sweep.engine.leases import claim
from w2sweep.engine.owners import Owner
from w2sweep.engine.paces import Load
from w2sweep.engine.stage import Stage
from w2sweep.engine.working import folder_of


@dataclass(frozen=True)
class Train(Stage[None]):
    """Takes its time for its model, its data and its operations."""

    n: int
    of: tuple[Stage, ...] = ()
    model: int = 1
    data: str = "news"
    flops: float | None = None
    mates: str = ""

    @property
    def what(self) -> str:
        return f"train [{self.n}]"

    @property
    def size(self) -> int:
        return self.model

    @property
    def together(self) -> str | None:
        return self.mates or None

    def read(self, path: Path) -> None:
        raise NotImplementedError


class Test(Train):
    """Another class."""

    __test__ = False


def load(stage: Stage) -> Load:
    assert isinstance(stage, Train)
    return Load(stage.flops, stage.data)


def finish(root: Path, stage: Stage, seconds: float = 1.0, **computed: str) -> None:
    (root / stage.name).mkdir(parents=True)
    told = {"seconds": seconds, "stage": {}, "computed": computed}
    (root / stage.name / "stage.json").write_text(json.dumps(told))


def start(root: Path, stage: Stage, pid: int | None = None, **said: float) -> Path:
    """As the work of a process, of this one if no other is named. Returns its folder."""
    lease = claim(root / stage.name.partition("/")[0], stage.key, 60)
    assert lease
    if pid is not None:
        lease.file.write_text(json.dumps(Owner.of(pid).plain))
    work = folder_of(lease)
    work.mkdir(parents=True)
    if said:
        (work / "progress.json").write_text(json.dumps({"unit": "steps/s", **said}))
    return work


def fail(root: Path, stage: Stage, reason: str) -> None:
    file = failure_file(root, stage)
    file.parent.mkdir(parents=True)
    write_json(file, vars(StageFailed(str(stage), "ValueError", reason, "")))
