"""The memory of a stage, by arithmetic: what is counted, and what it depends on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from omegaconf import OmegaConf
from toys import Toy, ToyCompletions, setting

from w2sweep.building import build
from w2sweep.engine.runtime import Runtime
from w2sweep.experiment.activations import Pass
from w2sweep.experiment.ladder import HubRung, Ladder
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.memory import Memory, memory
from w2sweep.experiment.prompting import Prompting
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.shape import Shape, shape_of_folder, typical_shape
from w2sweep.experiment.tuning import LinearProbe, Lora
from w2sweep.experiment.weights import Weights
from w2sweep.tasks.wording import Wording

GPU = Runtime(accelerator="gpu", micro_tokens=2048)
RECIPE = Recipe(epochs=1, batch_size=32, max_tokens=512)


def ladder(name: str) -> Ladder:
    node = OmegaConf.load(REPOSITORY / "conf" / "ladder" / f"{name}.yaml")
    return build(OmegaConf.to_container(node, resolve=True), "ladder")


LADDERS = {name: ladder(name) for name in ("gpt2", "olmo", "pythia", "qwen", "smollm")}
RUNGS = [(name, rung) for name in LADDERS for rung in LADDERS[name].rungs]


def on(ladder: str, rung: str, **changes: Any) -> Setting:
    weak = next(iter(LADDERS[ladder].rungs))
    fields = {"ladder": LADDERS[ladder], "weak": weak, "strong": rung, "recipe": RECIPE}
    return setting(**{**fields, **changes})


@pytest.mark.parametrize(("name", "rung"), RUNGS)
def test_the_shapes_of_a_ladder_account_for_its_parameters(name: str, rung: str):
    """Norms and biases are all that they leave out."""
    found = LADDERS[name].rungs[rung]
    assert isinstance(found, HubRung)
    assert found.shape is not None
    assert found.shape.parameters == pytest.approx(found.params, rel=1e-3)
    assert found.shape.parameters < found.params


def test_weights_gradients_and_adamw_take_sixteen_bytes_a_parameter():
    """Qwen3 4B, whose embedding is its unembedding: all of it learns."""
    told = memory(on("qwen", "qwen3-4b").ceiling, GPU)
    assert told.parameters == told.gradients == 4 * 4_022_468_096
    assert told.optimizer == 8 * 4_022_468_096
    assert told.total == 16 * 4_022_468_096 + told.activations
    assert told.logits == 0  # the head of two classes is none over the vocabulary


def test_an_unembedding_that_nobody_asks_learns_nothing():
    rung = LADDERS["qwen"].rungs["qwen3-8b"]
    unembedding = 151_936 * 4096
    told = memory(on("qwen", "qwen3-8b").ceiling, GPU)
    assert told.parameters == 4 * rung.parameters
    assert told.gradients == 4 * (rung.parameters - unembedding)
    asked = memory(on("qwen", "qwen3-8b", task=ToyCompletions()).ceiling, GPU)
    assert asked.gradients == 4 * rung.parameters
    # 32 moves of up to 3 tokens and an end; in fp32, and as probabilities
    assert asked.logits == 32 * 4 * 151_936 * 8


def test_bytes_of_weights_and_optimizers():
    of = {
        name: memory(on("qwen", "qwen3-4b", recipe=replace(RECIPE, **fields)).ceiling, GPU)
        for name, fields in {
            "true": {"precision": "bf16-true"},
            "adafactor": {"precision": "bf16-true", "optimizer": "adafactor"},
            "8bit": {"precision": "bf16-true", "optimizer": "adamw_8bit"},
            "mixed": {"precision": "bf16-mixed"},
        }.items()
    }
    n = 4_022_468_096
    assert of["true"].parameters == of["true"].gradients == 2 * n
    assert of["true"].optimizer == 8 * n
    assert of["adafactor"].optimizer < 0.005 * n
    assert of["8bit"].optimizer == pytest.approx(2 * n * (1 + 4 / 256), rel=1e-3)
    assert of["mixed"].parameters == 4 * n
    assert of["true"].activations < of["mixed"].activations


def test_adapters_take_next_to_nothing_and_a_base_in_bf16_half():
    low, high = (memory(on("qwen", "qwen3-8b", tuning=Lora(base=b)).ceiling, GPU) for b in BASES)
    n = 8_190_735_360
    adapters = 36 * 8 * sum(i + o for i, o in MATRICES)
    assert high.parameters == 4 * n + 4 * adapters
    assert low.parameters == 2 * n + 4 * adapters
    assert low.gradients == high.gradients == 4 * adapters
    assert low.optimizer == 8 * adapters


BASES = ("bf16", "fp32")
MATRICES = [(4096, 4096), (4096, 1024), (4096, 1024), (4096, 4096)] + [(4096, 12_288)] * 3


def test_what_only_reads_needs_its_weights_and_a_layer():
    n = 8_190_735_360
    probe = on("qwen", "qwen3-8b", tuning=LinearProbe(base="bf16")).ceiling
    assert memory(probe, GPU) == Memory()  # what it reads was computed before
    assert probe.features is not None
    read = memory(probe.features, GPU)
    assert (read.parameters, read.gradients, read.optimizer) == (2 * n, 0, 0)
    assert 0 < read.activations < 1e9
    assert memory(Weights(probe), GPU).parameters == 2 * n
    task = Toy(wording=Wording("{text} is", (" poor", " fine")))
    asked = Prompting("zero_shot", CrossEntropy(), shots=0, shows="weak", base="bf16")
    told = memory(asked.student(on("qwen", "qwen3-8b", task=task)), GPU)
    assert told.parameters == 2 * n
    assert told.logits > 0
    assert memory(probe.splits, GPU) == Memory()


def test_shards_divide_what_replicas_each_have():
    stage = on("qwen", "qwen3-14b").ceiling
    one, eight = memory(stage, GPU), memory(stage, GPU, shards=8)
    assert eight.gradients == one.gradients // 8
    assert eight.optimizer == one.optimizer // 8
    # and whole what is computed with: a layer and the embedding
    layer = sum(i * o for i, o in LADDERS["qwen"].rungs["qwen3-14b"].shape.matrices)  # type: ignore[union-attr, attr-defined]
    assert eight.parameters == one.parameters // 8 + 4 * (layer + 151_936 * 5120)
    assert eight.activations == one.activations


def test_activations_are_of_the_tokens_of_one_pass():
    stage = on("gpt2", "gpt2-xl").ceiling
    of = {n: memory(stage, replace(GPU, micro_tokens=n)).activations for n in (512, 1024, 10**6)}
    assert of[1024] == pytest.approx(2 * of[512], rel=1e-6)
    assert of[10**6] == pytest.approx(32 * of[512], rel=1e-6)  # a batch has no more than 32 texts
    assert memory(stage, replace(GPU, micro_tokens=1)).activations == of[512]  # one text is whole
    saving = replace(GPU, gradient_checkpointing=True)
    assert memory(stage, saving).activations < 0.1 * memory(stage, GPU).activations
    on_cpu = memory(stage, replace(GPU, accelerator="cpu")).activations
    assert on_cpu > memory(stage, GPU).activations  # with a matrix of scores


def test_a_layer_of_llama_by_hand():
    """Two norms of three numbers each a unit of the width; queries, keys, values, what attention
    gives; gate, its activation, up, their product: in fp32, of one sequence of two tokens."""
    shape = Shape(width=8, depth=1, heads=2, vocabulary=10, feedforward=20)
    one = Pass(shape, sequences=1, length=2, compute="fp32")
    numbers = 6 * 8 + 4 * 8 + 4 * 20
    mask, logarithms, end = 2, 2, 3 * 8
    assert one.kept == 4 * 2 * (numbers + mask + logarithms + end)


def test_a_folder_tells_its_shape(tmp_path: Path):
    config = {"model_type": "gpt2", "n_embd": 8, "n_layer": 2, "n_head": 2, "vocab_size": 50}
    (tmp_path / "config.json").write_text(json.dumps(config | {"n_positions": 16}))
    assert shape_of_folder(tmp_path) == Shape(8, 2, 2, 50, layers="gpt2", positions=16)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    assert shape_of_folder(tmp_path) is None


@pytest.mark.parametrize("rung", ["qwen3-600m", "qwen3-4b", "qwen3-14b"])
def test_of_a_model_that_nobody_describes_activations_are_guessed_to_a_factor_of_two(rung: str):
    found = LADDERS["qwen"].rungs[rung]
    assert isinstance(found, HubRung)
    assert found.shape is not None
    guessed = typical_shape(found.params)
    known, told = (Pass(shape, 4, 512, "bf16").kept for shape in (found.shape, guessed))
    assert known / 2 < told < 2 * known
