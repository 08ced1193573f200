"""What it is worth to train small models side by side: the time of M models one after the other,
over that of the same models stacked.

    python benchmarks/stacked.py

On one of two cores of an AMD EPYC with AVX-512 and bf16, which other programs used too, seconds of
the processor, with the milliseconds of a step of a model alone:

                          alone   M = 4   M = 8  M = 16
    finetuning  nano        3.0    1.89    1.91    2.65
    finetuning  micro       2.8    1.79    2.01    1.91
    finetuning  mini        5.0    1.43    1.74    1.68
    finetuning  small       6.7    1.30    1.37    1.24
    finetuning  medium      7.3    1.09    1.13    1.07
    finetuning  base       16.8    1.00    0.88    0.93
    pretraining nano        6.2    1.37    1.47    1.57
    pretraining micro       7.4    1.38    1.51    1.54
    pretraining mini        9.1    1.36    1.34    1.45
    pretraining small      12.5    1.17    1.28    1.28
    pretraining medium     15.6    1.11    1.22    1.20
    pretraining base       32.8    1.09    1.13    1.04
    in_bf16     nano        6.4    1.50    1.89    1.93
    in_bf16     micro       7.4    1.40    1.59    1.86
    in_bf16     mini       10.2    1.58    1.75    1.57
    in_bf16     small      13.2    1.33    1.68    1.63
    in_bf16     medium     13.1    1.30    1.38    1.44
    in_bf16     base       23.0    1.17    1.19    1.15

A step of a stack in finetuning took 1.4 to 1.7 times as long before stacked layers were written out
as those of models alone are (in turn, M = 8 and 16), in pretraining 1.0 to 1.1 times; stacks of
small and medium were slower than models alone, .75 to .9. So rungs up to medium are finetuned side
by side, and all are pretrained.

Finetuning: batches of 16 texts of 24 tokens on average, two classes; pretraining: 8 windows of 48
tokens, a vocabulary of 2,767 words as `sentiment` has. Steps alone count, which is where the
difference is: no evaluations. Each ratio is the median over rounds, in each of which the models are
trained both ways, in turn, by one thread; above 1, together is faster.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from training_speed import Measured, network, settle

from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Job
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.recipe import Precision, Recipe
from w2sweep.learning.batches import Labelled, finetuning_batches, pretraining_batches
from w2sweep.learning.learner import Course, Evaluation
from w2sweep.learning.model import Net
from w2sweep.learning.stacking import run_side_by_side
from w2sweep.learning.tokens import Ragged
from w2sweep.learning.tuned import parameter_groups
from w2sweep.tasks.heads import Choice

VOCABULARY, CONTEXT = 2767, 48
RUNGS = {
    "nano": (12, 1, 2),
    "micro": (20, 1, 2),
    "tiny": (24, 2, 2),
    "mini": (32, 2, 2),
    "small": (48, 2, 4),
    "medium": (64, 2, 4),
    "base": (128, 2, 8),
}
"""Width, depth and heads of the lab's ladder."""
STEPS = 24
MODELS = (4, 8, 16)


@dataclass(frozen=True)
class Ready:
    """A model before its first step."""

    job: Job
    net: Net
    course: Course


def finetuning(shape: tuple[int, int, int], seed: int, job: Job) -> Ready:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(12, 37, 16 * STEPS)
    texts = Ragged.of([rng.integers(3, VOCABULARY, n).tolist() for n in lengths])
    positive = torch.rand(len(lengths))
    data = Labelled(texts, 1, torch.stack([positive, 1 - positive], -1), 0)
    batches = partial(finetuning_batches, data, Recipe(epochs=1, batch_size=16), seed, 16384)
    return _ready(job, network(shape, Choice(init="zero"), VOCABULARY, CONTEXT), batches)


def pretraining(
    shape: tuple[int, int, int], seed: int, job: Job, precision: Precision = "32-true"
) -> Ready:
    stream = np.random.default_rng(seed).integers(3, VOCABULARY, 100_000)
    batches = partial(pretraining_batches, stream, CONTEXT, 8, seed, STEPS)
    return _ready(job, network(shape, None, VOCABULARY, CONTEXT), batches, precision)


def in_bf16(shape: tuple[int, int, int], seed: int, job: Job) -> Ready:
    """Pretraining."""
    return pretraining(shape, seed, job, "bf16-mixed")


def _ready(job: Job, net: Net, batches: Callable, precision: Precision = "32-true") -> Ready:
    course = Course(
        steps=STEPS,
        batches=batches,
        loss=CrossEntropy(),
        groups=parameter_groups(net, 1e-3),
        lr_factor=lambda _: 1.0,
        evaluate=lambda *_: Evaluation({}),
        evaluations=1,
        precision=precision,
        largest=16 * CONTEXT,
    )
    return Ready(job, net, course)


def seconds(kind: Callable[..., Ready], shape: tuple[int, int, int], models: int) -> float:
    """Of the processor, for so many models side by side; their making is not counted."""
    with TemporaryDirectory() as folder, ExitStack() as jobs:
        ready = []
        for seed in range(models):
            out = Path(folder, str(seed))
            out.mkdir()
            runtime = Circumstances(Runtime(accelerator="cpu", checkpoint_seconds=1e9))
            job = jobs.enter_context(StoreJob(Measured(), out, runtime, get=lambda _: None))
            ready.append(kind(shape, seed, job))
        runs = [(each, each.job) for each in ready]
        began = time.process_time()
        errors = list(run_side_by_side(runs, lambda each, _: each, lambda *_: None))
        took = time.process_time() - began
    assert errors == [None] * models
    return took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rungs", default="nano,micro,mini,small,medium,base")
    asked = parser.parse_args()
    settle(keep=True)
    print(f"{'':22}{'alone, ms a step':>17}", *(f"{f'M = {n}':>8}" for n in MODELS))
    for kind in (finetuning, pretraining, in_bf16):
        for rung in asked.rungs.split(","):
            seconds(kind, RUNGS[rung], 2)  # warms up
            alone: list[float] = []
            ratios: dict[int, list[float]] = {models: [] for models in MODELS}
            for _ in range(asked.rounds):
                for models, found in ratios.items():
                    one = seconds(kind, RUNGS[rung], 1)
                    found.append(one * models / seconds(kind, RUNGS[rung], models))
                    alone.append(one)
            told = (f"{statistics.median(found):>8.2f}" for found in ratios.values())
            each = 1000 * statistics.median(alone) / STEPS
            print(f"{kind.__name__:12}{rung:10}{each:>17.1f}", *told, flush=True)


if __name__ == "__main__":
    main()
