"""Stages spread over two processes on a CPU: what they learn and answer is what one process does,
up to the order of sums, whatever befalls one of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from spreading import Watched, spread_over, started_fast
from torch import Tensor, nn
from toys import Toy, ToyCompletions, ToyPairs, pretrained_store, setting

from w2sweep.engine.stage import Job, Stage
from w2sweep.engine.store import Store
from w2sweep.experiment.backbone import Pretraining
from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.stages import Adapt, Features, Finetune
from w2sweep.experiment.tuning import Full, LinearProbe, Lora, Tuning
from w2sweep.experiment.weights import Applied, Weights
from w2sweep.learning import spread
from w2sweep.learning.batches import Batch, Completions, share
from w2sweep.learning.gradients import Gradients
from w2sweep.learning.hardware import prepared
from w2sweep.tasks.task import Task

UNEVEN = {"micro_tokens": 40}
"""Several micro-batches a batch, and not as many for both."""
RECIPE = Recipe(epochs=3, batch_size=15, evaluations=3, max_tokens=32)  # 18 steps
RESULT = ("predictions.safetensors", "evaluations.safetensors", "curves.jsonl", "completions.json")


def ceiling(task: Task, tuning: Tuning, **recipe: str) -> Finetune:
    return setting(task, tuning=tuning, recipe=replace(RECIPE, **recipe)).ceiling


def student(loss: ConfidenceLoss | CrossEntropy, task: Task | None = None) -> Finetune:
    s = setting(task, recipe=RECIPE)
    return s.finetune("l", labels=s.supervisor, loss=loss)


def pretraining() -> Adapt:
    stage = setting().pretrained("l")
    assert stage is not None
    return replace(stage, recipe=Pretraining(tokens=2_000, lr=1e-2, batch=7))


STAGES: dict[str, Stage[Any]] = {
    "naive": student(CrossEntropy()),
    "confidence": student(ConfidenceLoss(alpha_max=0.75, warmup=0.5)),
    "lora": ceiling(Toy(), Lora(rank=2)),
    "reward": replace(ceiling(ToyPairs(), Full(), early_stop="truth"), loss=ConfidenceLoss()),
    "chess": ceiling(ToyCompletions(), Full()),
    "probe": ceiling(Toy(), LinearProbe(lr=0.01)),
    "pretraining": pretraining(),
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    shelf = pretrained_store(tmp_path_factory.getbasetemp() / "toys")
    with started_fast():
        yield shelf


@pytest.fixture(scope="module")
def whole(shelf: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The results of stages that two processes have run."""
    return {}


def of_two(which: str, whole: dict[str, Path], shelf: Store, folder: Path) -> Path:
    """The result of a stage, run once by two processes."""
    if which not in whole:
        stage = STAGES[which]
        shelf.ensure(*stage.inputs)
        facts = spread_over(2, Watched(stage), folder / "two", shelf, **UNEVEN)
        first, second = facts["replicas"]
        assert len(first) == 1
        assert first == second  # both processes have the same model, to the bit
        whole[which] = folder / "two"
    return whole[which]


def numbers(folder: Path) -> dict[str, np.ndarray]:
    """All that was learned and answered."""
    files = [file for file in folder.rglob("*.safetensors") if "checkpoint" not in file.name]
    found = {}
    for file in files:
        found |= {f"{file.name}/{name}": x for name, x in load_file(file).items()}
    return found


def difference(one: Path, other: Path) -> dict[str, float]:
    """The largest, in each file."""
    a, b = numbers(one), numbers(other)
    assert a.keys() == b.keys()
    largest: dict[str, float] = {}
    for name in a:
        file = name.partition("/")[0]
        apart = float(np.abs(a[name] - b[name]).max())
        largest[file] = max(apart, largest.get(file, 0.0))
    return largest


@pytest.mark.parametrize("which", STAGES)
def test_two_processes_learn_and_answer_what_one_does(
    shelf: Store, tmp_path: Path, whole: dict[str, Path], which: str
):
    two = of_two(which, whole, shelf, tmp_path)
    spread_over(1, STAGES[which], tmp_path / "one", shelf)
    apart = difference(tmp_path / "one", two)
    print(which, apart)
    assert max(apart.values()) < 2e-5
    if which == "chess":
        said = [(folder / "completions.json").read_bytes() for folder in (tmp_path / "one", two)]
        assert said[0] == said[1]


@pytest.mark.parametrize("which", ["confidence", "chess"])
def test_the_same_to_the_bit_whether_or_not_a_process_was_killed_on_the_way(
    shelf: Store, tmp_path: Path, whole: dict[str, Path], which: str
):
    """This is also a second run of the same."""
    before, again = of_two(which, whole, shelf, tmp_path), tmp_path / "again"
    died = "rank 1 of 2 was killed by SIGKILL"
    watched = Watched(STAGES[which], killed=(1, 10))
    with pytest.raises(ChildProcessError, match=died):
        spread_over(2, watched, again, shelf, checkpoint_seconds=1e-9, **UNEVEN)
    assert (again / "checkpoint.safetensors").exists()
    others = (1, 3) if which == "confidence" else ()
    for devices in others:
        shutil.copytree(again, tmp_path / str(devices))
    spread_over(2, STAGES[which], again, shelf, **UNEVEN)
    for name in RESULT:
        assert (before / name).read_bytes() == (again / name).read_bytes(), name
    for devices in others:  # how many wrote the checkpoint does not matter
        spread_over(devices, STAGES[which], tmp_path / str(devices), shelf)
        assert max(difference(before, tmp_path / str(devices)).values()) < 2e-5


def test_one_that_runs_out_of_memory_computes_less_at_once_and_the_other_need_not_know(
    shelf: Store, tmp_path: Path, whole: dict[str, Path]
):
    narrow = Watched(STAGES["confidence"], narrow=(1, 30))
    shelf.ensure(*narrow.inputs)
    facts = spread_over(2, narrow, tmp_path / "narrow", shelf, **UNEVEN)
    assert "micro_tokens" not in facts  # rank 0 had enough
    assert facts["replicas"][0] == facts["replicas"][1]
    two = of_two("confidence", whole, shelf, tmp_path)
    assert max(difference(two, tmp_path / "narrow").values()) < 2e-5


def inferences() -> dict[str, Stage[Any]]:
    s = setting(Toy())
    weights = Weights(s.finetune("s", on="supervisor"))
    features = ceiling(ToyPairs(), LinearProbe()).features
    assert features is not None
    return {"features": features, "applied": Applied(weights, s.splits)}


@pytest.mark.parametrize("which", ["features", "applied"])
def test_what_only_answers_is_spread_too(shelf: Store, tmp_path: Path, which: str):
    stage = inferences()[which]
    assert isinstance(stage, Features | Applied)
    shelf.ensure(*stage.inputs)
    for devices in (1, 2):
        spread_over(devices, stage, tmp_path / str(devices), shelf, **UNEVEN)
    assert max(difference(tmp_path / "1", tmp_path / "2").values()) < 1e-5


# --- one step, by hand ---------------------------------------------------------------------------

LOGITS = torch.tensor([[0.0, x] for x in (9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0)])
"""The first of two processes has every second one, which are the larger ones."""


class Told(ConfidenceLoss):
    """Keeps what it took for positive."""

    seen: ClassVar[list[list[float]]] = []

    def hardened(self, logits: Tensor, targets: Tensor) -> Tensor:
        found = super().hardened(logits, targets)
        self.seen.append(found[:, 1].tolist())
        return found


class Plain(nn.Module):
    """A layer without effect on its inputs, one parameter that only the first process's example
    reaches, and one that nothing reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.rare, self.unused = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))

    def forward(self, batch: Batch) -> Tensor:
        logits = batch.ids * self.scale
        return logits + self.rare if (batch.ids == 9.0).any() else logits


@dataclass(frozen=True)
class Step(Stage[None]):
    """The gradient of one batch."""

    spreads: ClassVar = True

    def run(self, job: Job) -> None:
        prepared(job)
        Told.seen.clear()
        net, ones = Plain(), torch.ones(len(LOGITS), 1)
        batch = Batch(LOGITS, ones, ones.bool(), torch.full((len(LOGITS), 2), 0.5))
        own = share([batch], spread.rank(), spread.ranks(), budget=3)
        gradients = Gradients(net, Tensor.backward, job)
        loss = Told(alpha_max=1.0, warmup=0.0)
        learning = list(net.parameters())
        total = gradients.of(own, lambda x, y: loss(x, y, 1.0), False, learning)
        found = [p.grad.tolist() if p.grad is not None else None for p in learning]
        everybodys = spread.together(range(spread.ranks()), lambda _: (Told.seen[:], found))
        parts = spread.together(range(spread.ranks()), lambda _: len(own.parts))
        job.note(of_each=everybodys, loss=total.item(), parts=parts)


def test_the_confidence_loss_has_the_threshold_of_the_whole_batch(shelf: Store, tmp_path: Path):
    one, two = (spread_over(n, Step(), tmp_path / str(n), shelf) for n in (1, 2))
    hardened = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    assert [seen for seen, _ in one["of_each"]] == [[hardened]]
    assert [seen for seen, _ in two["of_each"]] == [[hardened], [hardened]]
    mine = LOGITS[::2], torch.full((4, 2), 0.5)
    by_itself = ConfidenceLoss(warmup=0.0).hardened(*mine)[:, 1].tolist()
    assert by_itself == [1.0, 1.0, 0.0, 0.0]  # with a median of its own it would be another one
    assert two["loss"] == pytest.approx(one["loss"])
    assert two["parts"] == [2, 2]


def test_a_parameter_that_nothing_reaches_has_no_gradient_and_a_rare_one_has_it_everywhere(
    shelf: Store, tmp_path: Path
):
    one, two = (spread_over(n, Step(), tmp_path / str(n), shelf) for n in (1, 2))
    for _, (scale, rare, unused) in two["of_each"]:
        assert unused is None
        assert scale == pytest.approx(one["of_each"][0][1][0])
        assert rare is not None
    assert two["of_each"][0][1] == two["of_each"][1][1]


# --- shares --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 2, 3, 9])
def test_shares_are_the_whole_batch_and_about_as_long(ranks: int):
    prompts = [[1] * n for n in (9, 7, 5, 3, 1)]
    data = Completions.of(prompts, [[2] * (n % 3) for n in range(5)], end=9, pad=0)
    micro = [data.batch(np.array([0, 1, 2])), data.batch(np.array([3, 4]))]
    shares = [share(micro, rank, ranks, budget=1000) for rank in range(ranks)]
    targets = torch.cat([m.targets for m in micro])
    owners = torch.stack([one.own for one in shares]).sum(0)
    assert owners.tolist() == [1] * len(targets)
    for one in shares:
        assert one.targets.equal(targets)
        own = torch.cat([part.targets for part in one.parts]) if one.parts else targets[:0]
        assert own.equal(targets[one.own])
    tokens = [sum(int(part.mask.sum()) for part in one.parts) for one in shares]
    assert sum(tokens) == sum(int(m.mask.sum()) for m in micro)
    if ranks <= 3:
        assert max(tokens) - min(tokens) <= 11  # the longest of all


def test_a_share_has_whole_examples_and_no_more_tokens_than_fit():
    views = torch.arange(1, 13).view(12, 1).expand(12, 4).contiguous()
    ones = torch.ones(12, 4)
    batch = Batch(views, ones, ones.bool(), torch.eye(6))
    second = share([batch], rank=1, ranks=2, budget=9)
    assert [part.ids[:, 0].tolist() for part in second.parts] == [[3, 4], [7, 8], [11, 12]]
    assert second.own.tolist() == [False, True] * 3
