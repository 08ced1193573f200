"""What two ranks do with a model that is spread over them, beside the same on one device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from side_by_side import Case
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close
from toys import ToyCorpus, by_transformers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    RobertaConfig,
)

from w2sweep.experiment.backbone import HubModel, Tokenizer
from w2sweep.experiment.tuning import Base, Full, Lora, Tuning
from w2sweep.learning import checkpoint, loading_shards, shards
from w2sweep.learning.batches import Batch, last_tokens
from w2sweep.learning.hardware import autocast
from w2sweep.learning.loading import load
from w2sweep.learning.loading_shards import load_shards
from w2sweep.learning.model import Net
from w2sweep.learning.shards import whole
from w2sweep.learning.tokens import train_tokenizer
from w2sweep.learning.tuned import parameter_groups, tune
from w2sweep.tasks.heads import Choice
from w2sweep.values import ConfigError

CPU = torch.device("cpu")
VOCABULARY = 300
SIZES: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": 0, "eos_token_id": 1}
LLAMA: dict[str, Any] = {
    **SIZES,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
FAMILIES: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**LLAMA, tie_word_embeddings=True),
    "gpt2": GPT2Config(**SIZES, n_embd=16, n_layer=2, n_head=2),
    "untied": LlamaConfig(**LLAMA, tie_word_embeddings=False),
    "neox": GPTNeoXConfig(**LLAMA),
}
"""Whose files have other names than its parameters: neox. In several files: untied."""
TUNINGS: tuple[Tuning, ...] = (Full(), Lora(rank=2))
BF16 = Lora(rank=2, base="bf16")


def write_models(folder: Path) -> None:
    """A tiny model of each family, with larger weights than is usual, so that nothing is close to
    anything; and two that are refused."""
    texts = list(ToyCorpus().documents())
    tokenizer = train_tokenizer(Tokenizer("bpe", vocabulary=VOCABULARY), texts)
    lacking, looking_ahead = FAMILIES["llama"], RobertaConfig(**LLAMA)
    refused = {"lacking": lacking, "looking ahead": looking_ahead}
    for name, config in (FAMILIES | refused).items():
        torch.manual_seed(0)
        lm = AutoModelForCausalLM.from_config(config)
        for p in lm.parameters():
            if p.ndim > 1:
                nn.init.normal_(p, std=0.2)
        lm.tie_weights()
        lm.save_pretrained(folder / name, max_shard_size="20KB" if name == "untied" else "5GB")
        tokenizer.save_pretrained(folder / name)
    file = folder / "lacking" / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})


def on_one(folder: Path, family: str, tuning: Tuning) -> Net:
    net = load(HubModel(str(folder / family)), None, Choice(), 0, base_of(tuning))
    tune(net, tuning)
    return net


def on_two(folder: Path, family: str, tuning: Tuning) -> Net:
    model, base = HubModel(str(folder / family)), base_of(tuning)
    return load_shards(model, None, Choice(), 0, tuning, base, CPU)


def base_of(tuning: Tuning) -> Base:
    return tuning.base if isinstance(tuning, Lora) else "fp32"


def batch() -> Batch:
    ids = torch.arange(44).reshape(4, 11) + 3
    mask = torch.ones_like(ids)
    mask[1, 8:] = mask[2, 5:] = 0
    targets = torch.tensor([[0.3, 0.7], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    return Batch(ids, mask, last_tokens(mask), targets)


def half(rank: int) -> Batch:
    """What this rank computes of the batch."""
    return Batch(*(x[2 * rank : 2 * rank + 2] for x in batch()))


def numbers(net: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers, whole."""
    return {name: whole(t).clone() for name, t in net.state_dict().items()}


def optimizer_of(net: Net) -> torch.optim.AdamW:
    groups = [{**g, "lr": g["base_lr"]} for g in parameter_groups(net, 1e-3, head_lr=5.0)]
    return torch.optim.AdamW(groups, fused=True)


def step(net: Net, optimizer: torch.optim.Optimizer, rank: int | None = None) -> Tensor:
    """A step on the batch, or on this rank's share of it; the norm of the whole gradient."""
    optimizer.zero_grad()
    part, share = (batch(), 1.0) if rank is None else (half(rank), 0.5)
    (cross_entropy(net(part), part.targets) * share).backward()
    learning = [p for group in optimizer.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(learning, 0.1)
    optimizer.step()
    return whole(norm)


def each_rank_reads_its_own_rows(rank: int, folder: Path) -> None:
    for family in FAMILIES:
        for tuning in TUNINGS[: 2 if family in ("llama", "gpt2") else 1]:
            expected = on_one(folder, family, tuning)
            with handing_out(family == "neox"), reading() as read:
                found = on_two(folder, family, tuning)
            assert list(found.state_dict()) == list(expected.state_dict())
            same = numbers(found)
            for name, tensor in numbers(expected).items():
                assert same[name].equal(tensor), (family, tuning, name)
            learn = {n: p.requires_grad for n, p in expected.named_parameters()}
            assert {n: p.requires_grad for n, p in found.named_parameters()} == learn
            assert bytes_here(found) == pytest.approx(bytes_here(expected) / 2, rel=0.05)
            base = sum(p.numel() for p in on_one(folder, family, Full()).lm.parameters())
            if family != "neox":
                assert sum(read) == pytest.approx(base / 2, rel=0.05)


@contextmanager
def reading() -> Iterator[list[int]]:
    """How many numbers are read of the files, one count a parameter."""
    read: list[int] = []
    find = loading_shards.Files.find

    class Counted:
        def __init__(self, source: Any):
            self.source = source

        def __getitem__(self, rows: slice) -> Tensor:
            read.append(self.source[rows].numel())
            return self.source[rows]

    def counted(*given: Any) -> Any:
        found = find(*given)
        return None if found is None else Counted(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading_shards.Files, "find", counted)
        yield read


@contextmanager
def handing_out(all_of_it: bool) -> Iterator[None]:
    """Makes sure that a whole model is made where its files do not do, and nowhere else."""
    made: list[str] = []
    original = loading_shards.loaded

    def counted(*given: Any) -> Any:
        made.append("whole")
        return original(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading_shards, "loaded", counted)
        yield
    assert made == (["whole"] if all_of_it and dist.get_rank() == 0 else [])


def bytes_here(net: nn.Module) -> int:
    return sum(shards.local(p).numel() * p.element_size() for p in net.parameters())


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    slots = [value for slots in optimizer.state.values() for value in slots.values()]
    return sum(shards.local(t).numel() * t.element_size() for t in slots if t.ndim)


def exactly_what_is_meant_learns_as_on_one_device(rank: int, folder: Path) -> None:
    for family in ("llama", "untied"):
        for tuning in TUNINGS:
            one, two = on_one(folder, family, tuning), on_two(folder, family, tuning)
            before = numbers(two)
            optimizers = optimizer_of(one), optimizer_of(two)
            for _ in range(3):
                assert_close(step(two, optimizers[1], rank), step(one, optimizers[0]))
            assert state_bytes(optimizers[1]) == pytest.approx(
                state_bytes(optimizers[0]) / 2, rel=0.1
            )
            after = numbers(two)
            moved = {name for name in after if not after[name].equal(before[name])}
            named = two.named_parameters(remove_duplicate=False)
            assert moved == {name for name, p in named if p.requires_grad}
            for name, tensor in numbers(one).items():
                assert_close(after[name], tensor, atol=2e-6, rtol=1e-5)


def a_frozen_base_in_bf16_is_spread_too(rank: int, folder: Path) -> None:
    one, two = on_one(folder, "llama", BF16), on_two(folder, "llama", BF16)
    same = numbers(two)
    for name, tensor in numbers(one).items():
        assert same[name].dtype is tensor.dtype
        assert same[name].equal(tensor), name
    assert bytes_here(two) == pytest.approx(bytes_here(one) / 2, rel=0.05)
    optimizers = optimizer_of(one), optimizer_of(two)
    for _ in range(2):
        with autocast("bf16-mixed", CPU):
            step(one, optimizers[0])
            step(two, optimizers[1], rank)
    same = numbers(two)
    for name, tensor in numbers(one).items():
        assert_close(same[name], tensor, atol=4e-3, rtol=0.0)


def recomputed_activations_change_nothing(rank: int, folder: Path) -> None:
    nets = [on_two(folder, "llama", Full()) for _ in range(2)]
    nets[1].lm.activation_checkpointing_enable()
    for net in nets:
        step(net.train(), optimizer_of(net), rank)
    for a, b in zip(*(net.parameters() for net in nets), strict=True):
        assert shards.local(a).equal(shards.local(b))


def gradients_are_summed(rank: int, folder: Path) -> None:
    one, two = on_one(folder, "llama", Full()), on_two(folder, "llama", Full())
    cross_entropy(one(batch()), batch().targets).backward()
    (cross_entropy(two(half(rank)), half(rank).targets) / 2).backward()
    for name, p in one.named_parameters():
        gradient = two.get_parameter(name).grad
        assert (p.grad is None) == (gradient is None)
        if p.grad is not None and gradient is not None:
            assert_close(whole(gradient), p.grad, atol=1e-6, rtol=1e-4)


def every_way_through_the_model_leaves_shards_behind(rank: int, folder: Path) -> None:
    one, two = on_one(folder, "llama", Full()), on_two(folder, "llama", Full())
    with torch.no_grad(), by_transformers():  # as shards are
        assert two(batch()).equal(one(batch()))
        assert two.hidden(batch()).equal(one.hidden(batch()))
        for found, expected in zip(two.plain(batch().ids), one.plain(batch().ids), strict=True):
            assert found.equal(expected)
    assert all(isinstance(p, DTensor) for p in two.parameters())
    assert bytes_here(two) == pytest.approx(bytes_here(one) / 2, rel=0.05)


def a_checkpoint_serves_any_number_of_devices(rank: int, folder: Path) -> None:
    for tuning in TUNINGS:
        one, two = on_one(folder, "llama", tuning), on_two(folder, "llama", tuning)
        optimizers = optimizer_of(one), optimizer_of(two)
        for _ in range(2):
            step(one, optimizers[0])
            step(two, optimizers[1], rank)
        kind = type(tuning).__name__
        of_one, of_two = (folder / f"{kind}.{n}.{rank if n == 1 else ''}" for n in (1, 2))
        checkpoint.save(of_one, state_of(one), one, optimizers[0])
        checkpoint.save(of_two, state_of(two), two, optimizers[1])
        dist.barrier()
        for path, net, optimizer in ((of_one, one, optimizers[0]), (of_two, two, optimizers[1])):
            for fresh in (on_one(folder, "llama", tuning), on_two(folder, "llama", tuning)):
                again = optimizer_of(fresh)
                state = checkpoint.restore(path, fresh, again)
                assert state.step == 2
                for name, p in checkpoint.learned(net).items():
                    q = fresh.get_parameter(name)
                    assert whole(q).equal(whole(p))
                    assert whole(state.best[name]).equal(whole(p))
                    assert isinstance(state.best[name], DTensor) == isinstance(q, DTensor)
                    slots = optimizer.state[p]
                    assert set(again.state[q]) == set(slots)
                    for slot, value in slots.items():
                        assert whole(again.state[q][slot]).equal(whole(value))
        step(two, optimizers[1], rank)
        fresh = on_two(folder, "llama", tuning)
        again = optimizer_of(fresh)
        checkpoint.restore(of_two, fresh, again)
        step(fresh, again, rank)
        for a, b in zip(two.parameters(), fresh.parameters(), strict=True):
            assert shards.local(a).equal(shards.local(b))


def state_of(net: Net) -> checkpoint.State:
    best = {name: p.detach().clone() for name, p in checkpoint.learned(net).items()}
    return checkpoint.State(step=2, best=best)


def what_is_wrong_with_a_model_is_told_by_all_ranks(rank: int, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"lacks 1 of the weights .*layers\.1\.mlp"):
        on_two(folder, "lacking", Full())
    with pytest.raises(ConfigError, match="sees the tokens that come after one"):
        on_two(folder, "looking ahead", Full())


CASES: tuple[Case, ...] = (
    each_rank_reads_its_own_rows,
    exactly_what_is_meant_learns_as_on_one_device,
    a_frozen_base_in_bf16_is_spread_too,
    recomputed_activations_change_nothing,
    gradients_are_summed,
    every_way_through_the_model_leaves_shards_behind,
    a_checkpoint_serves_any_number_of_devices,
    what_is_wrong_with_a_model_is_told_by_all_ranks,
)
