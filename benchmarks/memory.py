"""The memory of a training as it is estimated, and as processes take it and torch hands it out.

    python benchmarks/memory.py

First a step of GPT-2 with random weights, each choice in a process of its own: the most memory that
the process had, less what it had before the model was loaded. Then Qwen3 8B in full, on tensors
that have sizes and no contents: all that torch hands out for a forward and a backward pass.

Estimated over taken, on two cores that other work shared, with torch 2.13.0: full in fp32 0.99,
recomputed 0.95, with Adafactor 0.98 (512 tokens a pass). On 128 tokens, one by one (`--one`): in
bf16-true with Adafactor 0.98; LoRA in fp32 0.88 and on a base in bf16 0.76, each 86 MB more than
was estimated, probably for importing PEFT; with adamw_8bit in bf16-true 0.64, probably for what
bitsandbytes unpacks on a CPU: what it keeps is as large as was estimated.
Handed out for Qwen3 8B: 29.87 GB in fp32, 33.87 mixed, 16.93 in bf16, each 1.00 of the estimate.

Processors without bf16 multiply in it a hundred times slower than in fp32, so bf16 is tried on few
tokens (`--low-tokens`). Adam in 8 bits is left out where bitsandbytes is not installed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM, GPT2Config, Qwen3Config

from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.runtime import Runtime
from w2sweep.experiment.activations import Compute, Pass
from w2sweep.experiment.backbone import HubModel, Tokenizer
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.memory import memory
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.shape import Shape
from w2sweep.experiment.splits import Sizes, Splits
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.tuning import Full, Lora, Tuning
from w2sweep.lab.text.tasks import Sentiment
from w2sweep.lab.text.world import World
from w2sweep.learning.batches import Batch, last_tokens
from w2sweep.learning.learner import Course, Evaluation, fit
from w2sweep.learning.loading import loaded
from w2sweep.learning.model import Net
from w2sweep.learning.tokens import train_tokenizer
from w2sweep.learning.tuned import parameter_groups, tune
from w2sweep.tasks.heads import Choice

CHOICES: dict[str, tuple[Tuning, dict[str, Any]]] = {
    "full fp32": (Full(), {}),
    "full fp32, adafactor": (Full(), {"optimizer": "adafactor"}),
    "full fp32, adamw_8bit": (Full(), {"optimizer": "adamw_8bit"}),
    "full bf16-mixed": (Full(), {"precision": "bf16-mixed"}),
    "full bf16-true, adamw": (Full(), {"precision": "bf16-true"}),
    "full bf16-true, adafactor": (Full(), {"precision": "bf16-true", "optimizer": "adafactor"}),
    "full bf16-true, adamw_8bit": (Full(), {"precision": "bf16-true", "optimizer": "adamw_8bit"}),
    "lora fp32": (Lora(), {}),
    "lora bf16": (Lora(base="bf16"), {}),
}
"""Name -> tuning, and what the recipe says."""
GPT2 = Shape(width=768, depth=12, heads=12, vocabulary=50_257, layers="gpt2", positions=1024)
"""124 million parameters."""
LENGTH = 64
QWEN3_8B = Shape(
    width=4096,
    depth=36,
    heads=32,
    vocabulary=151_936,
    layers="qwen3",
    feedforward=12_288,
    key_value_heads=8,
    head_width=128,
    tied=False,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=512, help="of a micro-batch in fp32")
    parser.add_argument("--low-tokens", type=int, default=8, help="of a micro-batch in bf16")
    parser.add_argument("--one", help="the choice to measure in this process")
    parser.add_argument("--recompute", action="store_true")
    asked = parser.parse_args()
    if asked.one:
        low = "bf16" in asked.one
        tokens = asked.low_tokens if low else asked.tokens
        print(json.dumps(measured(asked.one, tokens, asked.recompute)))
        return
    processes(sys.argv[1:])
    without_contents()


def processes(options: list[str]) -> None:
    print("GPT-2, 124M, MiB: estimated (weights, gradients, optimizer, activations), taken, ratio")
    for name in CHOICES:
        if "8bit" in name and find_spec("bitsandbytes") is None:
            print(f"{name}: bitsandbytes is not installed")
            continue
        for recompute in ([],) if "bf16" in name else ([], ["--recompute"]):
            command = [sys.executable, __file__, "--one", name, *recompute, *options]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=LEAN)
            found = json.loads(done.stdout.splitlines()[-1])
            parts = "  ".join(f"{found[part] / 2**20:6.0f}" for part in PARTS)
            told, taken = sum(found[part] for part in PARTS), found["taken"]
            print(
                f"{name:28}{'recomputed' if recompute else '':12}{parts}  ="
                f"{told / 2**20:6.0f}{taken / 2**20:8.0f}{told / taken:8.2f}",
                flush=True,
            )


LEAN = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
"""So that glibc gives back at once what is freed, and what is taken is what lives."""
PARTS = ("parameters", "gradients", "optimizer", "activations")


def measured(name: str, tokens: int, recompute: bool) -> dict[str, int]:
    """The bytes that two steps take at most, and what is estimated."""
    tuning, recipe = CHOICES[name]
    length = min(LENGTH, tokens)
    sequences = tokens // length
    runtime = Runtime(accelerator="cpu", gradient_checkpointing=recompute)
    with tempfile.TemporaryDirectory() as folder:
        of = stage(Path(folder), tuning, Recipe(1, sequences, max_tokens=length, **recipe))
        told = memory(of, runtime)
        before = resident("VmRSS")
        net = network(of, runtime)
        train(net, of, Path(folder), runtime)
        taken = resident("VmHWM") - before
    return {part: getattr(told, part) for part in PARTS} | {"taken": taken}


def stage(folder: Path, tuning: Tuning, recipe: Recipe) -> Finetune:
    """A stage that finetunes GPT-2 from random weights, which are never written."""
    config = GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    config.save_pretrained(folder)
    train_tokenizer(Tokenizer("word"), ["some words"]).save_pretrained(folder)
    backbone = HubModel(str(folder), scratch=True, parameters=124_439_808, shape=GPT2)
    head = Choice(init="zero")
    task = Sentiment(name="sentiment", world=World(0), head=head)  # whose texts nobody reads
    splits = Splits.of(task, Sizes(10, 10, 10, 10), seed=0)
    fields: dict[str, Any] = {"labels": None, "loss": CrossEntropy(), "lr": 1e-5, "seed": 0}
    return Finetune(
        backbone, None, splits, "student", head=head, tuning=tuning, recipe=recipe, **fields
    )


def network(of: Finetune, runtime: Runtime) -> Net:
    """The stage's model before it learns, as `load` and a subject make it."""
    lm, tokenizer = loaded(of.backbone, None, of.base)
    net = Net(lm, tokenizer, of.head)
    tune(net, of.tuning)
    if runtime.gradient_checkpointing:
        net.lm.activation_checkpointing_enable()
    return net


def train(net: Net, of: Finetune, folder: Path, runtime: Runtime) -> None:
    """Two steps of two micro-batches of random tokens: in the last one there are gradients and the
    optimizer's numbers while activations are kept."""
    sequences = of.recipe.batch_size
    ids = torch.randint(5, (sequences, of.recipe.max_tokens))
    mask = torch.ones_like(ids)
    targets = torch.tensor([[1.0, 0.0]] * sequences)
    batch = Batch(ids, mask, last_tokens(mask), targets)
    course = Course(
        steps=2,
        batches=lambda start: iter([[batch, batch]] * 2),
        loss=of.loss,
        groups=parameter_groups(net, of.lr),
        lr_factor=lambda _: 1.0,
        evaluate=lambda *_: Evaluation({}),
        evaluations=1,
        precision=of.precision,
        optimizer=of.recipe.optimizer,
    )
    circumstances = Circumstances(runtime)
    with StoreJob(of, folder, circumstances, lambda _: None) as job:
        fit(net, course, job)


def resident(field: str) -> int:
    """Bytes of this process in main memory: `VmRSS` now, `VmHWM` at most."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, "this needs Linux"
    return int(found[1]) * 1024


def without_contents() -> None:
    print("Qwen3 8B, 4 x 512 tokens, kept for the backward pass, GB: estimated, handed out, ratio")
    for compute, dtype in DTYPES.items():
        told, kept = Pass(QWEN3_8B, 4, 512, compute).kept, handed_out(dtype, compute == "mixed")
        print(f"{compute:8}{told / 1e9:8.2f}{kept / 1e9:8.2f}{told / kept:8.2f}")


DTYPES: dict[Compute, torch.dtype] = {
    "fp32": torch.float32,
    "mixed": torch.float32,
    "bf16": torch.bfloat16,
}
"""Of the weights."""


def handed_out(dtype: torch.dtype, mixed: bool) -> int:
    """The bytes that live after a forward pass, beside the weights."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    living = importlib.import_module("measuring").Living
    shape = QWEN3_8B
    config = Qwen3Config(
        hidden_size=shape.width,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        head_dim=shape.head_width,
        intermediate_size=shape.inner,
        vocab_size=shape.vocabulary,
        tie_word_embeddings=shape.tied,
    )
    config._attn_implementation = "sdpa"
    with FakeTensorMode(), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        lm = AutoModelForCausalLM.from_config(config, dtype=dtype).train()
        ids = torch.zeros(4, 512, dtype=torch.long)
        given = {"input_ids": ids, "attention_mask": ids + 1, "position_ids": ids.clone()}
        with living([*lm.parameters(), *lm.buffers(), *given.values()]) as found:
            kept = lm.base_model(**given, use_cache=False)
            return found.now if kept else 0


if __name__ == "__main__":
    main()
