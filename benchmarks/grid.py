"""A grid of three rungs against the schedule of the paper's released code, on the same documents:
every pair of a weaker and a stronger rung, by one method or by several, in about two minutes.

    python benchmarks/grid.py

The released code trains, for each loss, each rung on the truth, and then each rung on the labels of
each that is not stronger: nine trainings of three rungs, one after the other. Each pads batches
that are drawn at random. A sweep trains seven models for the first method, and shares supervisors
and ceilings between methods. Both run in this process, on one thread: what workers and processes
cost beside is another question (`benchmarks/launchers.py`). Times are CPU seconds.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stage_rate import BATCH, CONTEXT, Documents, Size, by_loop, made, settle

from w2sweep.engine.job import Circumstances
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.ladder import HubRung, Ladder
from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy
from w2sweep.experiment.methods import Bootstrap, Method, Naive
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splitting import Sizes
from w2sweep.experiment.supervision import Weak
from w2sweep.experiment.tuning import Full
from w2sweep.tasks.heads import Choice

SHAPES = {"0.2M": (64, 4), "1M": (128, 5), "3.5M": (192, 8)}
METHODS: tuple[Method, ...] = (
    Naive("naive", CrossEntropy()),
    Naive("confidence", ConfidenceLoss()),
    Bootstrap("bootstrap", CrossEntropy(), intermediate="all"),
)


def setting(documents: int, folder: Path) -> Setting:
    """Rungs with random weights, and as many documents for each half and for the test."""
    rungs = {}
    for name, (width, depth) in SHAPES.items():
        size = Size(width, depth, documents)
        model = str(made(size, folder / name))
        rungs[name] = HubRung(model=model, lr=1e-4, params=size.parameters, pretrain_tokens=10**9)
    n = documents
    return Setting(
        task=Documents(4 * n, Choice(init="zero")),
        ladder=Ladder(name="grid", rungs=rungs),
        weak="0.2M",
        strong="1M",
        sizes=Sizes(supervisor=n, student=n, validation=BATCH, test=n),
        tuning=Full(),
        recipe=Recipe(epochs=2, batch_size=BATCH, evaluations=1, max_tokens=CONTEXT),
        seed=0,
        supervision=Weak(),
    )


def cells(whole: Setting, methods: Sequence[Method]) -> list[Cell]:
    """Of every pair of rungs."""
    names = list(SHAPES)
    pairs = [(weak, strong) for i, weak in enumerate(names) for strong in names[i + 1 :]]
    settings = [replace(whole, weak=weak, strong=strong) for weak, strong in pairs]
    return [Cell(setting, method) for method in methods for setting in settings]


def by_sweep(whole: Setting, methods: Sequence[Method], folder: Path) -> float:
    """CPU seconds of all stages of these methods, in a new store."""
    started = time.process_time()
    runtime = Runtime(accelerator="cpu", checkpoint_seconds=1e9)
    store = Store(folder / "store", Circumstances(runtime))
    store.ensure(*(stage for cell in cells(whole, methods) for stage in cell.stages))
    seconds = time.process_time() - started
    shutil.rmtree(folder / "store")
    return seconds


def by_released_schedule(whole: Setting, losses: int, folder: Path) -> float:
    """CPU seconds of the trainings that the released code would run, for so many losses."""
    store = Store(folder / "texts", Circumstances(Runtime(accelerator="cpu")))
    store.ensure(whole.splits)
    texts = store.get(whole.splits)
    labelled = {"student": texts["student"], "test": texts["test"]}
    halves = {**labelled, "supervisor": texts["supervisor"]}
    seconds, names = 0.0, list(SHAPES)
    for _ in range(losses):
        for name in names:  # on the truth; they answer the other half too
            seconds += by_loop(folder / name, halves, ("test", "supervisor"), evaluations=1)
        for first, _ in enumerate(names):
            for name in names[first:]:
                seconds += by_loop(folder / name, labelled, ("test",), evaluations=1)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=64, help="of each half, and to be tested")
    documents = parser.parse_args().documents
    settle()
    folder = Path(tempfile.mkdtemp())
    whole = setting(documents, folder)
    store = Store(folder / "warm", Circumstances(Runtime(accelerator="cpu")))
    store.ensure(whole.weak_model)  # all is imported then
    print(f"{'methods':12}{'released, s':>12}{'sweep, s':>10}{'ratio':>8}")
    for methods in (METHODS[:1], METHODS):
        sweep = by_sweep(whole, methods, folder)
        released = by_released_schedule(whole, len(methods), folder)
        print(
            f"{len(methods):<12}{released:>12.1f}{sweep:>10.1f}{released / sweep:>8.1f}", flush=True
        )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
