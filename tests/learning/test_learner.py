"""Courses: micro-batches, early stopping, what ends a training, schedules."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from toys import Toy, ToyPairs, job, pretrained_store, setting

from w2sweep.engine.store import Store
from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy, Loss
from w2sweep.experiment.recipe import Recipe
from w2sweep.learning import schedules
from w2sweep.learning.batches import Batch, Labelled, finetuning_batches
from w2sweep.learning.checkpoint import learned
from w2sweep.learning.learner import Course, Evaluation, Trained, due, fit
from w2sweep.learning.model import Net, load
from w2sweep.learning.tokens import Ragged
from w2sweep.learning.tuned import parameter_groups
from w2sweep.tasks.task import Task


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


def nothing(*_: object) -> Evaluation:
    return Evaluation({})


def course(net: nn.Module, steps: int, batches: Callable, lr: float = 0.0, **more: Any) -> Course:
    plain = Course(
        steps=steps,
        batches=batches,
        loss=CrossEntropy(),
        groups=parameter_groups(net, lr),
        lr_factor=lambda _: 1.0,
        evaluate=nothing,
        evaluations=1,
    )
    return replace(plain, **more)


def train(net: nn.Module, folder: Path, path: Course) -> Trained:
    with job(folder) as made:
        return fit(net, path, made)


class Bare(nn.Module):
    """A layer that reads what stands in place of token ids."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, batch: Batch) -> Tensor:
        return self.net(batch.ids)


def test_evaluations_are_evenly_spaced_and_the_last_is_at_the_end():
    assert [s for s in range(1, 101) if due(s, 100, 4)] == [25, 50, 75, 100]
    assert [s for s in range(1, 4) if due(s, 3, 50)] == [1, 2, 3]


def test_an_srun_on_the_path_is_not_spoken_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    net = Bare(nn.Linear(2, 2))
    one = torch.ones(3, 2)
    batch = Batch(one, one, one, torch.tensor([[1.0, 0.0]] * 3))
    train(net, tmp_path / "job", course(net, 1, lambda _: iter([[batch]])))  # warnings are errors


def gradients(net: nn.Module, loss: Loss, micro: list[Batch], folder: Path) -> list[Tensor]:
    train(net, folder, course(net, 1, lambda _: iter([micro]), loss=loss, clip=1e9))
    return [p.grad.clone() for p in learned(net).values() if p.grad is not None]


def pretrained(shelf: Store, task: Task) -> Net:
    s = setting(task)
    stage = s.pretrained("l")
    assert stage is not None
    return load(stage.backbone, shelf.get(stage), task.head, seed=0)


@pytest.mark.parametrize("loss", [CrossEntropy(), ConfidenceLoss(alpha_max=0.75, warmup=0.0)])
@pytest.mark.parametrize("task", [Toy(), ToyPairs()])
def test_micro_batches_have_the_gradient_of_the_whole_batch(
    shelf: Store, tmp_path: Path, loss: Loss, task: Task
):
    net = pretrained(shelf, task)
    nn.init.normal_(net.get_parameter("own_head.weight"))
    views = 2 if task == ToyPairs() else 1
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 12, 12 * views)
    texts = Ragged.of([rng.integers(3, 20, n).tolist() for n in lengths])
    positive = torch.rand(12)
    data = Labelled(texts, views, torch.stack([1 - positive, positive], -1), net.pad)
    recipe = Recipe(epochs=1, batch_size=12)
    whole = next(finetuning_batches(data, recipe, 0, budget=10_000, start=0))
    micro = next(finetuning_batches(data, recipe, 0, budget=24, start=0))
    assert len(whole) == 1
    assert len(micro) > 3
    expected, found = (gradients(net, loss, batch, tmp_path) for batch in (whole, micro))
    for a, b in zip(expected, found, strict=True):
        assert_close(a, b, atol=1e-6, rtol=1e-4)


class Held:
    """Counts the bytes that autograd holds on to, and their peak."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def pack(self, x: Tensor) -> tuple[Tensor, Handle]:
        return x, Handle(self, x.numel() * x.element_size())


class Handle:
    def __init__(self, held: Held, size: int):
        self.held, self.size = held, size
        held.now += size
        held.peak = max(held.peak, held.now)

    def __del__(self) -> None:
        self.held.now -= self.size


@pytest.mark.parametrize("loss", [CrossEntropy(), ConfidenceLoss(warmup=0.0)])
def test_micro_batches_save_memory(shelf: Store, tmp_path: Path, loss: Loss):
    """The graphs of two micro-batches never live together: eight of them hold about an eighth of
    the activations."""
    net = pretrained(shelf, Toy())
    data = Labelled(Ragged.of([[5] * 16] * 32), 1, torch.full((32, 2), 0.5), net.pad)
    recipe = Recipe(epochs=1, batch_size=32)
    peaks = []
    for budget in (32 * 16, 4 * 16):
        held, batch = Held(), next(finetuning_batches(data, recipe, 0, budget, 0))
        with torch.autograd.graph.saved_tensors_hooks(held.pack, lambda pair: pair[0]):
            gradients(net, loss, batch, tmp_path)
        peaks.append(held.peak)
    assert peaks[1] < peaks[0] / 4


class Rise(Loss):
    def __call__(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        return -logits.mean()


@pytest.mark.parametrize(("keep_best", "kept"), [("score", 2), (None, 4)])
def test_early_stopping_keeps_the_best_evaluation(tmp_path: Path, keep_best: str | None, kept: int):
    """The scores are scripted, the parameter is a counter: after step 2 it was best, the first of
    two equals. Every evaluation's answers are there, and those of the one that is kept."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    scores = iter([0.1, 0.9, 0.3, 0.9])
    at: list[float] = []

    def evaluate(*_: object) -> Evaluation:
        at.append(net.weight.item())
        return Evaluation({"score": next(scores)}, {"test": [f"after {len(at)}"]})

    one = torch.ones(1, 1)
    batches = [[Batch(one, one, one, one)]] * 4
    groups = [{"params": [net.weight], "base_lr": 0.1}]
    path = course(net, 4, lambda _: iter(batches), loss=Rise(), groups=groups, evaluations=4)
    told = train(Bare(net), tmp_path, replace(path, evaluate=evaluate, keep_best=keep_best))
    assert at == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1e-4)
    assert net.weight.item() == at[kept - 1]
    assert told.answers == {n: {"test": [f"after {n}"]} for n in (1, 2, 3, 4)}
    assert told.kept == told.answers[kept]


def test_a_training_that_diverges_fails_rather_than_answer_by_chance(tmp_path: Path):
    net, one = nn.Linear(1, 2), torch.ones(1, 1)
    batch = Batch(one * 1e38, one, one, torch.ones(1, 2))  # a loss of inf, then weights of nan
    path = course(net, 9, lambda _: iter([[batch]] * 9), lr=1e38)
    cause = r"the loss is (inf|nan) by step \d of 9: lower the learning rate"
    with pytest.raises(FloatingPointError, match=cause):
        train(Bare(net), tmp_path, path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_told_to_end_does_not_look_finished(tmp_path: Path, number: signal.Signals):
    """Lightning would make of Ctrl-C an exit with code 1, in silence, and of SIGTERM one with
    code 0."""
    net, one = nn.Linear(1, 2), torch.ones(1, 1)

    def batches(start: int) -> Iterator[list[Batch]]:
        yield [Batch(one, one, one, torch.ones(1, 2))]
        os.kill(os.getpid(), number)
        yield from batches(start)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(Bare(net), tmp_path, course(net, 10, batches, lr=0.1))
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_leaves_the_arithmetic_of_the_process_alone(tmp_path: Path):
    net, one = nn.Linear(1, 2), torch.ones(1, 1)
    batch = Batch(one, one, one, torch.ones(1, 2))
    seen = []

    def evaluate(*_: object) -> Evaluation:
        seen.append(float(torch.tensor(sys.float_info.min, dtype=torch.float64) / 2))
        return Evaluation({})

    train(Bare(net), tmp_path, course(net, 1, lambda _: iter([[batch]]), evaluate=evaluate))
    assert seen == [0.0]  # a denormal number is flushed
    assert sys.float_info.min / 2 > 0


def test_schedules_start_low_and_end_low():
    for schedule in (schedules.linear(0.1), schedules.cosine(0.1)):
        assert schedule(0.05) < schedule(0.1) > schedule(0.5) > schedule(0.99) > 0
    assert schedules.constant(0.1)(0.05) == pytest.approx(0.5)
    assert schedules.constant(0.0)(0.9) == 1.0
    assert schedules.cosine(0.1, floor=0.05)(1.0) == pytest.approx(0.05)
    assert schedules.linear(0.1, floor=0.05)(1.0) == pytest.approx(0.05)
