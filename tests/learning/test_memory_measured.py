"""The memory of a stage: what is estimated, against what torch hands out."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from measuring import Living
from torch import Tensor
from toys import by_transformers, job, pretrained_store, run, setting
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from w2sweep.engine.runtime import Runtime
from w2sweep.engine.store import Store
from w2sweep.experiment.activations import Pass
from w2sweep.experiment.backbone import Pretraining, SmallLlama
from w2sweep.experiment.ladder import HubRung, Ladder
from w2sweep.experiment.memory import memory
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.shape import shape_of_folder
from w2sweep.experiment.stages import Adapt, Finetune
from w2sweep.experiment.tuning import Full, Lora, Tuning
from w2sweep.learning.batches import Batch, last_tokens
from w2sweep.learning.hardware import autocast
from w2sweep.learning.optimizers import optimizer_of
from w2sweep.learning.subjects import subject_of
from w2sweep.learning.tuned import parameter_groups

SEQUENCES, LENGTH, WIDTH, DEPTH, INNER = 4, 64, 64, 4, 256
CONFIGS: dict[str, Callable[[int], PreTrainedConfig]] = {
    "llama": lambda vocabulary: LlamaConfig(**llama(vocabulary)),
    "qwen3": lambda vocabulary: Qwen3Config(
        **llama(vocabulary), head_dim=32, tie_word_embeddings=False
    ),
    "pythia": lambda vocabulary: GPTNeoXConfig(**llama(vocabulary), tie_word_embeddings=False),
    "gpt2": lambda vocabulary: GPT2Config(
        vocab_size=vocabulary, n_embd=WIDTH, n_layer=DEPTH, n_head=4, n_positions=LENGTH
    ),
}


def llama(vocabulary: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": INNER,
        "max_position_embeddings": LENGTH,
    }


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


@pytest.fixture(scope="module")
def rungs(shelf: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, HubRung]:
    """A rung of each family, in a folder with the toys' tokenizer."""
    pretrained = setting().pretrained("l")
    assert pretrained is not None
    tokens, found = shelf.get(pretrained), {}
    for family, config in CONFIGS.items():
        folder = tmp_path_factory.mktemp(family)
        torch.manual_seed(0)
        lm = AutoModelForCausalLM.from_config(config(600))
        lm.save_pretrained(folder)
        for file in tokens.glob("tokenizer*"):
            (folder / file.name).write_bytes(file.read_bytes())
        params = sum(p.numel() for p in lm.parameters())
        found[family] = HubRung(lr=1e-3, model=str(folder), params=params, pretrain_tokens=0)
    return found


@dataclass
class Measured:
    """Bytes of a step of training."""

    parameters: int
    gradients: int
    optimizer: int
    kept: int
    peak: int
    of_gradients: list[Tensor]


def finetuning(rung: HubRung, tuning: Tuning, **recipe: Any) -> Finetune:
    made = Recipe(epochs=1, batch_size=SEQUENCES, max_tokens=LENGTH, **recipe)
    s = setting(ladder=Ladder("hub", {"s": rung, "l": rung}), tuning=tuning, recipe=made)
    return s.ceiling


def measured(of: Finetune, shelf: Store, folder: Path, runtime: Runtime) -> Measured:
    """One step on random tokens, forward and backward as in training, by Transformers' modules."""
    with by_transformers():
        return measured_here(of, shelf, folder, runtime)


def measured_here(of: Finetune, shelf: Store, folder: Path, runtime: Runtime) -> Measured:
    """The same, by what is written out here where it is."""
    shelf.ensure(of.splits)
    with job(folder, of, {of.splits: shelf.get(of.splits)}, runtime) as made:
        net = subject_of(of, shelf.get(of.splits), made).net.train()
    torch.manual_seed(0)
    torch.nn.init.normal_(net.get_parameter("own_head.weight"))  # else nothing has a gradient
    ids = torch.randint(600, (SEQUENCES, LENGTH))
    mask = torch.ones_like(ids)
    batch = Batch(ids, mask, last_tokens(mask), torch.tensor([[1.0, 0.0]] * SEQUENCES))
    known = [*net.parameters(), *net.buffers(), *batch]
    with Living(known) as living, autocast(of.precision, torch.device("cpu")):
        logits = net(batch)
        kept = living.now
        torch.nn.functional.cross_entropy(logits, batch.targets).backward()
    learned = [p for p in net.parameters() if p.grad is not None]
    groups = [{**g, "lr": 1e-3} for g in parameter_groups(net, 1e-3)]
    gradients = [p.grad.clone() for p in learned if p.grad is not None]
    optimizer = optimizer_of(of.recipe.optimizer, groups, (0.9, 0.98), 0.0)
    optimizer.step()
    slots = [slot for p in learned for slot in optimizer.state[p].values()]
    state = [slot for slot in slots if isinstance(slot, Tensor)]
    return Measured(
        parameters=size(list(net.parameters())),
        gradients=size(gradients),
        optimizer=size(state),
        kept=kept,
        peak=living.peak,
        of_gradients=gradients,
    )


def size(tensors: list[Any]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


LORA = Lora(rank=8)
has_8bit = importlib.util.find_spec("bitsandbytes") is not None
CHOICES = {
    "fp32": (Full(), {}),
    "mixed": (Full(), {"precision": "bf16-mixed"}),
    "bf16": (Full(), {"precision": "bf16-true", "optimizer": "adafactor"}),
    "lora": (LORA, {}),
    "lora bf16": (replace(LORA, base="bf16"), {}),
    "lora mixed": (LORA, {"precision": "bf16-mixed"}),
    "8bit": (Full(), {"precision": "bf16-true", "optimizer": "adamw_8bit"}),
}
CASES = [("llama", c) for c in CHOICES] + [("gpt2", c) for c in CHOICES if c != "8bit"]
CASES += [("qwen3", "fp32"), ("qwen3", "lora bf16"), ("pythia", "bf16"), ("pythia", "mixed")]


@pytest.mark.parametrize(("family", "choice"), CASES)
def test_what_is_estimated_is_what_is_taken(
    shelf: Store, rungs: dict[str, HubRung], tmp_path: Path, family: str, choice: str
):
    if choice == "8bit" and not has_8bit:
        pytest.skip("bitsandbytes is not installed")
    tuning, recipe = CHOICES[choice]
    of, runtime = finetuning(rungs[family], tuning, **recipe), Runtime(accelerator="cpu")
    told, found = memory(of, runtime), measured(of, shelf, tmp_path, runtime)
    state = found.parameters + found.gradients + found.optimizer
    assert told.parameters + told.gradients + told.optimizer == pytest.approx(state, rel=0.01)
    assert told.activations == pytest.approx(found.peak, rel=0.1)


def test_layers_that_are_written_out_take_no_more(
    shelf: Store, rungs: dict[str, HubRung], tmp_path: Path
):
    of, runtime = finetuning(rungs["gpt2"], Full()), Runtime(accelerator="cpu")
    told, found = memory(of, runtime), measured_here(of, shelf, tmp_path, runtime)
    assert 0.7 * told.activations < found.peak < told.activations


@pytest.mark.parametrize("family", CONFIGS)
def test_what_is_kept_for_the_backward_pass_was_counted_well(
    shelf: Store, rungs: dict[str, HubRung], tmp_path: Path, family: str
):
    """To a twentieth, with attention as it is computed on CPUs."""
    shape = shape_of_folder(Path(rungs[family].model))
    assert shape is not None
    for precision, compute in (("32-true", "fp32"), ("bf16-true", "bf16")):
        of = finetuning(rungs[family], Full(), precision=precision)
        found = measured(of, shelf, tmp_path, Runtime(accelerator="cpu"))
        told = Pass(shape, SEQUENCES, LENGTH, compute, fused=False)  # type: ignore[arg-type]
        assert told.kept == pytest.approx(found.kept, rel=0.05)


# --- activations that are computed again -----------------------------------------------------

RECOMPUTED = [("llama", c) for c in ("fp32", "mixed", "bf16", "lora", "lora bf16")]
RECOMPUTED += [("gpt2", "fp32"), ("gpt2", "lora bf16")]


@pytest.mark.parametrize(("family", "choice"), RECOMPUTED)
def test_recomputing_takes_less_memory_and_gives_the_same_gradients(
    shelf: Store, rungs: dict[str, HubRung], tmp_path: Path, family: str, choice: str
):
    """Of four layers the activations of one are kept at a time, and the inputs of all."""
    tuning, recipe = CHOICES[choice]
    of = finetuning(rungs[family], tuning, **recipe)
    plain = Runtime(accelerator="cpu")
    saving = replace(plain, gradient_checkpointing=True)
    whole, less = (measured(of, shelf, tmp_path, runtime) for runtime in (plain, saving))
    assert less.peak < 0.5 * whole.peak
    assert len(less.of_gradients) == len(whole.of_gradients) > 0
    assert all(map(torch.equal, less.of_gradients, whole.of_gradients))
    assert any(gradient.any() for gradient in less.of_gradients)
    assert memory(of, saving).activations == pytest.approx(less.peak, rel=0.25)


def test_pretraining_recomputes_too_and_is_the_same(shelf: Store, tmp_path: Path):
    toy = setting().pretrained("l")
    assert toy is not None
    of = Adapt(SmallLlama(32, 6, 2), None, toy.text, Pretraining(768, 1e-3, batch=16), seed=0)
    peaks, told = [], []
    for on in (False, True):
        runtime: dict[str, Any] = {"gradient_checkpointing": on}
        with Living() as living, by_transformers():
            run(of, tmp_path / str(on), shelf, **runtime)
        peaks.append(living.peak)
        told.append(memory(of, Runtime(accelerator="cpu", **runtime)).activations)
    assert peaks[1] < 0.6 * peaks[0]
    assert told[1] < 0.6 * told[0]
    weights = [(tmp_path / str(on) / "model.safetensors").read_bytes() for on in (False, True)]
    assert weights[0] == weights[1]
