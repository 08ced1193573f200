"""Stores that grow: what a sweep does in a store that holds much else, against the same sweep in a
store that holds little.

    python benchmarks/large_store.py                    # 100,000 other results
    python benchmarks/large_store.py --results 10000

Each row is something that a sweep of 200 stages does again and again: milliseconds in a store with
100 other results, in the large one, and how many times as long that is. The medians of several
tries in turns, on results that consist of nothing but a record.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from w2sweep.engine.leases import Lease
from w2sweep.engine.stage import Job, Stage
from w2sweep.engine.store import Store
from w2sweep.engine.watch import Watch

FEW, MANY = 100, 100_000
STAGES, TRIES = 200, 9
KIND = "Finetune"


@dataclass(frozen=True)
class Thing(Stage[int]):
    """A stage that takes no time."""

    n: int

    @property
    def name(self) -> str:
        return f"{KIND}/{self.key}"

    def run(self, job: Job) -> None:
        (job.out / "n").write_text(str(self.n))

    def read(self, path: Path) -> int:
        return int((path / "n").read_text())


class Load:
    """A sweep of which half is done, in a store with so many other results."""

    def __init__(self, root: Path, others: int):
        _fill(root / KIND, others)
        self.store, self.stages = Store(root), [Thing(n) for n in range(STAGES)]
        self.store.ensure(*self.stages[: STAGES // 2])
        self.watch = Watch(self.stages, self.store, stream=io.StringIO())
        self.next = STAGES // 2

    def look(self) -> None:
        self.watch.look()

    def commit(self) -> None:
        self.store.ensure(self.stages[self.next])
        self.next += 1

    def stand(self) -> None:
        self.store.standing(self.stages)

    def sweep_up(self) -> None:
        self.store.sweep_up(self.stages)


TASKS: dict[str, Callable[[Load], None]] = {
    "a look of the progress display": Load.look,
    "claim, run and commit of a stage": Load.commit,
    "how far the sweep is": Load.stand,
    "sweeping up behind the dead": Load.sweep_up,
}


def _fill(folder: Path, results: int) -> None:
    """Results of other sweeps, and what is left of their leases."""
    for n in range(results):
        key = f"{n * 0x9E3779B97F4A7C15 % 2**64:016x}"
        (folder / key).mkdir(parents=True)
        (folder / key / "stage.json").write_text(json.dumps({"seconds": 1.0, "what": key}))
        lease = Lease(folder, key, 1, 600.0).file
        lease.parent.mkdir(parents=True, exist_ok=True)
        lease.write_text("{}")
        os.utime(lease, (0, 0))


def _milliseconds(does: Callable[[Load], None], load: Load) -> float:
    began = time.perf_counter()
    does(load)
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=int, default=MANY, help="in the large store")
    many = parser.parse_args().results
    with tempfile.TemporaryDirectory() as folder:
        loads = [Load(Path(folder, str(others)), others) for others in (FEW, many)]
        print(f"{'':34}{FEW:>10,}{many:>10,}   times")
        for name, does in TASKS.items():
            took = [_milliseconds(does, load) for _ in range(TRIES) for load in loads]
            few, much = median(took[::2]), median(took[1::2])
            print(f"{name:34}{few:10.2f}{much:10.2f}{much / few:8.1f}", flush=True)


if __name__ == "__main__":
    main()
