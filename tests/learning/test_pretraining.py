"""Pretraining, and training on: what moves, where it starts, in which precision."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from toys import ToyCorpus, killed_after, pretrained_store, run, rung, setting
from transformers import GPT2Config, GPT2LMHeadModel

from w2sweep.engine.job import Circumstances
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.store import Store
from w2sweep.experiment.backbone import HubModel, Pretraining, Tokenizer
from w2sweep.experiment.ladder import HomegrownRung
from w2sweep.experiment.stages import Adapt, OwnTokenizer, Text
from w2sweep.learning.batches import Batch
from w2sweep.learning.loading import load
from w2sweep.learning.model import Net
from w2sweep.learning.tokens import train_tokenizer

BRIEF = Pretraining(tokens=2_000, lr=1e-2, batch=8)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


def pretraining(of: str | HomegrownRung) -> Adapt:
    stage = setting().pretrained(of)
    assert stage is not None
    return stage


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def moved(before: Path, after: Path) -> set[str]:
    """Names of the parameters that differ; all of them have to be in both folders."""
    old, new = weights(before), weights(after)
    assert old.keys() == new.keys()
    return {name for name in old if not torch.equal(old[name], new[name])}


def test_pretraining_lowers_the_heldout_loss(shelf: Store, tmp_path: Path):
    run(pretraining(rung(24).untrained()), tmp_path, shelf)
    untrained, trained = (
        json.loads((folder / "pretrain.json").read_text())
        for folder in (tmp_path, shelf.get(pretraining("l")))
    )
    assert trained["heldout_loss"] < untrained["heldout_loss"] - 1
    assert (untrained["tokens"], trained["tokens"]) == (0, 40_000 // (8 * 24) * 8 * 24)


@pytest.mark.parametrize(("asked", "steps"), [(10, 10), (100, 20)])
def test_pretraining_warms_up_for_so_many_steps_but_for_a_tenth_of_them_at_most(
    shelf: Store, tmp_path: Path, asked: int, steps: int
):
    run(pretraining(replace(rung(8), pretrain_warmup=asked)), tmp_path, shelf)  # 208 steps
    rows = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    fastest = max(rows, key=lambda row: row["lr"])
    # a row is written every fourth step or so
    assert fastest["step"] == pytest.approx(steps, abs=4)
    assert fastest["lr"] > 0.9 * rung(8).pretrain_lr


@pytest.mark.parametrize("bf16", ["yes", "no"])
def test_mixed_precision_is_for_sweeps_that_gain_from_it_and_measures_in_fp32(
    shelf: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bf16: str
):
    stage = pretraining(replace(rung(8, tokens=2_000), precision="bf16-mixed"))
    seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
    states = Net.fused_states

    def watched(net: Net, batch: Batch) -> Tensor | None:
        query = net.lm.base_model.layers[0].self_attn.q_proj  # type: ignore[union-attr, index]
        seen[net.training].add(query(torch.zeros(1, 8)).dtype)
        return states(net, batch)

    monkeypatch.setattr(Net, "fused_states", watched)
    facts = run(stage, tmp_path, shelf, bf16=bf16)
    expected = torch.bfloat16 if bf16 == "yes" else torch.float32
    assert seen == {True: {expected}, False: {torch.float32}}
    assert facts["precision"] == ("bf16-mixed" if bf16 == "yes" else "32-true")
    assert {p.dtype for p in weights(tmp_path).values()} == {torch.float32}


def test_the_record_says_which_precision_it_was(tmp_path: Path):
    fast = replace(rung(8, tokens=2_000), precision="bf16-mixed")
    computed = []
    for bf16 in ("yes", "no"):
        shelf = Store(tmp_path / bf16, Circumstances(Runtime(accelerator="cpu", bf16=bf16)))
        shelf.ensure(pretraining(fast))
        record = json.loads((shelf.path(pretraining(fast)) / "stage.json").read_text())
        computed.append(record["computed"]["precision"])
    assert computed == ["bf16-mixed", "32-true"]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_killed_pretraining_resumes(shelf: Store, tmp_path: Path, precision):
    stage = pretraining(replace(rung(8, tokens=20_000), precision=precision))
    run(stage, tmp_path / "whole", shelf, bf16="yes")
    with killed_after(steps=77):
        run(stage, tmp_path / "killed", shelf, bf16="yes", checkpoint_seconds=1e-9)
    assert (tmp_path / "killed" / "checkpoint.safetensors").exists()
    run(stage, tmp_path / "killed", shelf, bf16="yes")
    for name in ("model.safetensors", "curves.jsonl"):
        whole, resumed = (tmp_path / x / name for x in ("whole", "killed"))
        assert whole.read_bytes() == resumed.read_bytes()


def half(file: Path) -> None:
    file.write_bytes(b"\x80\0\0\0\0\0\0\0{")


def without_metadata(file: Path) -> None:
    save_file(load_file(file), file)


def with_metadata(file: Path, **changes: object) -> None:
    with safe_open(file, "pt") as opened:
        said = opened.metadata()
    said["state"] = json.dumps({**json.loads(said["state"]), **changes})
    save_file(load_file(file), file, metadata=said)


def other_field(file: Path) -> None:
    with_metadata(file, momentum=0.9)


def other_type(file: Path) -> None:
    with_metadata(file, step="77")


def other_network(file: Path) -> None:
    with safe_open(file, "pt") as opened:
        said = opened.metadata()
    tensors = {name: t for name, t in load_file(file).items() if "layers.0" not in name}
    save_file(tensors, file, metadata=said)


@pytest.mark.parametrize("spoil", [half, without_metadata, other_field, other_type, other_network])
def test_a_checkpoint_that_cannot_be_used_costs_no_more_than_its_training(
    shelf: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None]
):
    stage = pretraining(rung(8, tokens=4_000))
    run(stage, tmp_path / "whole", shelf)
    with killed_after(steps=5):
        run(stage, tmp_path / "killed", shelf, checkpoint_seconds=1e-9)
    spoil(tmp_path / "killed" / "checkpoint.safetensors")
    run(stage, tmp_path / "killed", shelf)
    assert "cannot be used (" in caplog.text
    assert moved(tmp_path / "whole", tmp_path / "killed") == set()


def test_without_tokens_a_model_stays_what_it_was(shelf: Store, tmp_path: Path):
    before = pretraining("s")
    run(Adapt(before.backbone, before, before.text, replace(BRIEF, tokens=0), 1), tmp_path, shelf)
    assert moved(shelf.get(before), tmp_path) == set()


def test_a_pretrained_model_is_trained_on(shelf: Store, tmp_path: Path):
    before = pretraining("s")
    run(Adapt(before.backbone, before, before.text, BRIEF, 1), tmp_path, shelf)
    assert moved(shelf.get(before), tmp_path) == set(weights(tmp_path))
    losses = [json.loads((f / "pretrain.json").read_text()) for f in (shelf.get(before), tmp_path)]
    assert losses[1]["heldout_loss"] < losses[0]["heldout_loss"] + 0.3  # from scratch: over 1 more


@pytest.fixture
def hub_model(tmp_path: Path) -> HubModel:
    """GPT-2 in small, as a user may have it in a folder."""
    tokenizer = train_tokenizer(Tokenizer("bpe", 300), list(ToyCorpus().documents()))
    torch.manual_seed(0)
    config = GPT2Config(
        n_embd=16,
        n_layer=2,
        n_head=2,
        vocab_size=len(tokenizer),
        n_positions=32,
        resid_pdrop=0.5,
        bos_token_id=1,
        eos_token_id=1,
    )
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "hub")
    tokenizer.save_pretrained(tmp_path / "hub")
    return HubModel(str(tmp_path / "hub"))


def test_a_model_of_the_hub_is_trained_on_in_its_own_tokens(hub_model: HubModel, tmp_path: Path):
    text = Text(ToyCorpus(), OwnTokenizer(hub_model, context=24))
    stage = Adapt(hub_model, None, text, BRIEF, seed=0)
    shelf = Store(tmp_path / "store", Circumstances(Runtime(accelerator="cpu", bf16="no")))
    shelf.ensure(stage)
    folder, before = shelf.get(stage), Path(hub_model.model)
    assert moved(before, folder) == set(weights(folder))
    assert (folder / "tokenizer.json").read_text() == (before / "tokenizer.json").read_text()
    assert stage.role == "adapt"
    again = load(stage.backbone, folder, None, 0)
    assert again.lm.config.n_positions == 32


def test_windows_are_no_longer_than_what_the_model_was_made_for(
    hub_model: HubModel, tmp_path: Path
):
    text = Text(ToyCorpus(), OwnTokenizer(hub_model, context=48))  # it has 32 positions
    shelf = Store(tmp_path / "store")
    stage = Adapt(hub_model, None, text, BRIEF, seed=0)
    shelf.ensure(stage)
    facts = json.loads((shelf.get(stage) / "pretrain.json").read_text())
    assert facts["tokens"] == 2_000 // (8 * 32) * 8 * 32


def test_documents_are_kept_apart_whether_or_not_the_tokenizer_marks_their_beginning(
    hub_model: HubModel, tmp_path: Path
):
    """Tokenizers of the hub, GPT-2's for one, often add nothing to a text."""
    plain = json.loads((Path(hub_model.model) / "tokenizer.json").read_text())
    plain["post_processor"] = None
    (Path(hub_model.model) / "tokenizer.json").write_text(json.dumps(plain))
    text = Text(ToyCorpus(), OwnTokenizer(hub_model, context=24))
    shelf = Store(tmp_path / "store")
    shelf.ensure(text)
    parts = [np.load(shelf.get(text) / f"{name}.npy") for name in ("train", "heldout")]
    end = 1
    assert (np.concatenate(parts) == end).sum() == 300
