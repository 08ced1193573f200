"""Training side by side: each model becomes what it becomes alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.testing import assert_close
from toys import Killed, ToyCompletions, ToyPairs, pretrained_store, rung, setting, store
from transformers import AutoTokenizer

from w2sweep.engine.failures import StageFailed
from w2sweep.engine.stage import Stage
from w2sweep.engine.store import Store
from w2sweep.experiment.backbone import SmallLlama
from w2sweep.experiment.losses import (
    AdaptConf,
    BalancedLabels,
    BufferedConfidence,
    ConfidenceAdaptive,
    ConfidenceLoss,
    ConfidenceWeight,
    ConfidenceWindow,
    CrossEntropy,
    EntropyLoss,
    GeneralizedCrossEntropy,
    LabelSmoothing,
    Loss,
    ProductLabels,
    ReverseCrossEntropy,
    ReverseKL,
    SymmetricCrossEntropy,
)
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.tuning import LinearProbe, Lora
from w2sweep.experiment.weights import Weights
from w2sweep.learning import stacking
from w2sweep.learning.batches import Batch, last_tokens
from w2sweep.learning.learner import Learner
from w2sweep.learning.loading import fresh
from w2sweep.learning.model import Net
from w2sweep.learning.stacked_llama import StackedBatch, StackedLlama, shape_of, stacked_batch
from w2sweep.tasks.heads import Choice, Reward
from w2sweep.values import value


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


def student(seed: int = 0, task: Any = None, loss: Loss | None = None, **changes: Any) -> Finetune:
    """A finetuning of the toys' smallest rung on the ground truth. Its seed is that of its batches:
    all read one pretrained model."""
    made = setting(task).finetune("s")
    return replace(made, seed=seed, loss=loss or CrossEntropy(), **changes)


# the stacked module


def text_nets(shelf: Store, *vocabularies: int) -> list[Net]:
    """Models with random weights, of one shape but for their vocabularies, without heads."""
    pretrained = setting().pretrained("s")
    assert pretrained is not None
    text = shelf.path(pretrained.text)
    nets = [fresh(SmallLlama(12, 2, 2), text, 24, seed) for seed in range(len(vocabularies))]
    for net, vocabulary in zip(nets, vocabularies, strict=True):
        net.lm.resize_token_embeddings(vocabulary)
        net.vocabulary = vocabulary
    return nets


def texts(seed: int, asked: Callable[[Tensor], Tensor], targets: Tensor) -> Batch:
    """Four texts of two to ten tokens, with padding behind."""
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([10, 7, 4, 2]) - seed % 2
    mask = (torch.arange(10) < lengths[:, None]).long()
    ids = torch.randint(3, 20, mask.shape, generator=rng) * mask
    return Batch(ids, mask, asked(mask), targets)


def with_heads(nets: Sequence[Net], head: Choice | Reward) -> None:
    for net in nets:
        net.head = head
        net.own_head = nn.Linear(12, len(head.words), bias=head.bias)
        nn.init.normal_(net.own_head.weight)


def logits_of(stack: StackedLlama, batch: StackedBatch) -> list[Tensor]:
    """Those of each model."""
    ready = stack.before_heads(batch)
    return [stack.logits(number, *of_model, batch) for number, of_model in enumerate(ready)]


@pytest.mark.parametrize("head", [None, Choice(), Choice(classes=3), Reward()])
def test_logits_and_gradients_are_those_of_transformers_own_module(
    shelf: Store, head: Choice | Reward | None
):
    nets = text_nets(shelf, 20, 20, 20) if head else text_nets(shelf, 20, 23, 21)
    asked: Callable[[Tensor], Tensor] = last_tokens
    examples = 2 if isinstance(head, Reward) else 4
    if head:
        with_heads(nets, head)
    else:
        asked = Tensor.bool
    batches = [texts(seed, asked, torch.zeros(examples, 2)) for seed in range(3)]
    expected, gradients = [], []
    for net, batch in zip(nets, batches, strict=True):
        logits = net(batch)
        logits.square().sum().backward()
        expected.append(logits.detach())
        gradients.append({name: p.grad for name, p in net.named_parameters()})
    stack = StackedLlama(nets)
    found = logits_of(stack, stacked_batch([[batch] for batch in batches]))
    torch.stack([logits.square().sum() for logits in found]).sum().backward()
    whole = {name: p.grad for name, p in stack.stacks.items() if p.grad is not None}
    for number, net in enumerate(nets):
        assert_close(found[number], expected[number], atol=1e-6, rtol=1e-5)
        names = {p: name for name, p in net.named_parameters()}
        parts = {names[p]: part for p, part in stack.of_model(number, whole)}
        assert parts.keys() == gradients[number].keys()
        for name, part in parts.items():
            whole_gradient = gradients[number][name]
            # an element is a sum of such as large as the largest, so that its rounding is of these
            largest = whole_gradient.abs().max()
            assert_close(part / largest, whole_gradient / largest, atol=2e-6, rtol=0)
            assert (part - whole_gradient).norm() < 1e-6 * whole_gradient.norm()


def test_in_bf16_a_stack_rounds_what_its_models_round_alone(shelf: Store):
    batches = [texts(seed, Tensor.bool, torch.zeros(4, 2)) for seed in range(3)]

    def alone(nets: list[Net]) -> list[Tensor]:
        return [net.hidden(batch) for net, batch in zip(nets, batches, strict=True)]

    def together(nets: list[Net]) -> list[Tensor]:
        ready = StackedLlama(nets).before_heads(stacked_batch([[batch] for batch in batches]))
        return [states for states, _ in ready]

    def found(states_of: Callable[[list[Net]], list[Tensor]], low: bool) -> Tensor:
        nets = text_nets(shelf, 20, 20, 20)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            return torch.cat(states_of(nets)).detach()

    exact = found(alone, low=False)
    rounding = (found(alone, low=True) - exact).norm()
    assert rounding > 0
    assert (found(together, low=True) - found(alone, low=True)).norm() < 0.2 * rounding


def test_micro_batches_are_put_together_again(shelf: Store):
    (net,) = text_nets(shelf, 20)
    with_heads([net], Choice())
    whole = texts(0, last_tokens, torch.rand(4, 2))
    stack = StackedLlama([net])
    parts = whole.within(10)
    assert len(parts) > 1
    (one,), (other,) = (logits_of(stack, stacked_batch([micro])) for micro in ([whole], parts))
    assert_close(one, other)


def test_models_have_memory_of_their_own_afterwards(shelf: Store):
    nets = text_nets(shelf, 20, 20)
    before = [p.clone() for net in nets for p in net.parameters()]
    stack = StackedLlama(nets)
    with torch.no_grad():
        stack.stacks["norm"].add_(1.0)  # is seen by both
    assert [net.lm.model.norm.weight.mean().item() for net in nets] == [2.0, 2.0]
    stack.let_go()
    with torch.no_grad():
        stack.stacks["norm"].add_(1.0)
        stack.stacks["table"].add_(1.0)
    after = [p for net in nets for p in net.parameters()]
    changed = [bool((a != b).any()) for a, b in zip(before, after, strict=True)]
    assert changed == ([False] * (len(before) // 2 - 1) + [True]) * 2


def test_other_models_are_not_stacked(shelf: Store):
    tied, other = text_nets(shelf, 20, 20)
    assert shape_of(tied) == shape_of(other) is not None
    other.lm.config.hidden_act = "gelu"
    assert shape_of(other) is None
    tied.get_parameter("lm.model.norm.weight").requires_grad_(False)
    assert shape_of(tied) is None
    assert shape_of(nn.Linear(2, 2)) is None


# whole stages


@value
class Own(Loss):
    """A loss of a user's own."""

    def __call__(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        return (1 + progress) * (logits.softmax(-1) - targets).square().sum(-1).mean()


@pytest.fixture
def stacked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many models were trained side by side, each time."""
    sizes: list[int] = []
    made = stacking.Learners.__init__

    def noticed(self: Any, members: Sequence[Any]) -> None:
        sizes.append(len(members))
        made(self, members)

    monkeypatch.setattr(stacking.Learners, "__init__", noticed)
    return sizes


def below(shelf: Store, root: Path, **runtime: Any) -> Store:
    """A new store with what the toys' finetunings read."""
    new = store(root, **runtime)
    for folder in ("Splits", "Text", "Adapt"):
        (root / folder).symlink_to(shelf.root / folder)
    return new


def tensors_of(path: Path) -> dict[str, Tensor]:
    return {
        f"{file.name}/{name}": tensor
        for file in sorted(path.glob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def check_same(stages: Sequence[Stage], one: Store, other: Store) -> None:
    """Results agree up to rounding, in every file of numbers, answers to the letter."""
    for stage in stages:
        expected, found = tensors_of(one.path(stage)), tensors_of(other.path(stage))
        assert expected.keys() == found.keys() != set()
        for name, tensor in expected.items():
            assert_close(found[name], tensor, atol=2e-5, rtol=1e-4, msg=f"{stage}: {name}")
        for kind in ("*.json", "curves.jsonl"):
            names = {file.name for file in one.path(stage).glob(kind)} - {"stage.json"}
            assert names == {f.name for f in other.path(stage).glob(kind)} - {"stage.json"}


def curves(store: Store, stage: Stage) -> list[dict[str, float]]:
    lines = (store.path(stage) / "curves.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def both(shelf: Store, root: Path, stages: Sequence[Stage]) -> tuple[Store, Store]:
    alone, together = (below(shelf, root / str(n), together=n) for n in (1, 16))
    alone.ensure(*stages)
    together.ensure(*stages)
    return alone, together


def test_finetunings_side_by_side_are_what_they_are_alone(
    shelf: Store, tmp_path: Path, stacked: list[int]
):
    losses = [CrossEntropy(), ConfidenceLoss(alpha_max=0.75, warmup=0.5), CrossEntropy(hard=True)]
    students = [student(seed, loss=loss) for seed, loss in enumerate([*losses, Own()])]
    stopped = replace(student().recipe, early_stop="own_labels", evaluations=4)
    kept = [student(seed, recipe=stopped) for seed in (0, 1)]
    stages = [*map(Weights, students), *students, *kept]
    alone, together = both(shelf, tmp_path, stages)
    assert stacked == [4, 2]
    check_same(stages, alone, together)
    for stage in (*students, *kept):
        expected, found = curves(alone, stage), curves(together, stage)
        assert [row.keys() for row in found] == [row.keys() for row in expected]
        for row, known in zip(found, expected, strict=True):
            assert row == pytest.approx(known, abs=1e-5)


ZOO: list[Loss] = [
    AdaptConf(),
    BalancedLabels(),
    BufferedConfidence(warmup=0.0),
    ConfidenceAdaptive(),
    ConfidenceWeight(),
    ConfidenceWindow(),
    EntropyLoss(),
    GeneralizedCrossEntropy(),
    LabelSmoothing(),
    ProductLabels(),
    ReverseCrossEntropy(),
    ReverseKL(),
    SymmetricCrossEntropy(),
]


@pytest.mark.parametrize("task", [ToyPairs(), ToyCompletions()])
def test_losses_of_the_zoo_side_by_side_are_what_they_are_alone(
    shelf: Store, tmp_path: Path, task: Any, stacked: list[int]
):
    """On weak labels: those that need soft ones with pairs, the others with completions."""
    pairs = isinstance(task, ToyPairs)
    of_task = [loss for loss in ZOO if (loss.soft or loss.binary) == pairs]
    s = setting(task, recipe=replace(setting().recipe, epochs=1))
    stages = [s.finetune("s", labels=s.supervisor, loss=loss) for loss in of_task]
    alone, together = both(shelf, tmp_path, stages)
    assert stacked == [len(stages)]
    for stage in stages:
        expected, found = curves(alone, stage), curves(together, stage)
        for row, known in zip(found, expected, strict=True):
            assert row == pytest.approx(known, abs=1e-5)


@pytest.mark.parametrize("task", [ToyPairs(), ToyCompletions()])
def test_pairs_and_completions_too(shelf: Store, tmp_path: Path, task: Any, stacked: list[int]):
    stages = [student(seed, task) for seed in range(3)]
    alone, together = both(shelf, tmp_path, stages)
    assert stacked == [3]
    for stage in stages:
        for split, said in alone.get(stage).answers.items():
            found = together.get(stage).answers[split]
            assert list(stage.head.hard(found)) == list(stage.head.hard(said))
            if not isinstance(said, list):
                np.testing.assert_allclose(np.asarray(found), said, atol=1e-5)


@pytest.mark.parametrize(("bf16", "near"), [("no", 1e-5), ("yes", 3e-3)])
def test_pretrainings_side_by_side_are_what_they_are_alone(
    tmp_path: Path, stacked: list[int], bf16: str, near: float
):
    stages = []
    for seed in range(3):
        pretrained = setting().pretrained("s")
        assert pretrained is not None
        recipe = replace(pretrained.recipe, tokens=8_000, precision="bf16-mixed")
        stages.append(replace(pretrained, recipe=recipe, seed=seed))
    alone, together = (store(tmp_path / str(n), together=n, bf16=bf16) for n in (1, 16))
    alone.ensure(*stages)
    together.ensure(*stages)
    assert stacked == [3]
    if bf16 == "no":
        check_same(stages, alone, together)
    for stage in stages:
        facts = [
            json.loads((s.path(stage) / "pretrain.json").read_text()) for s in (alone, together)
        ]
        assert facts[0] == pytest.approx(facts[1], rel=near)


def test_every_parameter_learns_and_no_other_models(shelf: Store, tmp_path: Path):
    """The embedding rows of words that nobody read stay where they were."""
    stages = [student(seed) for seed in range(2)]
    together = below(shelf, tmp_path / "store")
    together.ensure(*map(Weights, stages))
    pretrained = stages[0].init
    assert pretrained is not None
    before = tensors_of(shelf.path(pretrained))
    tokenizer = AutoTokenizer.from_pretrained(shelf.path(pretrained))
    for stage in stages:
        after = tensors_of(together.path(Weights(stage)))
        moved = {name for name, p in before.items() if not torch.equal(p, after[name])}
        assert moved == set(before)
        table = "model.safetensors/model.embed_tokens.weight"
        same = (before[table] == after[table]).all(1)
        read = {
            token
            for example in shelf.get(stage.splits)["student"]
            for token in tokenizer(example.views[0])["input_ids"]
        }
        assert set(torch.nonzero(~same)[:, 0].tolist()) == read


@value
class Wrong(Loss):
    """No number from the third step on."""

    def __call__(self, logits: Tensor, targets: Tensor, progress: float) -> Tensor:
        return logits.sum() * (float("nan") if progress > 0.2 else 1.0)


def test_one_that_diverges_fails_alone(shelf: Store, tmp_path: Path, stacked: list[int]):
    stages = [student(0), student(1, loss=Wrong()), student(2)]
    together = below(shelf, tmp_path / "16")
    with pytest.raises(StageFailed, match="FloatingPointError: the loss is nan"):
        together.ensure(*stages)
    assert stacked == [3]
    assert [together.done(stage) for stage in stages] == [True, False, True]
    alone = below(shelf, tmp_path / "1", together=1)
    sound = [stages[0], stages[2]]
    alone.ensure(*sound)
    check_same(sound, alone, together)


class KilledAt:
    """Ends side-by-side training, or that of one alone, before a step."""

    def __init__(self, module: Any, at: int):
        self.module, self.at, self.original = module, at, module.one_step

    def __enter__(self) -> None:
        def step(learner: Any, batch: Any) -> None:
            first = learner.members[0] if hasattr(learner, "members") else learner
            if first.state.step == self.at:
                raise Killed
            self.original(learner, batch)

        self.module.one_step = step

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        self.module.one_step = self.original
        return kind is Killed


@pytest.mark.parametrize("resumed", [1, 16])
def test_killed_together_each_goes_on_alone_or_together(
    shelf: Store, tmp_path: Path, resumed: int, stacked: list[int]
):
    stages = [student(seed) for seed in range(2)]
    killed = below(shelf, tmp_path / "killed", checkpoint_seconds=1e-9)
    with KilledAt(stacking.Learners, 7):
        killed.ensure(*stages)
    work = [*killed.root.glob("Finetune/.working/*/checkpoint*")]
    assert len(work) == 2
    store(killed.root, together=resumed).ensure(*stages)
    assert stacked == [2] + [2] * (resumed > 1)
    alone = below(shelf, tmp_path / "alone", together=1)
    alone.ensure(*stages)
    check_same(stages, alone, killed)
    events = [line["event"] for line in killed.journal() if line["stage"] == stages[0].name]
    assert events == ["start", "interrupted", "adopted", "start", "commit"]


def test_checkpoints_of_different_steps_are_not_stacked(
    shelf: Store, tmp_path: Path, stacked: list[int]
):
    stages = [student(seed) for seed in range(3)]
    killed = below(shelf, tmp_path / "killed", together=1, checkpoint_seconds=1e-9)
    with KilledAt(Learner, 5):
        killed.ensure(stages[0])
    store(killed.root).ensure(*stages)
    assert stacked == [2]
    alone = below(shelf, tmp_path / "alone", together=1)
    alone.ensure(*stages)
    check_same(stages, alone, killed)


def test_no_more_than_there_is_room_for(shelf: Store, tmp_path: Path, stacked: list[int]):
    # 16 texts of at most 11 tokens each
    below(shelf, tmp_path, micro_tokens=2 * 16 * 11).ensure(*[student(seed) for seed in range(4)])
    assert stacked == [2, 2]


def test_what_is_trained_together_is_alike():
    one = student(0)
    assert one.together == student(5, loss=Own()).together is not None
    others = [
        setting().finetune("m"),
        setting(ToyPairs()).finetune("s"),
        setting().finetune("s", on="supervisor"),
        replace(one, lr=1.0),
        replace(one, recipe=replace(one.recipe, epochs=7)),
    ]
    assert one.together not in [other.together for other in others]
    for tuning in (Lora(), LinearProbe()):
        assert replace(one, tuning=tuning).together is None
    low = replace(one.recipe, precision="bf16-mixed")
    assert replace(one, recipe=low).together is None


def test_large_models_and_what_does_not_train_run_alone():
    large = replace(setting().ladder, rungs={"s": rung(8), "l": rung(384, tokens=100)})
    stage = setting(ladder=large).finetune("l")
    assert stage.together is None
    pretrained = setting(ladder=large).pretrained("l")
    assert pretrained is not None
    assert pretrained.together is None
    trained = setting().pretrained("s")
    assert trained is not None
    assert trained.together is not None
    assert replace(trained, recipe=replace(trained.recipe, tokens=7)).together is None
