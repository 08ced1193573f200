"""What the choices about training speed are worth: real tokens a second, side by side in one run of
about a minute.

    python benchmarks/training_speed.py

Measured before small Llamas were written out (`learning/llama.py`): on two cores of an AMD EPYC
that other work shared, with torch 2.13.0, the ratios of one run were:
batches by length 1.93 times as fast as random ones; micro-batches 1.22 (cut by length, they spare
padding) with a separable loss and 0.93 with the confidence loss, whose forward pass is made twice;
freed memory kept, 1.36. On an Intel without AMX they were 1.82, 1.05, 0.78 and 1.27, and the
gradient of cross-entropy over a vocabulary, made in the memory of its softmax, was worth 1.16.

Each line is one way to train; the first of a group is the one its others are compared with. Rounds
go through all variants in turn, so that a busy machine slows all of them, and medians over the
rounds are shown. What the allocator does with freed memory is a matter of a whole process, so there
are two, and everything else runs in the one that keeps it.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Stage
from w2sweep.experiment.backbone import SmallLlama, Tokenizer
from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy, Loss
from w2sweep.experiment.recipe import Precision, Recipe
from w2sweep.learning.batches import Batch, Labelled, finetuning_batches, pretraining_batches
from w2sweep.learning.hardware import keep_freed_memory
from w2sweep.learning.learner import Course, Evaluation, fit
from w2sweep.learning.loading import fresh
from w2sweep.learning.model import Net
from w2sweep.learning.tokens import Ragged, train_tokenizer
from w2sweep.learning.tuned import parameter_groups
from w2sweep.tasks.heads import Choice

VOCABULARY, CONTEXT = 4096, 128
LAB, HOMEGROWN = (64, 2, 4), (96, 3, 4)
"""Width, depth and heads of ladder=lab's largest rung, and of ladder=homegrown's third."""


def finetuning(
    shape: tuple[int, int, int] = HOMEGROWN,
    pool: int = 8,
    parts: int = 1,
    loss: Loss | None = None,
    steps: int = 12,
) -> float:
    """Batches of 32 texts, each cut into about so many parts, drawn from pools of so many
    batches."""
    rng = np.random.default_rng(0)
    # about as long as short reviews
    lengths = rng.lognormal(2.8, 0.7, 32 * steps).clip(4, CONTEXT).astype(int)
    texts = Ragged.of([rng.integers(3, VOCABULARY, n).tolist() for n in lengths])
    positive = torch.rand(len(lengths))
    data = Labelled(texts, 1, torch.stack([positive, 1 - positive], -1), 0)
    recipe = Recipe(epochs=1, batch_size=32, length_pool=pool)
    budget = 10**9 if parts == 1 else int(lengths.mean() * 32 / parts)
    batches = partial(finetuning_batches, data, recipe, 0, budget)
    return speed(network(shape, Choice(init="zero")), batches, steps, loss or CrossEntropy())


class TorchCrossEntropy(Loss):
    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, progress: float
    ) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(logits, targets)


def pretraining(
    shape: tuple[int, int, int] = HOMEGROWN,
    loss: Loss | None = None,
    steps: int = 5,
) -> float:
    """Windows of a stream of tokens, sixteen a step."""
    stream = np.random.default_rng(0).integers(3, VOCABULARY, 100_000)
    net = network(shape, None)
    batches = partial(pretraining_batches, stream, CONTEXT, 16, 0, steps)
    return speed(net, batches, steps, loss or CrossEntropy())


def network(
    shape: tuple[int, int, int],
    head: Choice | None,
    vocabulary: int = VOCABULARY,
    context: int = CONTEXT,
) -> Net:
    net = fresh(SmallLlama(*shape), _tokenizer(vocabulary), context, seed=0)
    return Net(net.lm, net.tokenizer, head) if head else net


@functools.cache
def _tokenizer(vocabulary: int) -> Path:
    folder = Path(tempfile.mkdtemp())
    document = " ".join(f"w{i}" for i in range(vocabulary))
    train_tokenizer(Tokenizer("word"), [document]).save_pretrained(folder)
    return folder


def speed(
    net: Net,
    batches: Callable[[int], Iterator[list[Batch]]],
    steps: int,
    loss: Loss,
    precision: Precision = "32-true",
) -> float:
    """Real tokens a second, from the first batch to the last step."""
    tokens, started, seconds = 0, 0.0, 0.0

    def counted(start: int) -> Iterator[list[Batch]]:
        nonlocal tokens, started
        started = time.perf_counter()
        for micro in batches(start):
            tokens += sum(int(m.mask.sum()) for m in micro)
            yield micro

    def stop(*_: object) -> Evaluation:
        nonlocal seconds
        seconds = time.perf_counter() - started
        return Evaluation({})

    course = Course(
        steps=steps,
        batches=counted,
        loss=loss,
        groups=parameter_groups(net, 1e-3),
        lr_factor=lambda _: 1.0,
        evaluate=stop,
        evaluations=1,
        precision=precision,
    )
    train(net, course)
    return tokens / seconds


class Measured(Stage[None]):
    """What is measured, to whom it may concern: its result is thrown away."""

    def read(self, path: Path) -> None:
        return None


def train(net: Net, course: Course) -> None:
    """In a job that writes no checkpoints and tells nobody."""
    runtime = Runtime(accelerator="cpu", checkpoint_seconds=1e9)
    folder = Path(tempfile.mkdtemp())
    with StoreJob(Measured(), folder, Circumstances(runtime), get=lambda _: None) as job:
        fit(net, course, job)
    shutil.rmtree(folder)


def settle(keep: bool) -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if keep:
        keep_freed_memory()


CONFIDENCE = ConfidenceLoss()
VARIANTS: dict[str, list[tuple[str, bool, Callable[[], float]]]] = {
    "batches": [
        ("drawn at random", True, partial(finetuning, pool=1)),
        ("by length (length_pool=8)", True, partial(finetuning, pool=8)),
    ],
    "cross-entropy, separable": [
        ("whole batches", True, finetuning),
        ("micro-batches, about 4", True, partial(finetuning, parts=4)),
    ],
    "confidence loss, not separable": [
        ("whole batches", True, partial(finetuning, loss=CONFIDENCE)),
        ("micro-batches, about 4", True, partial(finetuning, loss=CONFIDENCE, parts=4)),
    ],
    "freed memory, pretraining": [
        ("given back to the kernel", False, pretraining),
        ("kept", True, pretraining),
    ],
    "cross-entropy, pretraining in the lab": [
        ("torch's", True, partial(pretraining, LAB, loss=TorchCrossEntropy())),
        ("in the softmax's memory", True, partial(pretraining, LAB)),
    ],
}
"""Group -> what is compared in it: its name, whether its process keeps freed memory, how it is
measured."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4)
    rounds = parser.parse_args().rounds
    spawn = get_context("spawn")
    workers = {keep: ProcessPoolExecutor(1, spawn, settle, (keep,)) for keep in (True, False)}
    seen: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds + 1):
        for group, variants in VARIANTS.items():
            for name, keep, measure in variants:
                seen.setdefault((group, name), []).append(workers[keep].submit(measure).result())
    print(f"{'':38}{'':28}{'tokens/s':>10}{'ratio':>8}")
    for group, variants in VARIANTS.items():
        # the first round warms up
        medians = [statistics.median(seen[group, name][1:]) for name, *_ in variants]
        for (name, *_), rate in zip(variants, medians, strict=True):
            print(f"{group:38}{name:28}{rate:>10,.0f}{rate / medians[0]:>8.2f}")
            group = ""


if __name__ == "__main__":
    main()
