"""What `gpu.py` measures with: models with random weights, trainings that are timed, and the rate
of matmuls that they are held against."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)

from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.runtime import Runtime
from w2sweep.experiment.backbone import HubModel, Tokenizer
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.memory import memory
from w2sweep.experiment.recipe import Recipe, WeightPrecision
from w2sweep.experiment.shape import Shape
from w2sweep.experiment.splits import Sizes, Splits
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.tuning import Base, Full, Lora
from w2sweep.lab.text.tasks import Sentiment
from w2sweep.lab.text.world import World
from w2sweep.learning.batches import Batch, last_tokens
from w2sweep.learning.learner import Course, Evaluation, fit
from w2sweep.learning.loading import ATTENTION, DTYPES, as_it_is_used
from w2sweep.learning.model import Net
from w2sweep.learning.tokens import train_tokenizer
from w2sweep.learning.tuned import parameter_groups, tune
from w2sweep.tasks.heads import Choice, Head

PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
}
"""Part of a device's name -> FLOPs a second in bf16, dense, as its data sheet says."""


@dataclass(frozen=True)
class Machine:
    """Where everything is measured, and how large it is."""

    cpu: bool
    length: int = 512
    """Tokens of a text."""

    @property
    def device(self) -> torch.device:
        return torch.device("cpu" if self.cpu else "cuda")

    @property
    def name(self) -> str:
        return "CPU" if self.cpu else torch.cuda.get_device_name()

    @property
    def peak(self) -> float | None:
        """FLOPs a second in bf16 by its data sheet; None: it is not known."""
        return next((peak for part, peak in PEAKS.items() if part in self.name), None)

    @property
    def shapes(self) -> dict[str, Shape]:
        """The models, by their parameters."""
        if self.cpu:
            small = {"vocabulary": 600, "heads": 4}
            return {
                "0.1M": Shape(width=32, depth=2, positions=512, layers="gpt2", **small),
                "0.2M": Shape(width=64, depth=2, feedforward=176, **small),
            }
        words = 50_304
        return {
            "124M": Shape(
                width=768, depth=12, heads=12, vocabulary=50_257, layers="gpt2", positions=1024
            ),
            "400M": Shape(width=1024, depth=28, heads=16, vocabulary=words, feedforward=2816),
            "1.5B": Shape(width=2048, depth=28, heads=16, vocabulary=words, feedforward=5632),
            "4B": Shape(width=3072, depth=34, heads=24, vocabulary=words, feedforward=8192),
        }

    @cached_property
    def rates(self) -> dict[str, float]:
        """FLOPs a second of large matmuls, by what they are computed in."""
        n = 256 if self.cpu else 8192
        return {name: self.matmul(n, dtype) for name, dtype in DTYPES.items()}

    def matmul(self, n: int, dtype: torch.dtype) -> float:
        """FLOPs a second of the product of two square matrices, at the best of some tries."""
        a, b = (torch.randn(n, n, device=self.device).to(dtype) for _ in range(2))
        best = 0.0
        for _ in range(3):
            self.wait()
            started = time.perf_counter()
            for _ in range(4):
                a @ b
            self.wait()
            best = max(best, 4 * 2 * n**3 / (time.perf_counter() - started))
        return best

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if not self.cpu:
            torch.cuda.synchronize()

    def forget(self) -> None:
        """Begins to look for the peak of memory anew."""
        if not self.cpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    @property
    def peak_bytes(self) -> int | None:
        """The most memory that tensors had since it was forgotten; None on a CPU."""
        return None if self.cpu else torch.cuda.max_memory_allocated()

    def runtime(self, recomputed: bool = False, checkpoint_seconds: float = 1e9) -> Runtime:
        return Runtime(
            accelerator="cpu" if self.cpu else "gpu",
            gradient_checkpointing=recomputed,
            checkpoint_seconds=checkpoint_seconds,
        )


@dataclass(frozen=True)
class Choices:
    """One way to train a model, or to read with it."""

    shape: Shape
    precision: WeightPrecision = "32-true"
    base: Base = "fp32"
    lora: bool = False
    recomputed: bool = False
    compiled: bool = False

    @property
    def flops(self) -> float:
        """Of a token of a training, without those of activations that are computed again and
        without attention."""
        return (4 if self.lora else 6) * matrices(self.shape)

    def stage(self, recipe: Recipe) -> Finetune:
        """A stage that trains so, which is asked for its memory alone."""
        head = Choice(init="zero")
        task = Sentiment(name="sentiment", world=World(0), head=head)  # whose texts nobody reads
        backbone = HubModel(
            "none", scratch=True, parameters=self.shape.parameters, shape=self.shape
        )
        return Finetune(
            backbone,
            init=None,
            splits=Splits.of(task, Sizes(10, 10, 10, 10), seed=0),
            on="student",
            labels=None,
            head=head,
            tuning=Lora(base=self.base) if self.lora else Full(),
            loss=CrossEntropy(),
            recipe=recipe,
            lr=1e-5,
            seed=0,
        )

    def job(self, machine: Machine, folder: Path, checkpoint_seconds: float = 1e9) -> StoreJob:
        """A job of such a training, which tells nobody."""
        of = self.stage(Recipe(1, 1, max_tokens=machine.length))
        runtime = machine.runtime(self.recomputed, checkpoint_seconds)
        return StoreJob(of, folder, Circumstances(runtime), lambda _: None)


def matrices(shape: Shape) -> float:
    """Parameters that each token is multiplied with."""
    return shape.depth * sum(inputs * outputs for inputs, outputs in shape.matrices)


def attention(shape: Shape, length: int) -> float:
    """FLOPs of the scores and sums of a forward pass, a token, each seeing those before it."""
    return 2 * shape.depth * length * shape.queries


def network(machine: Machine, choices: Choices, head: Head | None = None, seed: int = 0) -> Net:
    """A model with random weights, on the device."""
    torch.manual_seed(seed)
    with machine.device:
        lm = AutoModelForCausalLM.from_config(
            configuration(choices.shape), attn_implementation=ATTENTION, dtype=DTYPES[choices.base]
        )
        net = Net(as_it_is_used(lm, choices.base), tokenizer(), head)
    if choices.lora:
        tune(net, Lora(base=choices.base))
    if choices.recomputed:
        net.lm.activation_checkpointing_enable()
    if choices.compiled:
        for layer in layers(net.body):
            layer.compile()
    return net.to(machine.device)


def layers(body: nn.Module) -> nn.ModuleList:
    """The layers of a transformer."""
    return next(part for part in body.children() if isinstance(part, nn.ModuleList))


def configuration(shape: Shape) -> PreTrainedConfig:
    """What Transformers makes a model of this shape from."""
    if shape.layers == "gpt2":
        return GPT2Config(
            n_embd=shape.width,
            n_layer=shape.depth,
            n_head=shape.heads,
            n_positions=shape.positions,
            vocab_size=shape.vocabulary,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=1,
            eos_token_id=1,
        )
    return LlamaConfig(
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        vocab_size=shape.vocabulary,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )


def tokenizer() -> PreTrainedTokenizerFast:
    """One that no text is given to."""
    return train_tokenizer(Tokenizer("word"), ["some words 0 1"])


def batch(machine: Machine, vocabulary: int, sequences: int, seed: int = 0) -> Batch:
    """Texts of one length, half of each class."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, vocabulary, (sequences, machine.length), generator=generator)
    mask = torch.ones_like(ids)
    chances = torch.eye(2)[torch.arange(sequences) % 2]
    return Batch(ids, mask, last_tokens(mask), chances)


@dataclass
class Watch:
    """Looks at a training from its steps, of which it is told before each of them."""

    machine: Machine
    warm: int
    """Steps before the watch starts."""
    counts: bool = False
    """Whether it counts, instead, where in the last step the processor waits for the device."""
    seconds: float = 0.0
    waits: Counter[str] = field(default_factory=Counter)
    """File and line -> how often."""
    _steps: int = 0
    _started: float = 0.0

    def before_step(self, _: float) -> float:
        """What a training asks for the factor of its learning rate."""
        if self._steps == self.warm:
            self.machine.wait()
            self._started = time.perf_counter()
            if self.counts and not self.machine.cpu:
                torch.cuda.set_sync_debug_mode("warn")
        self._steps += 1
        return 1.0

    def after_last(self, *_: object) -> Evaluation:
        if self.counts and not self.machine.cpu:
            torch.cuda.set_sync_debug_mode("default")
        self.machine.wait()
        self.seconds = time.perf_counter() - self._started
        return Evaluation({})


@dataclass(frozen=True)
class Timed:
    """What there is to tell of a timed training."""

    tokens: float
    """A second."""
    peak: int | None
    told: int
    """Bytes, as they are estimated."""
    micro_tokens: int | None
    """In one forward pass, where memory ran out with more."""


def timed(machine: Machine, choices: Choices, sequences: int, steps: int, warm: int = 2) -> Timed:
    """Trains for some steps to get warm and for some that are timed."""
    machine.forget()
    net = network(machine, choices, Choice(init="zero"))
    watch = Watch(machine, warm)
    facts = train(machine, choices, net, sequences, warm + steps, watch)
    recipe = Recipe(1, sequences, max_tokens=machine.length, precision=choices.precision)
    told = memory(choices.stage(recipe), machine.runtime(choices.recomputed)).total
    tokens = steps * sequences * machine.length / watch.seconds
    return Timed(tokens, machine.peak_bytes, told, facts.get("micro_tokens"))


def waits(machine: Machine, choices: Choices, sequences: int) -> Counter[str]:
    """Where, and how often, the processor waits for the device in one step of a training."""
    net = network(machine, choices, Choice(init="zero"))
    watch = Watch(machine, warm=2, counts=True)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        train(machine, choices, net, sequences, 3, watch)
    for warning in seen:
        if "synchroniz" in str(warning.message):
            watch.waits[f"{Path(warning.filename).name}:{warning.lineno}"] += 1
    return watch.waits


def train(
    machine: Machine,
    choices: Choices,
    net: Net,
    sequences: int,
    steps: int,
    watch: Watch,
    folder: Path | None = None,
    checkpoint_seconds: float = 1e9,
    lr: float = 1e-5,
) -> dict[str, Any]:
    """Trains by the learner that all stages train by, and returns what the job noted."""

    with choices.job(machine, folder or Path(mkdtemp()), checkpoint_seconds) as job:
        fit(net, course(machine, choices, net, sequences, steps, watch, lr), job)
        return job.facts


def course(
    machine: Machine,
    choices: Choices,
    net: Net,
    sequences: int,
    steps: int,
    watch: Watch,
    lr: float,
) -> Course:
    """So many steps, of a batch of so many texts each."""

    def batches(start: int) -> Iterator[list[Batch]]:
        for step in range(start, steps):
            yield [batch(machine, choices.shape.vocabulary, sequences, seed=step)]

    return Course(
        steps=steps,
        batches=batches,
        loss=CrossEntropy(),
        groups=parameter_groups(net, lr),
        lr_factor=watch.before_step,
        evaluate=watch.after_last,
        evaluations=1,
        precision=choices.precision,
        largest=sequences * machine.length,
    )


def random_texts(
    vocabulary: int, shortest: int, longest: int, count: int, seed: int = 0
) -> list[list[int]]:
    """Token ids of texts of different lengths."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(shortest, longest + 1, count)
    return [rng.integers(4, vocabulary, n).tolist() for n in lengths]
