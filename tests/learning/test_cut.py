"""Cut models: the first layers of a model, its final norm and its head, are an ordinary rung."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file
from torch.testing import assert_close
from toys import ToyCorpus, outspoken, setting, store
from transformers import (
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    Olmo2Config,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from w2sweep.engine.stage import identity
from w2sweep.experiment.backbone import HubModel, Tokenizer
from w2sweep.experiment.generative import Generative, Reading
from w2sweep.experiment.ladder import HubRung, Ladder, Rung
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.stages import Adapt
from w2sweep.experiment.tuning import LinearProbe, Lora
from w2sweep.experiment.weights import Weights
from w2sweep.learning.loading import cut, described, load, made, source_of
from w2sweep.learning.loading_shards import Files
from w2sweep.learning.model import Net, unembedding
from w2sweep.learning.tokens import train_tokenizer
from w2sweep.values import Impossible

DEPTH = 3
ENDS: dict[str, Any] = {"vocab_size": 300, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
SIZES: dict[str, Any] = {
    **ENDS,
    "hidden_size": 16,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
}
FAMILIES: dict[str, PreTrainedConfig] = {
    "gemma2": Gemma2Config(**SIZES, num_key_value_heads=2, head_dim=8),  # every other layer slides
    "gpt2": GPT2Config(**ENDS, n_embd=16, n_layer=DEPTH, n_head=2, n_positions=64),
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
    "neox": GPTNeoXConfig(**SIZES),
    "olmo2": Olmo2Config(**SIZES, num_key_value_heads=2),
    "qwen3": Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=8),
}
IDS = torch.tensor([[5, 6, 7, 8, 9], [20, 21, 22, 23, 24]])


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(Tokenizer("bpe", vocabulary=300), list(ToyCorpus().documents()))


@pytest.fixture(scope="module")
def folders(
    tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A whole model of each family."""
    found = {}
    for family, config in FAMILIES.items():
        lm = outspoken(config)
        found[family] = tmp_path_factory.mktemp(family)
        lm.save_pretrained(found[family])
        tokenizer.save_pretrained(found[family])
    return found


def loaded(folder: Path, layers: int | None) -> Net:
    return load(HubModel(str(folder), layers=layers), None, None, seed=0).eval()


def norm_of(lm: Any) -> torch.nn.Module:
    body = lm.base_model
    names = ("norm", "ln_f", "final_layer_norm")
    return next(getattr(body, name) for name in names if hasattr(body, name))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cut_model_is_the_whole_one_read_behind_that_layer(family: str, folders: dict[str, Path]):
    """Its final states are the final norm of what the whole model holds behind that layer, as
    Transformers gives it, and its logits the whole model's head of those."""
    whole = loaded(folders[family], None)
    with torch.no_grad():
        behind = whole.lm(input_ids=IDS, output_hidden_states=True, use_cache=False).hidden_states
        expected = norm_of(whole.lm)(behind[2])
        states, _ = loaded(folders[family], 2).plain(IDS)
    assert len(behind) == DEPTH + 1
    assert_close(states, expected)
    assert not torch.allclose(states, whole.plain(IDS)[0], atol=1e-2)
    cut_head = unembedding(loaded(folders[family], 2).lm)
    assert_close(cut_head.weight, unembedding(whole.lm).weight)


@pytest.mark.parametrize("family", FAMILIES)
def test_all_layers_are_the_model(family: str, folders: dict[str, Path]):
    with torch.no_grad():
        named, whole = (loaded(folders[family], layers).plain(IDS) for layers in (DEPTH, None))
    assert_close(named, whole)


def test_a_rung_of_layers_counts_those_alone(folders: dict[str, Path]):
    """Of the toy Llama a layer has queries, keys, values and outputs of 16 x 16, three matrices of
    16 x 24, and two norms of 16; the embedding is 300 x 16."""
    layer, embedding = 4 * 16 * 16 + 3 * 16 * 24 + 2 * 16, 300 * 16
    cut = loaded(folders["llama"], 2).lm
    assert sum(p.numel() for p in cut.parameters()) == 2 * layer + 16 + embedding
    given = {"model": str(folders["llama"]), "pretrain_tokens": 10, "layers": 2}
    rung = HubRung(lr=1e-3, params=2 * layer + 16 + embedding, embedding_params=embedding, **given)
    assert rung.size == 2 * layer + 16
    assert rung.compute == 6 * (2 * layer + 16) * 10
    assert rung.counted == 2 * (layer - 2 * 16) + embedding  # all but the norms
    assert rung.backbone("two").label == "two"


def test_layers_are_a_part_of_the_identity_and_of_whole_models_there_is_none(
    folders: dict[str, Path],
):
    whole = HubModel(str(folders["llama"]))
    assert identity(whole) != identity(replace(whole, layers=2))
    assert identity(replace(whole, layers=1)) != identity(replace(whole, layers=2))
    assert "layers" not in str(identity(HubModel("openai-community/gpt2")))


def test_more_layers_than_there_are_is_impossible(folders: dict[str, Path]):
    with pytest.raises(Impossible, match=r"^layers: found 4, but deep has 3: ask for 3 at most"):
        HubModel(str(folders["gpt2"]), layers=4, rung="deep")
    deep = HubModel("owner/deep", layers=4)  # whose configuration is known when it is loaded
    with pytest.raises(Impossible, match=r"found 4, but deep \(4 layers\) has 3"):
        described(deep, folders["gpt2"])


def test_a_model_without_layers_cannot_be_cut():
    config = PreTrainedConfig()
    with pytest.raises(Impossible, match=r"mine \(\) does not say how many layers it has"):
        cut(config, 1, "mine")


@pytest.mark.parametrize("family", FAMILIES)
def test_ranks_read_their_rows_of_a_cut_model_from_the_files_of_the_whole(
    family: str, folders: dict[str, Path]
):
    backbone = HubModel(str(folders[family]), layers=1)
    _, config = described(backbone, None)
    with init_empty_weights():
        lm = made(backbone, config, "fp32")
    lm.tie_weights()
    files = Files.of(source_of(backbone, None), lm)
    assert files is not None
    layer = {name: p for name, p in lm.named_parameters() if ".0." in name}
    assert layer
    for name, p in layer.items():
        assert files.find([name], p) is not None


def test_it_learns_and_is_written_as_an_ordinary_model_of_its_layers(
    folders: dict[str, Path], tmp_path: Path
):
    """Finetuning moves every layer that it has, and what is saved has no others."""
    rungs: dict[str, Rung] = {
        name: HubRung(1e-2, str(folders["llama"]), params=9, pretrain_tokens=9, layers=layers)
        for name, layers in (("one", 1), ("two", 2))
    }
    s = setting(ladder=Ladder("cut", rungs), weak="one", strong="two")
    shelf = store(tmp_path / "store")
    weights = Weights(s.ceiling)
    shelf.ensure(weights)
    saved = load_file(shelf.path(weights) / "model.safetensors")
    before = load_file(folders["llama"] / "model.safetensors")
    assert {name for name in before if ".layers.2." in name} == set(before) - set(saved)
    still = [n for n in saved if ".layers." in n and torch.equal(saved[n], before[n])]
    assert still == []
    again = load(s.ceiling.backbone, shelf.path(weights), s.task.head, seed=0)
    assert len(again.lm.model.layers) == 2
    assert_close(again.lm.state_dict()["model.norm.weight"], saved["model.norm.weight"])


@pytest.mark.parametrize("tuning", [Lora(rank=2), LinearProbe()])
def test_adapters_and_probes_are_on_its_layers_alone(
    tuning: Lora | LinearProbe, folders: dict[str, Path], tmp_path: Path
):
    rung = HubRung(1e-2, str(folders["neox"]), params=9, pretrain_tokens=9, layers=1)
    whole = replace(rung, layers=None)
    s = setting(ladder=Ladder("cut", {"one": rung, "all": whole}), weak="one", strong="all")
    s = replace(s, tuning=tuning)
    shelf = store(tmp_path)
    shelf.ensure(s.weak_model, s.ceiling)
    supervisor, ceiling = (shelf.get(m).answers["test"] for m in (s.weak_model, s.ceiling))
    assert not np.allclose(supervisor, ceiling)


def test_generative_students_read_with_the_layers_that_they_have(
    folders: dict[str, Path], tmp_path: Path
):
    rung = HubRung(1e-2, str(folders["llama"]), params=9, pretrain_tokens=9, layers=1)
    s = setting(ladder=Ladder("cut", {"one": rung, "two": replace(rung, layers=2)}))
    s = replace(s, weak="one", strong="two")
    reading = Reading(epochs=1, lr_scale=1.0, batch=8)
    student = Generative("generative", CrossEntropy(), reading).student(s)
    shelf = store(tmp_path)
    shelf.ensure(student)
    assert isinstance(student.init, Adapt)
    read = load_file(shelf.path(student.init) / "model.safetensors")
    assert {name.split(".")[2] for name in read if ".layers." in name} == {"0", "1"}
