"""Courses: micro-batches, early stopping, what ends a training, schedules."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from toys import Toy, ToyCompletions, ToyPairs, job, pretrained_store, setting
from transformers import LlamaModel

from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Job
from w2sweep.engine.store import Store
from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy, Loss
from w2sweep.experiment.recipe import Recipe
from w2sweep.learning import schedules
from w2sweep.learning.batches import Batch, Completions, Labelled, finetuning_batches
from w2sweep.learning.checkpoint import learned
from w2sweep.learning.learner import Course, Evaluation, Trained, due, fit
from w2sweep.learning.loading import load
from w2sweep.learning.memory import saying_what_to_lower
from w2sweep.learning.model import Net
from w2sweep.learning.subjects import subject_of
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


def gradients(
    net: nn.Module, loss: Loss, micro: list[Batch], folder: Path, room: int = 10_000
) -> list[Tensor]:
    """Of the parameters that learn. `room`: tokens whose graphs may live together."""
    runtime = Runtime(accelerator="cpu", micro_tokens=room)
    with job(folder, runtime=runtime) as made:
        fit(net, course(net, 1, lambda _: iter([micro]), loss=loss, clip=1e9), made)
    return [p.grad.clone() for p in learned(net).values() if p.grad is not None]


def pretrained(shelf: Store, task: Task) -> Net:
    s = setting(task)
    stage = s.pretrained("l")
    assert stage is not None
    return load(stage.backbone, shelf.get(stage), task.head, seed=0)


RECIPE = Recipe(epochs=1, batch_size=12)


def random_texts(task: Task, pad: int) -> Labelled:
    """Twelve examples of random tokens and labels."""
    views = 2 if task == ToyPairs() else 1
    rng = np.random.default_rng(0)
    lengths = rng.integers(2, 12, 12 * views)
    texts = Ragged.of([rng.integers(3, 20, n).tolist() for n in lengths])
    positive = torch.rand(12)
    return Labelled(texts, views, torch.stack([1 - positive, positive], -1), pad)


@pytest.mark.parametrize("loss", [CrossEntropy(), ConfidenceLoss(alpha_max=0.75, warmup=0.0)])
@pytest.mark.parametrize("task", [Toy(), ToyPairs()])
def test_micro_batches_have_the_gradient_of_the_whole_batch(
    shelf: Store, tmp_path: Path, loss: Loss, task: Task
):
    net = pretrained(shelf, task)
    nn.init.normal_(net.get_parameter("own_head.weight"))
    data = random_texts(task, net.pad)
    whole = next(finetuning_batches(data, RECIPE, 0, budget=10_000, start=0))
    micro = next(finetuning_batches(data, RECIPE, 0, budget=24, start=0))
    assert len(whole) == 1
    assert len(micro) > 3
    expected = gradients(net, loss, whole, tmp_path)
    kept, again = (gradients(net, loss, micro, tmp_path, room) for room in (10_000, 24))
    for a, b, c in zip(expected, kept, again, strict=True):
        assert_close(a, b, atol=1e-6, rtol=1e-4)
        assert_close(a, c, atol=1e-6, rtol=1e-4)


class Hardening(ConfidenceLoss):
    """Keeps which examples it takes for positive."""

    seen: ClassVar[list[list[float]]] = []

    def hardened(self, logits: Tensor, targets: Tensor) -> Tensor:
        found = super().hardened(logits, targets)
        assert logits.dtype == torch.float32
        if logits.any():  # not of a model that knows nothing
            self.seen.append(found[:, 1].tolist())
        return found


def test_in_bf16_half_of_a_batch_is_hardened_however_it_is_cut(shelf: Store, tmp_path: Path):
    task = Toy()
    net = pretrained(shelf, task)
    nn.init.normal_(net.get_parameter("own_head.weight"))
    data = random_texts(task, net.pad)
    Hardening.seen.clear()
    for budget in (10_000, 24):
        micro = next(finetuning_batches(data, RECIPE, 0, budget, start=0))
        loss = Hardening(warmup=0.0)
        steps = course(net, 1, lambda _, m=micro: iter([m]), loss=loss, precision="bf16-mixed")
        train(net, tmp_path / str(budget), steps)
    whole, cut = Hardening.seen
    assert sum(whole) == 6
    assert cut == whole


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
            gradients(net, loss, batch, tmp_path, room=budget)
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


def layer_on(batches: Callable, steps: int = 10, **more: Any) -> tuple[nn.Module, Course]:
    """A layer of two classes, and a course of these batches for it."""
    net = nn.Linear(1, 2)
    return Bare(net), course(net, steps, batches, lr=0.1, **more)


ONE = torch.ones(1, 1)
BATCH = Batch(ONE, ONE, ONE, torch.tensor([[0.3, 0.7]]))


@pytest.mark.parametrize("factor", [1e30, 1e6, 1e3])
@pytest.mark.parametrize("labels", [[0.0, 1.0], [0.4, 0.6]])
def test_a_loss_that_stays_far_above_where_it_began_is_divergence(
    tmp_path: Path, factor: float, labels: list[float]
):
    """The weights are finite, and so are the answers: they are all the same."""
    net, steps = nn.Linear(1, 2), 60
    targets = torch.tensor([labels, labels[::-1]])
    ones = torch.ones(2, 1)
    path = course(
        net, steps, lambda _: iter([[Batch(ones, ones, ones, targets)]] * steps), lr=factor
    )
    cause = r"the loss was 0.\d+ at the first step and .* at the last, .*: lower the learning rate"
    nn.init.zeros_(net.bias)
    with pytest.raises(FloatingPointError, match=cause):
        train(Bare(net), tmp_path, path)


def test_a_loss_that_began_high_and_stays_is_no_divergence(tmp_path: Path):
    net = nn.Linear(1, 2)
    net.bias.data = torch.tensor([90.0, 0.0])
    told = train(Bare(net), tmp_path, course(net, 60, lambda _: iter([[BATCH]] * 60), lr=1e-4))
    assert told.curves[-1]["loss"] > 60


@pytest.mark.parametrize("course_of_loss", [[0.7, 9.0, 9.0, 0.6], [0.05, 0.9, 0.9, 0.9]])
def test_a_loss_that_comes_back_or_is_as_of_chance_is_no_divergence(
    tmp_path: Path, course_of_loss: list[float]
):
    """The second began with the head of a model that knew other labels."""

    class Scripted(Loss):
        def __call__(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
            if not logits.any():
                return torch.tensor(0.69)
            return logits.sum() * 0 + course_of_loss[int(progress * len(course_of_loss))]

    net, path = layer_on(lambda _: iter([[BATCH]] * 40), steps=40, loss=Scripted())
    assert len(train(net, tmp_path, path).curves) == 40


# --- too little memory ---------------------------------------------------------------------------


class Narrow(nn.Module):
    """Another module in a machine with memory for so many tokens in one forward pass."""

    def __init__(self, net: nn.Module, most: int, error: Exception):
        super().__init__()
        self.net, self.most, self.error = net, most, error
        self.passes: list[int] = []

    def forward(self, batch: Batch) -> Tensor:
        self.passes.append(batch.mask.numel())
        if batch.mask.numel() > self.most:
            raise self.error
        return self.net(batch)


CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
CPU = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")


@pytest.mark.parametrize(
    ("task", "loss", "error"),
    [
        (Toy(), CrossEntropy(), CUDA),
        (ToyPairs(), CrossEntropy(), CPU),
        (ToyPairs(), ConfidenceLoss(warmup=0.0), CUDA),
    ],
)
def test_where_memory_runs_out_less_is_computed_at_once_with_the_same_gradient(
    shelf: Store, tmp_path: Path, task: Task, loss: Loss, error: Exception
):
    net = pretrained(shelf, task)
    nn.init.normal_(net.get_parameter("own_head.weight"))
    micro = next(finetuning_batches(random_texts(task, net.pad), RECIPE, 0, 10_000, 0))
    expected = gradients(net, loss, micro, tmp_path)
    narrow = Narrow(net, most=60, error=error)
    with job(tmp_path) as made:
        steps = course(net, 2, lambda _: iter([micro] * 2), loss=loss, clip=1e9)
        fit(narrow, steps, made)
    found = [p.grad for p in learned(net).values() if p.grad is not None]
    for a, b in zip(expected, found, strict=True):
        assert_close(a, b, atol=1e-6, rtol=1e-4)
    assert made.facts["micro_tokens"] <= 60
    second = narrow.passes[len(narrow.passes) // 2 :]
    assert max(second) <= 60  # it is learned once what fits


def test_completions_are_cut_to_less_at_once_too():
    data = Completions.of([[1, 2, 3], [1], [1, 2]], [[4, 5], [6], [7, 8]], end=9, pad=0)
    batch = data.batch(np.array([0, 1, 2]))
    parts = batch.within(10)
    assert [part.ids.tolist() for part in parts] == [
        [[1, 2, 3, 4, 5, 9]],
        [[1, 6, 9, 0, 0], [1, 2, 7, 8, 9]],
    ]
    assert torch.cat([part.targets for part in parts]).equal(batch.targets)
    assert [int(part.asked.sum()) for part in parts] == [3, 5]
    assert [len(part.ids) for part in batch.within(1)] == [1, 1, 1]


def train_saying_what_to_lower(net: nn.Module, path: Course, folder: Path) -> None:
    @saying_what_to_lower
    def work(stage: None, job: Job) -> None:
        fit(net, path, job)

    with job(folder) as made:
        work(None, made)


def test_what_fits_nowhere_is_said_with_what_to_lower(tmp_path: Path):
    net, path = layer_on(lambda _: iter([[BATCH]] * 2), steps=2)
    cause = "CUDA out of memory.*lower runtime.micro_tokens, which is 16384, set runtime.gradient"
    with pytest.raises(MemoryError, match=cause):
        train_saying_what_to_lower(Narrow(net, 0, CUDA), path, tmp_path)


def test_other_errors_are_raised_as_they_are(tmp_path: Path):
    net, path = layer_on(lambda _: iter([[BATCH]] * 2), steps=2)
    wrong = ValueError("of another kind")
    with pytest.raises(ValueError, match="of another kind"):
        train_saying_what_to_lower(Narrow(net, 0, wrong), path, tmp_path)


@pytest.mark.parametrize("task", [Toy(), ToyCompletions()])
def test_answers_need_no_more_memory_than_there_is(
    shelf: Store, tmp_path: Path, task: Task, monkeypatch: pytest.MonkeyPatch
):
    s = setting(task)
    shelf.ensure(s.splits)
    results = {stage: shelf.get(stage) for stage in s.ceiling.inputs}
    with job(tmp_path, s.ceiling, results) as made:
        of = subject_of(s.ceiling, shelf.get(s.splits), made)
    expected = of.answers("test", torch.device("cpu"), 400)
    original = LlamaModel.forward

    def narrow(self: LlamaModel, input_ids: Any, **more: Any) -> Any:
        if input_ids.numel() > 100:
            raise CUDA
        return original(self, input_ids=input_ids, **more)

    monkeypatch.setattr(LlamaModel, "forward", narrow)
    found = of.answers("test", torch.device("cpu"), 400)
    if isinstance(expected, list):
        assert found == expected
    else:
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-6)


# --- signals -------------------------------------------------------------------------------------


@pytest.fixture
def ours() -> Iterator[Callable]:
    """Handlers of our own, and how they were set: SIGTERM ends a command as Ctrl-C does."""
    handlers = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.default_int_handler,
        signal.SIGUSR1: lambda *_: None,
        signal.SIGUSR2: lambda *_: None,
        signal.SIGCONT: lambda *_: None,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield lambda: {number: signal.getsignal(number) for number in signal.valid_signals()}
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_told_to_end_does_not_look_finished(
    tmp_path: Path, number: signal.Signals, ours: Callable
):
    """Lightning would make of Ctrl-C an exit with code 1, in silence, and of SIGTERM one with
    code 0. And after the first Ctrl-C it would ignore all others."""
    before = ours()

    def batches(start: int) -> Iterator[list[Batch]]:
        yield [BATCH]
        os.kill(os.getpid(), number)
        yield from batches(start)

    net, path = layer_on(batches)
    with pytest.raises(KeyboardInterrupt):
        train(net, tmp_path, path)
    assert ours() == before


@pytest.mark.parametrize("slurm", [False, True])
def test_signals_are_left_to_who_started_the_process(
    tmp_path: Path, ours: Callable, monkeypatch: pytest.MonkeyPatch, slurm: bool
):
    if slurm:
        for name in ("JOB_ID", "NTASKS", "NODEID", "LOCALID", "PROCID"):
            monkeypatch.setenv(f"SLURM_{name}", "1")
        monkeypatch.setenv("SLURM_JOB_NAME", "sweep")
    before, seen = ours(), []

    def batches(start: int) -> Iterator[list[Batch]]:
        seen.append(ours())
        yield from [[BATCH]] * 10

    net, path = layer_on(batches)
    train(net, tmp_path, path)
    assert seen == [before]
    assert ours() == before


def test_a_launcher_that_exits_in_its_handler_is_not_taken_for_ctrl_c(
    tmp_path: Path, ours: Callable
):
    def batches(start: int) -> Iterator[list[Batch]]:
        yield [BATCH]
        signal.signal(signal.SIGUSR2, lambda *_: sys.exit(-1))
        os.kill(os.getpid(), signal.SIGUSR2)
        yield from batches(start)

    net, path = layer_on(batches)
    with pytest.raises(SystemExit):
        train(net, tmp_path, path)


def test_a_row_has_the_coefficients_of_its_progress(tmp_path: Path):
    loss = ConfidenceLoss(alpha_max=0.8, warmup=0.5)
    batch = Batch(torch.ones(2, 1), torch.ones(2, 1), torch.ones(2, 1), torch.full((2, 2), 0.5))
    net, path = layer_on(lambda _: iter([[batch]] * 10), loss=loss)
    for row in train(net, tmp_path, path).curves:
        assert row["alpha"] == loss.alpha(row["progress"])


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
