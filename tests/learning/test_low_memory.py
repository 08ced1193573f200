"""Weights in bf16 and small optimizers: what moves, what is lost, what a killed worker finds."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn
from toys import Toy, ToyCompletions, ToyPairs, job, killed_after, pretrained_store, run, setting

from w2sweep.engine.store import Store
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.recipe import OptimizerName, Recipe, WeightPrecision
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.tuning import Full, LinearProbe, Lora, Tuning
from w2sweep.experiment.weights import Applied, Weights
from w2sweep.learning import checkpoint, logits
from w2sweep.learning.batches import finetuning_batches
from w2sweep.learning.learner import Course, Evaluation, fit
from w2sweep.learning.loading import load
from w2sweep.learning.logits import in_fp32
from w2sweep.learning.optimizers import optimizer_of, round_at_random, shapes_of_slots, slots_of
from w2sweep.learning.subjects import Subject, subject_of
from w2sweep.learning.tuned import parameter_groups
from w2sweep.tasks.task import Task

RECIPE = Recipe(epochs=3, batch_size=16, evaluations=3, max_tokens=32)  # 18 steps
eight_bit = pytest.param(
    "adamw_8bit",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
    ),
)
OPTIMIZERS = ["adamw", "adafactor", eight_bit]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


def stage(tuning: Tuning | None = None, task: Task | None = None, **recipe: Any) -> Finetune:
    return setting(task, tuning=tuning or Full(), recipe=replace(RECIPE, **recipe)).ceiling


def subject(of: Finetune, shelf: Store, folder: Path) -> Subject:
    shelf.ensure(*of.inputs)
    results = {s: shelf.get(s) for s in of.inputs}
    with job(folder, of, results) as made:
        return subject_of(of, shelf.get(of.splits), made)


def train(of: Finetune, learner: Subject, shelf: Store, folder: Path, lr: float = 1e-2) -> None:
    """Twelve steps on the ground truth."""
    data = learner.data(of.on, of.head.labels(shelf.get(of.splits)[of.on]))
    course = Course(
        steps=12,
        batches=lambda start: islice(finetuning_batches(data, of.recipe, 0, 10_000, start), 12),
        loss=CrossEntropy(),
        groups=parameter_groups(learner.net, lr),
        lr_factor=lambda _: 1.0,
        evaluate=lambda *_: Evaluation({}),
        evaluations=1,
        precision=of.precision,
        optimizer=of.recipe.optimizer,
    )
    with job(folder) as made:
        fit(learner.net, course, made)


# --- what moves ------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [Toy(), ToyPairs(), ToyCompletions()])
def test_beside_a_base_in_bf16_exactly_adapters_and_head_move_in_fp32(
    shelf: Store, tmp_path: Path, task: Task
):
    of = stage(Lora(rank=2, base="bf16"), task)
    learner = subject(of, shelf, tmp_path)
    before = {n: p.detach().clone() for n, p in learner.net.named_parameters()}
    train(of, learner, shelf, tmp_path)
    after = dict(learner.net.named_parameters())
    moved = {n for n in before if not torch.equal(after[n], before[n])}
    assert moved == {n for n in before if "lora_" in n or n.startswith("own_head")}
    assert {after[n].dtype for n in moved} == {torch.float32}
    assert {after[n].dtype for n in before if n not in moved} == {torch.bfloat16}


def test_a_base_in_bf16_has_half_the_bytes(shelf: Store, tmp_path: Path):
    sizes = []
    for tuning in (Lora(rank=2), Lora(rank=2, base="bf16")):
        net = subject(stage(tuning), shelf, tmp_path).net
        base = [p for name, p in net.named_parameters() if not p.requires_grad]
        sizes.append(sum(p.numel() * p.element_size() for p in base))
    assert sizes[0] == 2 * sizes[1] > 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_every_parameter_moves_by_every_optimizer(
    shelf: Store, tmp_path: Path, optimizer: OptimizerName, precision: WeightPrecision
):
    of = stage(optimizer=optimizer, precision=precision)
    learner = subject(of, shelf, tmp_path)
    before = {n: p.detach().clone() for n, p in learner.net.named_parameters()}
    train(of, learner, shelf, tmp_path)
    after = dict(learner.net.named_parameters())
    assert [n for n in before if torch.equal(after[n], before[n])] == []
    body = {p.dtype for n, p in after.items() if n.startswith("lm.")}
    assert body == {torch.bfloat16 if precision == "bf16-true" else torch.float32}
    assert {p.dtype for n, p in after.items() if n.startswith("own_head")} == {torch.float32}


# --- what is lost ----------------------------------------------------------------------------


def answers(of: Finetune, shelf: Store) -> np.ndarray:
    shelf.ensure(of)
    return np.asarray(shelf.get(of).answers["test"])


def test_results_in_bf16_are_close_to_those_in_fp32(shelf: Store):
    recipe: dict[str, Any] = {"head_lr": 5.0}
    exact = answers(stage(Lora(rank=4), **recipe), shelf)
    rough = answers(stage(Lora(rank=4, base="bf16"), **recipe), shelf)
    assert 0 < np.abs(exact - rough).max() < 0.1
    exact, rough = (answers(stage(precision=p, **recipe), shelf) for p in ("32-true", "bf16-true"))
    assert 0 < np.abs(exact - rough).max() < 0.2
    probes = (stage(LinearProbe(lr=0.1, base=base)) for base in ("fp32", "bf16"))
    exact, rough = (answers(probe, shelf) for probe in probes)
    assert 0 < np.abs(exact - rough).max() < 0.1


def test_rounding_at_random_is_right_on_average_and_never_further_than_a_neighbour():
    exact = torch.linspace(-3, 3, 4001)
    found = []
    for seed in range(400):
        into = torch.empty(4001, dtype=torch.bfloat16)
        round_at_random(exact.clone(), into, seed)
        found.append(into.float())
    near = exact.abs() * 2**-7
    assert all(((f - exact).abs() <= near).all() for f in found)
    mean = torch.stack(found).mean(0)
    # of 400 draws between two neighbours, at most a 128th of the number apart
    assert ((mean - exact).abs() <= near * 0.5 / 400**0.5 * 5).all()
    again = torch.empty(4001, dtype=torch.bfloat16)
    round_at_random(exact.clone(), again, seed=7)
    assert torch.equal(again.float(), found[7])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_below_a_256th_of_a_weight_are_not_lost(optimizer: OptimizerName):
    """A hundred steps of 1e-4 from 1 on: rounded to the nearest, none would be left of them."""
    p = nn.Parameter(torch.ones(64, 80, dtype=torch.bfloat16))
    made = optimizer_of(optimizer, [{"params": [p], "lr": 1e-4}], (0.9, 0.98), 0.0)
    for _ in range(100):
        p.grad = torch.ones_like(p)
        made.step()
    assert p.float().mean().item() == pytest.approx(0.99, abs=5e-4)
    plain = torch.optim.AdamW([q := nn.Parameter(torch.ones(5, dtype=torch.bfloat16))], lr=1e-4)
    for _ in range(100):
        q.grad = torch.ones_like(q)
        plain.step()
    assert (q == 1).all()


def test_in_fp32_each_parameter_is_stepped_as_by_the_optimizer_itself():
    """Beside one in bf16, which makes every parameter be stepped by itself."""
    options: dict[OptimizerName, Any] = {
        "adamw": partial(torch.optim.AdamW, betas=(0.9, 0.98), weight_decay=0.01),
        "adafactor": partial(torch.optim.Adafactor, eps=(None, 1.0), weight_decay=0.01),
    }
    for name, plain in options.items():
        torch.manual_seed(0)
        one, low = nn.Parameter(torch.randn(6, 5)), nn.Parameter(torch.randn(3).bfloat16())
        other = nn.Parameter(one.detach().clone())
        ours = optimizer_of(name, [{"params": [one, low], "lr": 0.1}], (0.9, 0.98), 0.01)
        theirs = plain([other], lr=0.1)
        for _ in range(5):
            one.grad, low.grad = torch.randn(6, 5), torch.ones(3).bfloat16()
            other.grad = one.grad.clone()
            ours.step()
            theirs.step()
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_a_head_that_starts_at_zero_learns_by_adafactor_too():
    p = nn.Parameter(torch.zeros(2, 8))
    made = optimizer_of("adafactor", [{"params": [p], "lr": 1e-3}], (0.9, 0.98), 0.0)
    p.grad = torch.ones(2, 8)
    made.step()
    torch.testing.assert_close(p.detach(), torch.full((2, 8), -1e-3))


def test_logits_of_weights_in_bf16_are_those_of_a_product_in_fp32(monkeypatch):
    monkeypatch.setattr(logits, "AT_ONCE", 64)  # four rows of sixteen at a time
    torch.manual_seed(0)
    layer = nn.Linear(16, 50, bias=False).bfloat16()
    hidden = torch.randn(3, 5, 16).bfloat16().requires_grad_()
    exact = hidden.float() @ layer.weight.float().T
    in_fp32(layer)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(hidden)
    gradient = torch.randn_like(exact)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, exact)
    torch.testing.assert_close(
        torch.autograd.grad(found, (hidden, layer.weight), gradient),
        torch.autograd.grad(exact, (hidden, layer.weight), gradient),
    )


# --- what is kept ----------------------------------------------------------------------------

LOW = {
    "adapters": (Lora(rank=2, base="bf16"), {}),
    "completions": (Lora(rank=2, base="bf16"), {"task": ToyCompletions()}),
    "best": (Full(), {"precision": "bf16-true", "early_stop": "own_labels"}),
    "probe": (LinearProbe(lr=0.05, base="bf16"), {}),
}
CASES = [pytest.param(*case, id=name) for name, case in LOW.items()]
for precision in ("32-true", "bf16-true"):
    for name in OPTIMIZERS[1:]:
        optimizer, marks = (name, []) if isinstance(name, str) else (name.values[0], name.marks)
        fields = {"precision": precision, "optimizer": optimizer}
        case = pytest.param(Full(), fields, id=f"{optimizer} {precision}", marks=marks)
        CASES.append(case)


@pytest.mark.parametrize(("tuning", "fields"), CASES)
def test_a_killed_stage_resumes_bit_for_bit(
    shelf: Store, tmp_path: Path, tuning: Tuning, fields: dict[str, Any]
):
    of, whole, killed = stage(tuning, **fields), tmp_path / "whole", tmp_path / "killed"
    shelf.ensure(*of.inputs)
    run(of, whole, shelf)
    with killed_after(steps=10):
        run(of, killed, shelf, checkpoint_seconds=1e-9)
    saved = safe_open(killed / "checkpoint.safetensors", "pt")
    assert any(key.startswith("optimizer/") for key in saved.keys())  # noqa: SIM118
    run(of, killed, shelf)
    for name in ("predictions.safetensors", "curves.jsonl", "completions.json"):
        if (whole / name).exists():
            assert (whole / name).read_bytes() == (killed / name).read_bytes(), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_an_optimizer_keeps_has_the_shapes_that_are_expected_of_it(optimizer: OptimizerName):
    """So that a checkpoint of another one is not taken for its."""
    for dtype in (torch.float32, torch.bfloat16):
        ps = [nn.Parameter(torch.ones(s, dtype=dtype)) for s in [(64, 65), (3, 4), (5,)]]
        made = optimizer_of(optimizer, [{"params": ps, "lr": 0.1}], (0.9, 0.98), 0.0)
        assert slots_of(made, ps[0]) == {}
        for p in ps:
            p.grad = torch.ones_like(p)
        made.step()
        for p in ps:
            found = {slot: tensor.shape for slot, tensor in slots_of(made, p).items()}
            assert found == shapes_of_slots(made, p)


def test_adapters_are_merged_in_fp32_and_answer_as_they_did(shelf: Store):
    of = stage(Lora(rank=4, base="bf16"), head_lr=5.0)
    shelf.ensure(Weights(of))
    folder = shelf.get(Weights(of))
    with safe_open(folder / "model.safetensors", "pt") as file:
        dtypes = {file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118
    assert dtypes == {torch.float32}
    assert '"dtype": "float32"' in (folder / "config.json").read_text()
    assert deviation(of, shelf) < 0.02


@pytest.mark.parametrize(
    "of", [stage(precision="bf16-true"), stage(LinearProbe(lr=0.1, base="bf16"))]
)
def test_weights_in_bf16_are_kept_in_bf16_and_answer_as_they_did(shelf: Store, of: Finetune):
    shelf.ensure(Weights(of))
    folder = shelf.get(Weights(of))
    assert '"dtype": "bfloat16"' in (folder / "config.json").read_text()
    net = load(of.backbone, folder, of.head, 0, "bf16")
    assert net.lm.dtype is torch.bfloat16
    assert deviation(of, shelf) < 0.02


def deviation(of: Finetune, shelf: Store) -> float:
    """How far a model that was written and read is from what it answered before."""
    applied = Applied(Weights(of), of.splits)  # type: ignore[arg-type]
    shelf.ensure(applied)
    now = np.asarray(shelf.get(applied).answers["test"])
    return float(np.abs(now - np.asarray(shelf.get(of).answers["test"])).max())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_checkpoint_has_all_that_an_optimizer_keeps(
    tmp_path: Path, optimizer: OptimizerName, dtype: torch.dtype
):
    """Of a matrix that is large enough to be kept in 8 bits."""

    def made() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        net = nn.Linear(64, 70).to(dtype)
        groups = [{"params": list(net.parameters()), "lr": 1e-2}]
        return net, optimizer_of(optimizer, groups, (0.9, 0.98), 0.0)

    def step(net: nn.Module, by: torch.optim.Optimizer, seed: int) -> None:
        torch.manual_seed(seed)
        for p in net.parameters():
            p.grad = torch.randn_like(p)
        by.step()

    whole, by = made()
    for seed in range(3):
        step(whole, by, seed)
    file = tmp_path / "checkpoint.safetensors"
    checkpoint.save(file, checkpoint.State(step=3), whole, by)
    resumed, other = made()
    assert checkpoint.restore(file, resumed, other).step == 3
    for seed in range(3, 6):
        step(whole, by, seed)
        step(resumed, other, seed)
    assert all(map(torch.equal, whole.parameters(), resumed.parameters()))


def test_a_checkpoint_of_another_optimizer_is_not_gone_on_with(tmp_path: Path, caplog):
    net = nn.Linear(4, 3)
    groups = [{"params": list(net.parameters()), "lr": 1e-2}]
    one, other = (optimizer_of(name, groups, (0.9, 0.98), 0.0) for name in ("adamw", "adafactor"))
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    one.step()
    checkpoint.save(tmp_path / "a", checkpoint.State(step=3), net, one)
    assert checkpoint.restore(tmp_path / "a", net, other).step == 0
    assert "training starts again" in caplog.text
