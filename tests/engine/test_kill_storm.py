"""Eight workers on one store, killed at random: no result is lost, doubled, or different."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from w2sweep.engine.stage import Stage, closure
from w2sweep.engine.store import Store

STEPS, EVERY = 80, 10


@dataclass
class Pace:
    """How walks are run."""

    steps: Path
    """Grows by one byte a step."""
    pause_s: float


@dataclass(frozen=True)
class Walk(Stage[int]):
    """A slow pseudo-random walk with a checkpoint every few steps: a training, as far as a store can tell."""

    seed: int
    labels: Walk | None = None

    def run(self, out: Path, store: Store) -> None:
        checkpoint = out / "checkpoint.json"
        x, first = self.seed + (store.get(self.labels) if self.labels else 0), 0
        if checkpoint.exists():
            x, first = json.loads(checkpoint.read_text())
        with (out / "log").open("w") as log, store.how.steps.open("ab", buffering=0) as steps:
            for step in range(first, STEPS):
                if step % EVERY == 0:
                    (out / "checkpoint.tmp").write_text(json.dumps([x, step]))
                    (out / "checkpoint.tmp").replace(checkpoint)
                time.sleep(store.how.pause_s)
                x = (6364136223846793005 * x + 1442695040888963407) % 2**64
                log.write("half a result, were it not thrown away\n")
                steps.write(b".")
        (out / "log").unlink()
        (out / "x").write_text(str(x))

    def read(self, path: Path) -> int:
        return int((path / "x").read_text())


def cells() -> list[Walk]:
    """Students of shared supervisors, and a chain: 36 distinct stages."""
    supervisors = [Walk(seed) for seed in range(6)]
    students = [Walk(seed, labels=s) for s in supervisors for seed in range(4)]
    chain = students[0]
    for seed in range(6):
        chain = Walk(100 + seed, labels=chain)
    return [*students, chain]


def work(root: str, steps: str) -> None:
    """What each worker runs."""
    Store(root, how=Pace(Path(steps), 0.01), poll_s=0.2).ensure(*cells())


@pytest.fixture(scope="module")
def kill_storm() -> ModuleType:
    file = Path(__file__).parents[1] / "benchmarks" / "kill_storm.py"
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
    steps = tmp_path / "steps"
    call = "import sys, test_kill_storm; test_kill_storm.work(*sys.argv[1:])"
    command = [sys.executable, "-c", call, "{store}", str(steps)]
    storm = kill_storm.Storm(command, tmp_path / "storm", kills=25, every_s=0.2)
    storm.run(workers=8)

    assert len(storm.killed) == 25
    distinct = closure(tuple(cells()))
    account = kill_storm.Account.of(storm.root / "store", storm.killed)
    assert account.unexplained == []
    assert account.distinct == len(distinct)
    assert account.executed == account.distinct + account.interrupted
    assert account.adopted > 0

    Store(tmp_path / "calm", how=Pace(tmp_path / "calm_steps", 0)).ensure(*cells())
    assert kill_storm.differences(tmp_path / "calm", storm.root / "store") == []
    # a kill costs what was done since the last checkpoint, and no more
    assert steps.stat().st_size <= STEPS * len(distinct) + EVERY * account.interrupted
