"""Training: what moves and what does not, micro-batches, resuming, early stopping."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from toys import Toy, ToyCompletions, ToyPairs, cell, rung, setting, store

from w2sweep.engine.runtime import Runtime
from w2sweep.engine.store import Store
from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy, Loss
from w2sweep.experiment.methods import Bootstrap
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Sizes
from w2sweep.experiment.stages import Adapt
from w2sweep.experiment.tuning import Full, LinearProbe, Lora, Tuning
from w2sweep.learning import finetuning, learner
from w2sweep.learning.batches import Batch, Labelled, epoch_order, finetuning_batches
from w2sweep.learning.checkpoint import learned
from w2sweep.learning.learner import Course, Learner, due, fit
from w2sweep.learning.model import Net, load
from w2sweep.learning.tokens import Ragged
from w2sweep.learning.tuned import parameter_groups
from w2sweep.tasks.heads import Choice
from w2sweep.tasks.task import Task

RUNTIME = Runtime(accelerator="cpu")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with the toys' ladder pretrained, shared by the tests of this file."""
    shelf = store(tmp_path_factory.mktemp("store"))
    s = setting()
    shelf.ensure(s.splits, *(pretraining(s, r) for r in s.ladder.rungs))
    return shelf


def pretraining(s: Setting, rung: str) -> Adapt:
    """Of the toys' rungs, which are all homegrown."""
    stage = s.init(s.ladder.rungs[rung])
    assert stage is not None
    return stage


# --- batches ---------------------------------------------------------------------------------------------------------


def test_an_epoch_is_every_example_once_in_batches_of_similar_length():
    lengths = np.random.default_rng(0).integers(3, 60, 330)
    recipe = Recipe(epochs=1, batch_size=10, length_pool=8)
    batches = epoch_order(lengths, recipe, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(330))
    padding = sum(lengths[b].max() * 10 for b in batches) / lengths.sum()
    random = epoch_order(
        lengths, Recipe(epochs=1, batch_size=10, length_pool=1), np.random.default_rng(1)
    )
    assert padding < 1.2 < sum(lengths[b].max() * 10 for b in random) / lengths.sum()


def test_epochs_differ_and_resuming_skips_what_was_seen():
    data = Labelled(Ragged.of([[i] * (1 + i % 5) for i in range(40)]), 1, torch.zeros(40, 2), pad=0)
    recipe = Recipe(epochs=3, batch_size=8)
    whole = [m[0].ids for m in finetuning_batches(data, recipe, seed=0, budget=10_000, start=0)]
    assert len(whole) == 15
    assert not all(torch.equal(a, b) for a, b in zip(whole[:5], whole[5:10], strict=True))
    for start in (1, 5, 7, 14):
        rest = [
            m[0].ids for m in finetuning_batches(data, recipe, seed=0, budget=10_000, start=start)
        ]
        assert all(torch.equal(a, b) for a, b in zip(rest, whole[start:], strict=True))


def test_evaluations_are_evenly_spaced_and_the_last_is_at_the_end():
    assert [s for s in range(1, 101) if due(s, 100, 4)] == [25, 50, 75, 100]
    assert [s for s in range(1, 4) if due(s, 3, 50)] == [1, 2, 3]


# --- micro-batches ---------------------------------------------------------------------------------------------------


def gradients(net: nn.Module, loss: Loss, micro: list[Batch]) -> list[Tensor]:
    course = Course(
        1,
        lambda _: iter([micro]),
        loss,
        parameter_groups(net, 0.0),
        lambda _: 1.0,
        lambda *_: {},
        1,
        clip=1e9,
    )
    fit(net, course, Path("unused"), RUNTIME, lambda _: None)
    return [p.grad.clone() for p in learned(net).values() if p.grad is not None]


@pytest.mark.parametrize("loss", [CrossEntropy(), ConfidenceLoss(alpha_max=0.75, warmup=0.0)])
@pytest.mark.parametrize("views", [1, 2])
def test_micro_batches_have_the_gradient_of_the_whole_batch(shelf: Store, loss: Loss, views: int):
    s = setting(ToyPairs() if views == 2 else Toy())
    net = load(s.ladder.rungs["l"], shelf.get(pretraining(s, "l")), s.task.head, seed=0)
    nn.init.normal_(net.get_parameter("own_head.weight"))
    rng = np.random.default_rng(0)
    texts = Ragged.of(
        [rng.integers(3, 20, rng.integers(2, 12)).tolist() for _ in range(12 * views)]
    )
    data = Labelled(
        texts,
        views,
        torch.rand(12, 1) * torch.tensor([[1.0, -1.0]]) + torch.tensor([[0.0, 1.0]]),
        net.pad,
    )
    recipe = Recipe(epochs=1, batch_size=12)
    whole = next(finetuning_batches(data, recipe, 0, budget=10_000, start=0))
    micro = next(finetuning_batches(data, recipe, 0, budget=24, start=0))
    assert len(whole) == 1
    assert len(micro) > 3
    for a, b in zip(gradients(net, loss, whole), gradients(net, loss, micro), strict=True):
        assert_close(a, b, atol=1e-6, rtol=1e-4)


class Saved:
    """Counts the bytes that autograd holds on to, and their peak."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def pack(self, x: Tensor) -> tuple[Tensor, Handle]:
        return x, Handle(self, x.numel() * x.element_size())


class Handle:
    def __init__(self, saved: Saved, size: int):
        self.saved, self.size = saved, size
        saved.now += size
        saved.peak = max(saved.peak, saved.now)

    def __del__(self) -> None:
        self.saved.now -= self.size


@pytest.mark.parametrize("loss", [CrossEntropy(), ConfidenceLoss(warmup=0.0)])
def test_micro_batches_save_memory(shelf: Store, loss: Loss):
    """The graphs of two micro-batches never live together: eight of them hold about an eighth of the activations."""
    s = setting()
    net = load(s.ladder.rungs["l"], shelf.get(pretraining(s, "l")), s.task.head, seed=0)
    data = Labelled(Ragged.of([[5] * 16] * 32), 1, torch.full((32, 2), 0.5), net.pad)
    peaks = []
    for budget in (32 * 16, 4 * 16):
        saved = Saved()
        with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda pair: pair[0]):
            gradients(
                net,
                loss,
                next(finetuning_batches(data, Recipe(epochs=1, batch_size=32), 0, budget, 0)),
            )
        peaks.append(saved.peak)
    assert peaks[1] < peaks[0] / 4


def test_gradient_checkpointing_recomputes_and_changes_nothing(shelf: Store, tmp_path: Path):
    calls, curves = [], []
    for on in (False, True):
        s = setting()
        shelf_ = Store(
            shelf.root, how=training.How(Runtime(accelerator="cpu", gradient_checkpointing=on))
        )
        subject = training.text_model(s.ceiling, shelf.get(s.splits), shelf_)
        count = [0]
        layer = subject.net.lm.base_model.layers[0].self_attn  # type: ignore[union-attr]
        layer.register_forward_hook(lambda *_, count=count: count.__setitem__(0, count[0] + 1))
        truth = training.ground_truth(shelf.get(s.splits)["student"], s.task.head)
        batches = list(finetuning_batches(subject.data("student", truth), s.recipe, 0, 10_000, 0))[
            :3
        ]
        groups = parameter_groups(subject.net, 1e-3)
        course = Course(
            3, lambda _, b=batches: iter(b), CrossEntropy(), groups, lambda _: 1.0, lambda *_: {}, 1
        )
        curves.append(fit(subject.net, course, tmp_path, RUNTIME, lambda _: None))
        calls.append(count[0])
    assert calls == [3, 6]
    assert curves[0] == curves[1]


# --- what moves ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tuning", [Full(), Lora(rank=2)])
@pytest.mark.parametrize("task", [Toy(), ToyPairs(), ToyCompletions()])
def test_exactly_the_intended_parameters_move(
    shelf: Store, tmp_path: Path, tuning: Tuning, task: Task
):
    s = setting(task, tuning=tuning)
    shelf.ensure(s.splits)
    subject = training.text_model(s.ceiling, shelf.get(s.splits), shelf)
    before = {n: p.detach().clone() for n, p in subject.net.named_parameters()}
    truth = training.ground_truth(shelf.get(s.splits)["student"], task.head)
    course = Course(
        12, partial(finetuning_batches, subject.data("student", truth), s.recipe, 0, 10_000), CrossEntropy(),
        parameter_groups(subject.net, 1e-2), lambda _: 1.0, lambda *_: {}, 1,
    )  # fmt: skip
    fit(subject.net, course, tmp_path, RUNTIME, lambda _: None)
    moved = {n for n, p in subject.net.named_parameters() if not torch.equal(p, before[n])}
    own = {
        "nlp": {"own_head.weight", "own_head.bias"},
        "reward": {"own_head.weight"},
        "chess": set(),
    }[task.family]
    body = {n for n in before if n.startswith("lm.") and (isinstance(tuning, Full) or "lora_" in n)}
    assert moved == body | own


def test_a_probe_leaves_the_backbone_alone_and_learns_from_features(shelf: Store):
    c = cell(tuning=LinearProbe(lr=0.1), recipe=Recipe(epochs=40, batch_size=32))
    shelf.ensure(c.setting.ceiling)
    examples = shelf.get(c.setting.splits)["test"]
    assert c.setting.ceiling.init not in c.setting.ceiling.inputs  # the weights are not even loaded
    assert shelf.get(c.setting.ceiling).correct("test", examples).mean() > 0.8


@pytest.mark.parametrize("task", [Toy(), ToyPairs(), ToyCompletions()])
def test_a_pretrained_model_learns_each_head(shelf: Store, task: Task):
    recipe = Recipe(epochs=10, batch_size=16, head_lr=5.0, lr_scale=3.0, max_tokens=32)
    c = cell(task, recipe=recipe)
    shelf.ensure(c.setting.ceiling)
    examples = shelf.get(c.setting.splits)["test"]
    assert shelf.get(c.setting.ceiling).correct("test", examples).mean() > 0.9


def test_each_step_of_bootstrapping_learns_what_the_last_one_says_of_fresh_examples(shelf: Store):
    s = setting(sizes=Sizes(supervisor=60, student=60, student_sets=2, validation=20, test=40))
    student = Bootstrap("bootstrap", CrossEntropy(), fresh_per_step=True).student(s)
    shelf.ensure(student)
    splits = shelf.get(s.splits)
    assert {e.group for e in splits["student"]}.isdisjoint(e.group for e in splits["student_2"])
    assert student.labels is not None
    assert len(shelf.get(student.labels).answers["student_2"]) == len(splits["student_2"])


# --- nothing is lost -------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """As sudden as a signal: no handler of the stage runs."""


def kill_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    original = Learner.training_step

    def step(self: Learner, micro: list[Batch], index: int) -> None:
        if self.state.step == steps:
            raise Killed
        original(self, micro, index)

    monkeypatch.setattr(Learner, "training_step", step)


@pytest.mark.parametrize("early_stop", [False, True])
def test_a_killed_stage_resumes_with_the_same_predictions(
    shelf: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early_stop: bool
):
    s = setting(
        recipe=Recipe(epochs=3, batch_size=16, evaluations=6, early_stop=early_stop, max_tokens=32)
    )
    eager = Store(shelf.root, how=training.How(Runtime(accelerator="cpu", checkpoint_seconds=1e-9)))
    (undisturbed := tmp_path / "a").mkdir()
    (killed := tmp_path / "b").mkdir()
    training.finetune(s.ceiling, undisturbed, eager)
    with monkeypatch.context() as patch:
        kill_after(patch, steps=10)
        with pytest.raises(Killed):
            training.finetune(s.ceiling, killed, eager)
    assert (killed / "checkpoint.safetensors").exists()
    training.finetune(s.ceiling, killed, eager)
    for name in ("predictions.safetensors", "curves.jsonl"):
        assert (undisturbed / name).read_bytes() == (killed / name).read_bytes()
    assert not (killed / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_killed_pretraining_resumes_too(
    shelf: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision
):
    pretrain = setting().init(replace(rung(8), precision=precision))
    assert pretrain is not None
    shelf.ensure(pretrain)
    eager = Store(shelf.root, how=training.How(Runtime(accelerator="cpu", checkpoint_seconds=1e-9)))
    (killed := tmp_path / "a").mkdir()
    with monkeypatch.context() as patch:
        kill_after(patch, steps=77)
        with pytest.raises(Killed):
            training.pretrain(pretrain, killed, eager)
    training.pretrain(pretrain, killed, eager)
    for name in ("model.safetensors", "curves.jsonl"):
        assert (shelf.get(pretrain) / name).read_bytes() == (killed / name).read_bytes()


class Bare(nn.Module):
    """A layer that reads what stands in place of token ids."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, batch: Batch) -> Tensor:
        return self.net(batch.ids)


def test_what_a_power_cut_left_of_a_checkpoint_costs_no_more_than_its_training(
    shelf: Store, tmp_path: Path, caplog
):
    pretrain = setting().init(rung(8))
    assert pretrain is not None
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\x80\0\0\0\0\0\0\0{")
    training.pretrain(pretrain, tmp_path, shelf)
    assert "is damaged" in caplog.text
    assert (shelf.get(pretrain) / "model.safetensors").read_bytes() == (
        tmp_path / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_told_to_end_does_not_look_finished(tmp_path: Path, number: signal.Signals):
    """Lightning would make of Ctrl-C an exit with code 1, in silence, and of SIGTERM one with code 0."""
    net, one = nn.Linear(1, 2), torch.ones(1, 1)

    def batches(start: int) -> Iterator[list[Batch]]:
        yield [Batch(one, one, one, torch.ones(1, 2))]
        os.kill(os.getpid(), number)
        yield from batches(start)

    course = Course(
        10, batches, CrossEntropy(), parameter_groups(net, 0.1), lambda _: 1.0, lambda *_: {}, 1
    )
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(Bare(net), course, tmp_path, RUNTIME, lambda _: None)
    finally:
        signal.signal(signal.SIGINT, before)


# --- courses ---------------------------------------------------------------------------------------------------------


def test_pretraining_lowers_the_heldout_loss(shelf: Store):
    s = setting()
    losses = []
    for backbone in (s.ladder.rungs["l"].untrained(), s.ladder.rungs["l"]):
        stage = s.init(backbone)
        assert stage is not None
        shelf.ensure(stage)
        losses.append(json.loads((shelf.get(stage) / "pretrain.json").read_text())["heldout_loss"])
    assert losses[1] < losses[0] - 1


@pytest.mark.parametrize(("asked", "steps"), [(10, 10), (100, 20)])
def test_pretraining_warms_up_for_so_many_steps_but_for_a_tenth_of_them_at_most(
    shelf: Store, tmp_path: Path, asked: int, steps: int
):
    pretrain = setting().init(replace(rung(8), pretrain_warmup=asked))  # 208 steps
    assert pretrain is not None
    training.pretrain(pretrain, tmp_path, shelf)
    rows = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    fastest = max(rows, key=lambda row: row["lr"])
    assert fastest["step"] == pytest.approx(
        steps, abs=4
    )  # a row is written every fourth step or so
    assert fastest["lr"] > 0.9 * rung(8).pretrain_lr


@pytest.mark.parametrize("native", [True, False])
def test_mixed_precision_pretrains_in_bf16_where_that_is_fast_and_measures_in_fp32(
    shelf: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: bool
):
    monkeypatch.setattr(learner, "cpu_gains_from_bf16", lambda: native)
    pretrain = setting().init(replace(rung(8, tokens=2_000), precision="bf16-mixed"))
    assert pretrain is not None
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    hidden = Net.hidden

    def watched(net: Net, batch: Batch) -> Tensor:
        query = net.lm.base_model.layers[0].self_attn.q_proj  # type: ignore[union-attr, index]
        seen[net.training].add(query(torch.zeros(1, 8)).dtype)
        return hidden(net, batch)

    monkeypatch.setattr(Net, "hidden", watched)
    training.pretrain(pretrain, tmp_path, shelf)
    assert seen == {True: {torch.bfloat16 if native else torch.float32}, False: {torch.float32}}
    assert {p.dtype for p in load(pretrain.backbone, tmp_path, None, 0).parameters()} == {
        torch.float32
    }


@pytest.mark.parametrize(("seconds", "gains"), [(0.4, True), (0.9, False), (2.0, False)])
def test_bf16_is_for_cpus_whose_matmuls_are_clearly_faster_with_it(
    monkeypatch: pytest.MonkeyPatch, seconds: float, gains: bool
):
    monkeypatch.setattr(
        learner, "_matmul_seconds", lambda dtype: seconds if dtype == torch.bfloat16 else 1.0
    )
    assert learner.cpu_gains_from_bf16.__wrapped__() is gains


def test_early_stopping_keeps_the_best_evaluation(tmp_path: Path):
    """The scores are scripted, the parameter is a counter: after step 2 it was best, so that is what is kept."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    scores = iter([0.1, 0.9, 0.3, 0.9])
    at: list[float] = []

    def evaluate(*_: object) -> dict[str, float]:
        at.append(net.weight.item())
        return {"score": next(scores)}

    class Rise(Loss):
        def __call__(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
            return -logits.mean()

    def batches(start: int) -> Iterator[list[Batch]]:
        one = torch.ones(1, 1)
        return iter([[Batch(one, one, one, one)]] * 4)

    groups = [{"params": [net.weight], "base_lr": 0.1}]
    course = Course(4, batches, Rise(), groups, lambda _: 1.0, evaluate, 4, keep_best="score")
    fit(Bare(net), course, tmp_path, RUNTIME, lambda _: None)
    assert at == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1e-4)
    assert net.weight.item() == at[1]  # the first of two equals


def test_a_training_that_diverges_fails_rather_than_answer_by_chance(tmp_path: Path):
    net, one = nn.Linear(1, 2), torch.ones(1, 1)
    batch = Batch(one * 1e38, one, one, torch.ones(1, 2))  # a loss of inf, then weights of nan
    course = Course(
        9,
        lambda _: iter([[batch]] * 9),
        CrossEntropy(),
        parameter_groups(net, 1e38),
        lambda _: 1.0,
        lambda *_: {},
        1,
    )
    with pytest.raises(
        FloatingPointError, match=r"the loss is (inf|nan) by step \d of 9: lower the learning rate"
    ):
        fit(Bare(net), course, tmp_path, RUNTIME, lambda _: None)


def test_training_leaves_the_arithmetic_of_the_process_alone(shelf: Store):
    shelf.ensure(setting(seed=7).supervisor)
    assert sys.float_info.min / 2 > 0  # a denormal number


def test_schedules_start_low_and_end_low():
    for schedule in (learner.linear_schedule(0.1), learner.cosine_schedule(0.1)):
        assert schedule(0.05) < schedule(0.1) > schedule(0.5) > schedule(0.99) > 0
    assert learner.constant_schedule(0.1)(0.05) == pytest.approx(0.5)
    assert learner.constant_schedule(0.0)(0.9) == 1.0
    assert learner.cosine_schedule(0.1, floor=0.05)(1.0) == pytest.approx(0.05)


def test_a_head_of_two_classes_reads_one_hot_truth(shelf: Store):
    s = setting()
    truth = training.ground_truth(shelf.get(s.splits)["test"], Choice())
    assert isinstance(truth, np.ndarray)
    assert truth.sum(-1).tolist() == [1.0] * 64
