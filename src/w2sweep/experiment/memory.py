"""Memory: how many bytes a stage needs, from its configuration alone.

Nothing is loaded and nobody is asked, so that sweeps are planned with it. `benchmarks/memory.py`
holds it against what processes take.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Stage
from w2sweep.experiment.activations import Compute, Pass
from w2sweep.experiment.backbone import Backbone, HubModel, Tokenizer
from w2sweep.experiment.best_of import Scored
from w2sweep.experiment.kinds import Model
from w2sweep.experiment.prompting import Prompted
from w2sweep.experiment.recipe import OptimizerName
from w2sweep.experiment.shape import Shape, shape_of_folder, typical_shape
from w2sweep.experiment.stages import Adapt, Features, Finetune
from w2sweep.experiment.tuning import Base, Lora
from w2sweep.experiment.weights import Applied, Weights
from w2sweep.tasks.heads import Completion, Head, Reward

PROMPT = 64
"""Tokens of a short prompt: the shorter they are, the more of them are answered at once."""


@dataclass(frozen=True)
class Memory:
    """What a stage needs at its peak on one device, in bytes. Not in it are a GPU's own gigabyte,
    and what its allocator cannot use."""

    parameters: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    """What a forward pass keeps for the backward pass, or what the optimizer's step of one matrix
    works on, if that is more; where nothing learns, what a layer works on."""
    logits: int = 0
    """Over the vocabulary, at the positions that are asked, with what the loss makes of them."""

    @property
    def total(self) -> int:
        """All of it."""
        state = self.parameters + self.gradients + self.optimizer
        return state + self.activations + self.logits


def memory(stage: Stage[Any], runtime: Runtime, shards: int = 1) -> Memory:
    """What a stage needs on each of its devices; nothing of a stage that runs no model.

    Args:
        stage: of any type.
        runtime: how it is run: its `micro_tokens`, whether activations are recomputed, and whether
            it runs on CPUs, where attention keeps more.
        shards: devices that parameters, gradients and optimizer are spread over. Replicas have all
            of them each: 1.
    """
    if isinstance(stage, Weights):
        probe = stage.of.features
        return memory(probe or stage.of, runtime, shards)
    if isinstance(stage, Finetune) and not stage.features:
        return _finetuning(stage, runtime, shards)
    if isinstance(stage, Adapt):
        return _pretraining(stage, runtime, shards)
    if isinstance(stage, Features | Prompted):
        prompted = isinstance(stage, Prompted)
        model = _Model.of(stage, stage.base)
        return _reading(model, stage.max_tokens, stage.head, prompted, runtime, shards)
    if isinstance(stage, Applied | Scored):
        of = stage.of.of
        model = _Model.of(of, "fp32" if isinstance(of.tuning, Lora) else of.base)
        return _reading(model, of.recipe.max_tokens, of.head, False, runtime, shards)
    return Memory()


@dataclass(frozen=True)
class _Model:
    """A language model as a stage holds it."""

    shape: Shape
    parameters: int
    base: Base

    @staticmethod
    def of(stage: Finetune | Adapt | Features | Prompted, base: Base) -> _Model:
        """The model of a stage."""
        shape = _shape(stage.backbone, stage)
        parameters = stage.backbone.parameters or shape.parameters
        if not isinstance(stage.backbone, HubModel):  # which counts without embeddings
            parameters += shape.embedding
        return _Model(shape, parameters, base)

    def bytes(self, shards: int) -> int:
        """Of its weights on each device. Of weights that are spread out, those of one layer and of
        the embedding are there whole when they are computed with."""
        size = 2 if self.base == "bf16" else 4
        if shards == 1:
            return size * self.parameters
        layer = sum(inputs * outputs for inputs, outputs in self.shape.matrices)
        return size * (self.parameters // shards + layer + self.shape.embedding)


@dataclass(frozen=True)
class _Learned:
    """The parameters that learn."""

    matrices: list[tuple[int, int]]
    """Rows and columns, of all of them."""
    count: int
    """With those that are in no matrix."""
    bytes: int
    """Of each parameter, and of its gradient."""

    def state(self, optimizer: OptimizerName) -> int:
        """Bytes of what the optimizer keeps of them."""
        if optimizer == "adamw":
            return 8 * self.count
        others = self.count - sum(rows * columns for rows, columns in self.matrices)
        if optimizer == "adafactor":
            return 4 * (others + sum(rows + columns for rows, columns in self.matrices))
        return 8 * others + sum(_in_8_bits(rows * columns) for rows, columns in self.matrices)

    def step(self, optimizer: OptimizerName) -> int:
        """Bytes that a step of the largest matrix works on: in bf16 the matrix and its gradient in
        fp32, and the noise that rounds it or what Adafactor makes of them."""
        low = 12 if self.bytes == 2 else 4 if optimizer == "adafactor" else 0
        return low * max(rows * columns for rows, columns in self.matrices)


def _in_8_bits(count: int) -> int:
    """Bytes that bitsandbytes keeps of a matrix: two of each number, two scales of each 256, two
    tables; of a small one two numbers in fp32."""
    return 8 * count if count < 4096 else 2 * (count + 4 * -(-count // 256) + 4 * 256)


def _finetuning(stage: Finetune, runtime: Runtime, shards: int) -> Memory:
    model, recipe = _Model.of(stage, stage.base), stage.recipe
    shape, completes = model.shape, isinstance(stage.head, Completion)
    rank = stage.tuning.rank if isinstance(stage.tuning, Lora) else 0
    learned = _adapters(shape, rank) if rank else _all(model, unembedding=completes)
    length = min(recipe.max_tokens, _context(stage))
    views = _views(stage.head)
    examples = max(1, min(recipe.batch_size, runtime.micro_tokens // (views * length)))
    low = stage.precision == "bf16-mixed"
    compute: Compute = "bf16" if model.base == "bf16" else "mixed" if low else "fp32"
    forward = Pass(
        shape,
        sequences=examples * views,
        length=length,
        compute=compute,
        frozen=rank > 0,
        rank=rank,
        fused=runtime.accelerator != "cpu",
        checkpointing=runtime.gradient_checkpointing,
    )
    average = 4 * learned.count if recipe.ema else 0  # in fp32, whatever the weights are in
    asked = min(recipe.batch_size, runtime.micro_tokens) if completes else 0
    new = stage.head.max_new_tokens + 1 if isinstance(stage.head, Completion) else 0
    return Memory(
        parameters=model.bytes(shards) + (learned.bytes * learned.count if rank else 0),
        gradients=learned.bytes * learned.count // shards,
        optimizer=(learned.state(recipe.optimizer) + average) // shards,
        activations=max(
            forward.needed,
            learned.step(recipe.optimizer),
            _generation(forward, runtime) if completes else 0,
        ),
        logits=_logits(asked * new, shape, compute),
    )


def _pretraining(stage: Adapt, runtime: Runtime, shards: int) -> Memory:
    model, recipe = _Model.of(stage, "fp32"), stage.recipe
    learned = _all(model, unembedding=True)
    low = recipe.precision == "bf16-mixed" and runtime.bf16 != "no"
    compute: Compute = "mixed" if low else "fp32"
    forward = Pass(
        model.shape,
        sequences=recipe.batch,  # whatever micro_tokens are
        length=_context(stage),
        compute=compute,
        fused=runtime.accelerator != "cpu",
        checkpointing=runtime.gradient_checkpointing,
    )
    return Memory(
        parameters=model.bytes(shards),
        gradients=learned.bytes * learned.count // shards,
        optimizer=learned.state("adamw") // shards,
        activations=forward.needed,
        logits=_logits(forward.tokens, model.shape, compute),
    )


def _reading(
    model: _Model, longest: int, head: Head, prompted: bool, runtime: Runtime, shards: int
) -> Memory:
    """Of a stage where nothing learns."""
    compute: Compute = "bf16" if model.base == "bf16" else "fp32"
    sequences = max(1, runtime.micro_tokens // longest)
    fused = runtime.accelerator != "cpu"
    forward = Pass(model.shape, sequences, longest, compute, frozen=True, fused=fused)
    completes = isinstance(head, Completion)
    asked = runtime.micro_tokens // PROMPT if prompted and not completes else 0
    return Memory(
        parameters=model.bytes(shards),
        activations=forward.working + (forward.cache if prompted or completes else 0),
        logits=12 * asked * model.shape.vocabulary,  # with their logarithms, in fp32
    )


def _generation(forward: Pass, runtime: Runtime) -> int:
    """Bytes of a generation, while a training is evaluated."""
    sequences = max(1, runtime.micro_tokens // forward.length)
    whole = Pass(forward.shape, sequences, forward.length, forward.compute, fused=forward.fused)
    return whole.working + whole.cache


def _all(model: _Model, unembedding: bool) -> _Learned:
    """All parameters, but for an unembedding that nobody asks."""
    shape, count = model.shape, model.parameters
    matrices = [*shape.matrices * shape.depth, *shape.tables]
    if not shape.tied and unembedding:
        matrices.append((shape.vocabulary, shape.width))
    elif not shape.tied:
        count -= shape.embedding
    return _Learned(matrices, count, 2 if model.base == "bf16" else 4)


def _adapters(shape: Shape, rank: int) -> _Learned:
    """Two matrices for each linear layer, in fp32."""
    pairs = [((i, rank), (rank, o)) for i, o in shape.matrices * shape.depth]
    matrices = [matrix for pair in pairs for matrix in pair]
    return _Learned(matrices, sum(rows * columns for rows, columns in matrices), 4)


def _logits(asked: int, shape: Shape, compute: Compute) -> int:
    """Bytes of logits [asked, vocabulary] as they are computed, in fp32, and as probabilities."""
    return asked * shape.vocabulary * (10 if compute == "mixed" else 8)


def _views(head: Head) -> int:
    """Texts an example."""
    return 2 if isinstance(head, Reward) else 1


def _context(stage: Finetune | Adapt) -> int:
    """Tokens of the longest sequence, as far as that is known before a model is there."""
    text = stage.text if isinstance(stage, Adapt) else getattr(stage.init, "text", None)
    return text.tokenizer.context if text else 2**31


def _shape(backbone: Backbone, stage: Any) -> Shape:
    if isinstance(backbone, HubModel):
        local = Path(backbone.model)
        known = backbone.shape or (shape_of_folder(local) if local.is_dir() else None)
        return known or typical_shape(backbone.parameters or 10**9)
    vocabulary = _vocabulary(stage if isinstance(stage, Adapt) else stage.init)
    width, depth, heads = backbone.width, backbone.depth, backbone.heads
    return Shape(width, depth, heads, vocabulary, feedforward=backbone.feedforward)


def _vocabulary(model: Model | None) -> int:
    """Rows of the embedding of a model that was pretrained here, or a guess that is too high."""
    while isinstance(model, Weights):
        model = model.of.init
    if not isinstance(model, Adapt):
        return Tokenizer().vocabulary
    own = model.text.tokenizer
    return own.vocabulary if isinstance(own, Tokenizer) else _vocabulary(model.init)
