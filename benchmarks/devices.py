"""How much faster a stage trains that is spread over devices: real tokens a second by one process
and by several, in turn, in one run of about a minute.

    python benchmarks/devices.py
    python benchmarks/devices.py --devices 4 --threads 2

Each process has as many threads as asked for, one by default. Leave each a core of its own: on a
busy machine they wait for one another at every step. On two cores with nothing else to do, two
processes had 1.43 (cross-entropy), 1.27 (confidence loss) and 1.84 times (pretraining) the rate of
one; where twenty other processes shared the cores, 0.8 to 1.2.

The processes are started once, which takes what the first line says; then rounds go through all
variants, first by the first process while the others wait, then by all. Medians over the rounds are
shown.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar
from unittest import mock

from training_speed import CONFIDENCE, finetuning, pretraining

from w2sweep.engine import ranks
from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Job, Stage
from w2sweep.learning import spread
from w2sweep.learning.hardware import prepared

LARGE = (192, 4, 4)
"""Width, depth and heads of a model whose steps take longer than their gradients to add up."""
VARIANTS: dict[str, Callable[[], float]] = {
    "cross-entropy, width 96": finetuning,
    "confidence loss, width 96": partial(finetuning, loss=CONFIDENCE),
    "pretraining, width 192": partial(pretraining, LARGE),
}


@dataclass(frozen=True)
class Rounds(Stage[None]):
    """All variants, several times, by one process and by all."""

    spreads: ClassVar = True

    rounds: int

    def run(self, job: Job) -> None:
        prepared(job)
        job.note(begun=time.time())
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
        for _ in range(self.rounds + 1):
            for name, measure in VARIANTS.items():
                rates[name].append((_alone(job, measure), measure()))
        job.note(rates={name: its[1:] for name, its in rates.items()})  # the first warms up

    def read(self, path: Path) -> None:
        return None


def _alone(job: Job, measure: Callable[[], float]) -> float:
    """By the first process, while the others wait."""
    rate = 0.0
    if job.rank.leads:
        with mock.patch.object(spread, "ranks", return_value=1):
            rate = measure()
    spread.agreed(True)
    return rate


def _nothing(_: Stage) -> None:
    """It reads no other stage."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=4)
    asked = parser.parse_args()
    runtime = Runtime(accelerator="cpu", devices=asked.devices, threads=asked.threads)
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        of = Rounds(asked.rounds)
        with StoreJob(of, Path(folder), Circumstances(runtime), get=_nothing) as job:
            ranks.run(job)
    print(f"{asked.devices} processes were there after {job.facts['begun'] - began:.1f} s")
    print(f"{'tokens/s':30}{'one':>10}{'all':>10}{'ratio':>8}")
    for name, its in job.facts["rates"].items():
        one, together = (statistics.median(rates) for rates in zip(*its, strict=True))
        print(f"{name:30}{one:>10,.0f}{together:>10,.0f}{together / one:>8.2f}")


if __name__ == "__main__":
    main()
