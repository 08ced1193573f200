"""Ladders: what stages hold of a rung, and what a homegrown one reads."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from commands import REPOSITORY
from omegaconf import OmegaConf
from toys import ToyCorpus, rung, setting

from w2sweep.building import build
from w2sweep.engine.stage import identity
from w2sweep.experiment.backbone import HubModel
from w2sweep.experiment.ladder import HomegrownRung, HubRung, Ladder
from w2sweep.experiment.shape import Shape, shape_of_model
from w2sweep.lab.text.world import World
from w2sweep.tasks.text_file import TextFile
from w2sweep.values import ConfigError, Impossible


def folder(path: Path, weights: bytes) -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return path


def test_a_local_model_is_its_content_wherever_it_lies(tmp_path: Path):
    here, there = folder(tmp_path / "a", b"weights"), folder(tmp_path / "b", b"weights")
    (there / "notes.md").write_text("is not read")
    others = folder(tmp_path / "c", b"others")
    of_here, of_there, of_others = (identity(HubModel(str(f))) for f in (here, there, others))
    assert of_here == of_there
    assert of_here != of_others


@pytest.mark.parametrize(
    "name",
    [
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "spiece.model",
        "vocab.txt",
        "modeling_mine.py",
        "code/layers.py",
        "model.safetensors.index.json",
        "shards/model-00001-of-00002.safetensors",
        "tokenizer.bin",
    ],
)
def test_everything_that_is_read_of_a_local_model_is_its_identity(tmp_path: Path, name: str):
    here = folder(tmp_path / "a", b"weights")
    before = identity(HubModel(str(here)))
    (here / name).parent.mkdir(exist_ok=True)
    (here / name).write_text("{}")
    added = identity(HubModel(str(here)))
    (here / name).write_text("{ }")
    changed = identity(HubModel(str(here)))
    assert len({str(before), str(added), str(changed)}) == 3


@pytest.mark.parametrize(
    "name", ["README.md", "generation_config.json", ".git/config", "pytorch_model.bin", "a.gguf"]
)
def test_what_is_not_read_of_a_local_model_is_not(tmp_path: Path, name: str):
    here = folder(tmp_path / "a", b"weights")
    before = identity(HubModel(str(here)))
    (here / name).parent.mkdir(exist_ok=True)
    (here / name).write_text("{}")
    assert identity(HubModel(str(here))) == before


def test_a_local_model_without_weights_is_refused_before_anything_runs(tmp_path: Path):
    here = folder(tmp_path / "a", b"weights")
    (here / "model.safetensors").rename(here / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"a has no model\.safetensors.*by save_pretrained"):
        identity(HubModel(str(here)))
    assert identity(HubModel(str(here), scratch=True))  # needs none


def test_a_local_model_has_the_shards_that_its_index_names(tmp_path: Path):
    here = folder(tmp_path / "a", b"weights")
    (here / "model.safetensors").unlink()
    index, shard = here / "model.safetensors.index.json", here / "shards" / "one.safetensors"
    index.write_text(json.dumps({"weight_map": {"a": "shards/one.safetensors"}}))
    with pytest.raises(ConfigError, match=r"index.json names shards/one.safetensors, which is not"):
        identity(HubModel(str(here)))
    shard.parent.mkdir()
    shard.write_bytes(b"weights")
    before = identity(HubModel(str(here)))
    shard.write_bytes(b"others")
    assert identity(HubModel(str(here))) != before
    for broken in ("[]", "{", '{"weight_map": 3}'):
        index.write_text(broken)
        with pytest.raises(ConfigError, match="is no index of weights"):
            identity(HubModel(str(here)))


def test_a_model_of_the_hub_is_its_name_and_revision_whatever_its_rung_is_called():
    plain = identity(HubModel("gpt2"))
    assert plain == identity(HubModel("gpt2", rung="small"))
    changes = [{"model": "gpt2-xl"}, {"revision": "main"}, {"scratch": True}]
    for change in changes:
        assert plain != identity(replace(HubModel("gpt2"), **change))


def test_a_hub_rungs_backbone_is_what_transformers_loads_and_no_more():
    rung = HubRung(1e-4, "gpt2", params=10, pretrain_tokens=100, revision="main")
    assert rung.backbone("small") == HubModel("gpt2", "main")
    assert rung.untrained().backbone("small") == HubModel("gpt2", "main", scratch=True)
    assert rung.compute == 6 * 10 * 100
    assert rung.untrained().compute == 0


def test_a_homegrown_rungs_pretraining_holds_every_choice_about_it():
    fields = {"tokens": 7, "pretrain_lr": 0.5, "pretrain_batch": 3, "pretrain_warmup": 2}
    rung = HomegrownRung(lr=1.0, width=8, depth=1, heads=2, precision="bf16-mixed", **fields)
    recipe = rung.pretraining
    found = (recipe.tokens, recipe.lr, recipe.batch, recipe.warmup, recipe.precision)
    assert found == (7, 0.5, 3, 2, "bf16-mixed")


def test_the_width_of_a_head_is_even():
    with pytest.raises(ConfigError, match="width 10 over 2 heads: the width of a head must be"):
        rung(10)


def test_a_homegrown_ladder_may_read_a_file(tmp_path: Path):
    file = tmp_path / "text.txt.gz"
    file.write_bytes(gzip.compress(b"one document\n\n  another one \n"))
    s = setting()
    ladder = replace(s.ladder, corpus=str(file))
    assert isinstance(ladder.corpus, TextFile)
    assert list(ladder.corpus.documents()) == ["one document", "another one"]
    before, after = s.pretrained("l"), replace(s, ladder=ladder).pretrained("l")
    assert before is not None
    assert after is not None
    assert after.text.corpus == ladder.corpus
    assert after.key != before.key


def test_a_ladder_may_ask_for_more_of_a_text_that_is_written_on_the_spot():
    ladder = replace(setting().ladder, corpus_tokens=70)
    world = World(seed=3, tokens=50)
    assert ladder.reads(world) == World(seed=3, tokens=70)
    assert setting().ladder.reads(world) == world
    with pytest.raises(ConfigError, match="70 tokens of ToyCorpus, which has a length of its own"):
        ladder.reads(ToyCorpus())


def test_games_are_read_with_every_half_move_numbered(tmp_path: Path):
    file = tmp_path / "games.pgn"
    file.write_text('[Event "?"]\n\n1. d4 Nf6 2. c4 *\n')
    assert list(TextFile(str(file)).documents()) == ["1. d4 1... Nf6 2. c4"]


def test_a_file_that_is_not_there_is_told_at_the_door():
    with pytest.raises(ConfigError, match=r"no file /nowhere/text.txt"):
        Ladder("mine", {}, corpus="/nowhere/text.txt")  # type: ignore[arg-type]


def test_a_homegrown_rung_needs_a_tokenizer():
    with pytest.raises(ConfigError, match=r"ladder mine has homegrown rungs but no tokenizer"):
        Ladder("mine", {"s": rung(8)})


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "qwen3"])
def test_a_rung_counts_the_parameters_of_the_model_that_its_configuration_makes(
    kind: str, tmp_path: Path
):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    size = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8}
    ends = {"bos_token_id": 0, "eos_token_id": 0, "vocab_size": 500}
    if kind != "gpt2":  # which has a name of its own for it
        ends["intermediate_size"] = 640
    config = AutoConfig.for_model(kind, **size, **ends)
    config.save_pretrained(tmp_path)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    exact = sum(p.numel() for p in model.parameters())
    rung = HubRung(lr=1e-3, model=str(tmp_path), params=7, pretrain_tokens=0)
    assert rung.size == 7  # what the ladder says stays what it says
    assert rung.counted == pytest.approx(exact, rel=5e-3)  # without norms, biases


def test_a_model_of_the_hub_is_counted_where_its_configuration_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert shape_of_model("owner/name", "abc") is None
    assert shape_of_model("no name: of the hub") is None
    snapshot = tmp_path / "models--owner--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 10}
    (snapshot / "config.json").write_text(json.dumps(sizes))
    found = shape_of_model("owner/name", "abc")
    # queries, keys, values and outputs 8 x 8; gate, up and down 8 x 32; the embedding 10 x 8
    assert found
    assert found.parameters == 2 * (4 * 64 + 3 * 256) + 80


def test_what_is_pretrained_here_is_counted_as_it_is():
    assert rung(8).counted is None


@pytest.mark.parametrize(
    ("name", "sizes"),
    [  # by the architectures: all matrices, norms and biases of the layers, and the final norm
        ("pythia", {"14m": 1_189_888, "31m": 4_739_072, "70m": 18_915_328, "12b": 11_327_027_200}),
        ("gpt2", {"gpt2": 85_056_000}),
        ("qwen", {"600m": 440_467_456, "8b": 6_946_075_648}),
        ("smollm", {"135m": 106_203_456, "1700m": 1_610_713_088}),
        # a layer has 3,540,096, the final norm 576
        ("smollm_cut", {"-4": 14_160_960, "-10": 35_401_536, "-30": 106_203_456}),
        ("olmo", {"1b": 1_073_874_944, "32b": 31_206_675_456}),
    ],
)
def test_sizes_and_compute_are_without_embeddings(name: str, sizes: dict[str, int]):
    rungs = built(name).rungs
    for end, expected in sizes.items():
        [rung] = [rung for rung_name, rung in rungs.items() if rung_name.endswith(end)]
        assert rung.size == expected
        assert rung.compute == 6.0 * expected * rung.tokens_read


def test_pythia_spans_as_much_as_its_layers_do():
    rungs = built("pythia").rungs
    assert rungs["pythia-1400m"].compute / rungs["pythia-70m"].compute == pytest.approx(64, abs=0.2)


def built(name: str) -> Ladder:
    """The ladder of a file, of which one tells the model of others by the first rung's."""
    config = OmegaConf.create({"ladder": OmegaConf.load(REPOSITORY / f"conf/ladder/{name}.yaml")})
    return build(OmegaConf.to_container(config, resolve=True)["ladder"], "ladder")  # type: ignore[index]


def test_embeddings_are_said_or_follow_from_the_shape():
    rung = HubRung(lr=1e-4, model="a/b", params=100, pretrain_tokens=1)
    assert (rung.size, rung.parameters) == (100, 100)  # nobody says how many are embeddings
    assert replace(rung, embedding_params=30).size == 70
    shape = Shape(width=2, depth=3, heads=1, vocabulary=7, tied=False, positions=5)
    assert replace(rung, shape=shape).size == 100 - 2 * 7 * 2 - 5 * 2
    assert replace(rung, shape=shape, embedding_params=0).size == 100
    assert replace(rung, shape=replace(shape, vocabulary=99)).size == 100  # of another model
    with pytest.raises(ConfigError, match="embedding_params: found 100, expected fewer than all"):
        replace(rung, embedding_params=100)
    with pytest.raises(Impossible, match=r"^layers: found 4, but a/b has 3: ask for 3 at most"):
        replace(rung, shape=shape, layers=4)


@pytest.mark.parametrize(
    ("part", "says"),
    [("vision_config", "multimodal .it has a vision_config."), ("text_config", "of several parts")],
)
def test_models_that_read_more_than_text_are_refused_before_anything_runs(
    part: str, says: str, tmp_path: Path
):
    config = {"model_type": "gemma3", part: {"hidden_size": 8}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    rung = HubRung(lr=1e-4, model=str(tmp_path), params=9, pretrain_tokens=1)
    with pytest.raises(
        ConfigError, match=rf"^gemma \(gemma3\) is {says}.*of text alone: use"
    ) as it:
        rung.backbone("gemma")
    assert len(str(it.value).splitlines()) == 1
