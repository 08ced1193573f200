"""Eight workers on one store, killed at random: no result is lost, doubled, or different."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from conftest import REPOSITORY

from w2sweep.engine.files import read_json, write_json
from w2sweep.engine.job import Circumstances
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Job, Stage, closure
from w2sweep.engine.store import Store
from w2sweep.values import value

STEPS, EVERY = 80, 10


@value
class Pace(Runtime):
    """How walks are run."""

    steps: str = ""
    """A file that grows by one byte a step."""
    pause_s: float = 0.0


@dataclass(frozen=True)
class Walk(Stage[int]):
    """A slow pseudo-random walk with a checkpoint every few steps: a training, as far as a store
    can tell."""

    seed: int
    labels: Walk | None = None

    def run(self, job: Job) -> None:
        assert isinstance(job.runtime, Pace)
        start = job.get(self.labels) if self.labels else 0
        x = self.walk(self.seed + start, job.out, job.runtime)
        write(job.out, x)
        if job.wants(Echo(self)):
            write(job.deliver(Echo(self)), x)

    def walk(self, x: int, out: Path, pace: Pace) -> int:
        checkpoint, first = out / "checkpoint.json", 0
        if checkpoint.exists():
            x, first = read_json(checkpoint)
        with (out / "log").open("w") as log, Path(pace.steps).open("ab", buffering=0) as steps:
            for step in range(first, STEPS):
                if step % EVERY == 0:
                    write_json(checkpoint, [x, step])
                time.sleep(pace.pause_s)
                x = (6364136223846793005 * x + 1442695040888963407) % 2**64
                log.write("half a result, were it not thrown away\n")
                steps.write(b".")
        (out / "log").unlink()
        return x

    def read(self, path: Path) -> int:
        return int((path / "x").read_text())


@dataclass(frozen=True)
class Echo(Stage[int]):
    """What a walk delivers beside its own result."""

    of: Walk

    def run(self, job: Job) -> None:
        write(job.out, job.get(self.of))

    def read(self, path: Path) -> int:
        return int((path / "x").read_text())


def write(out: Path, x: int) -> None:
    (out / "x").write_text(str(x))


def walks() -> list[Walk]:
    """Students of shared supervisors, and a chain: 36 distinct walks."""
    supervisors = [Walk(seed) for seed in range(6)]
    students = [Walk(seed, labels=s) for s in supervisors for seed in range(4)]
    chain = students[0]
    for seed in range(6):
        chain = Walk(100 + seed, labels=chain)
    return [*students, chain]


def stages() -> list[Stage[int]]:
    """Walks, and the echoes that they deliver."""
    return [*walks(), *map(Echo, walks())]


def work(root: str, steps: str) -> None:
    """What each worker runs."""
    pace = Pace(steps=steps, pause_s=0.01)
    Store(root, Circumstances(pace), poll_s=0.2).ensure(*stages())


@pytest.fixture(scope="module")
def kill_storm() -> ModuleType:
    file = REPOSITORY / "benchmarks" / "kill_storm.py"
    spec = importlib.util.spec_from_file_location("kill_storm", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill_storm"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_kill_storm(kill_storm: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    # a worker that may ask git for its commit would at times be two processes
    monkeypatch.setenv("PATH", str(tmp_path))
    steps = tmp_path / "steps"
    call = "import sys, test_kill_storm; test_kill_storm.work(*sys.argv[1:])"
    command = [sys.executable, "-c", call, "{store}", str(steps)]
    storm = kill_storm.Storm(command, tmp_path / "storm", kills=25, every_s=0.2)
    storm.run(workers=8)

    assert (storm.hits, len(storm.killed)) == (25, 25)
    assert storm.left() == kill_storm.damaged(storm.root / "store") == []
    distinct = closure(tuple(stages()))
    account = kill_storm.Account.of(storm.root / "store", storm.killed)
    assert account.unexplained == []
    assert account.distinct == len(distinct)
    assert account.executed == account.distinct + account.interrupted
    assert account.adopted > 0

    calm = Pace(steps=str(tmp_path / "calm_steps"))
    Store(tmp_path / "calm", Circumstances(calm)).ensure(*stages())
    assert kill_storm.differences(tmp_path / "calm", storm.root / "store") == []
    # a kill costs what was done since the last checkpoint, and no more
    needed = STEPS * sum(isinstance(stage, Walk) for stage in distinct)
    assert needed <= steps.stat().st_size <= needed + EVERY * account.interrupted
