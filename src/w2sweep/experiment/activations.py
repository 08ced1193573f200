"""Activations: the bytes that a forward pass keeps for the backward pass.

They were counted in the layers as Transformers computes them: which tensors are saved, a token of a
layer. Tests count them again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from w2sweep.experiment.shape import Shape

Compute = Literal["fp32", "mixed", "bf16"]
"""`mixed`: matrices of fp32 are cast for each pass; `bf16`: they are in it."""
BYTES: dict[Compute, int] = {"fp32": 4, "mixed": 2, "bf16": 2}
"""Of a number that a matrix makes."""
RESIDUAL: dict[Compute, int] = {"fp32": 4, "mixed": 4, "bf16": 2}
"""Of a number between two layers."""

GPT2: dict[Compute, tuple[int, int]] = {"fp32": (32, 8), "mixed": (20, 4), "bf16": (14, 4)}
"""Bytes for each unit of the width, and of the feed-forward layer."""
PYTHIA: dict[Compute, tuple[int, int]] = {"fp32": (28, 8), "mixed": (16, 4), "bf16": (14, 4)}
PYTHIA_FUSED: dict[Compute, int] = {"fp32": 12, "mixed": 6, "bf16": 6}
"""More for each unit of the width, where attention is fused: it keeps queries and keys unturned."""
NORMS: dict[Compute, int] = {"fp32": 24, "mixed": 26, "bf16": 16}
"""Of Llama's two norms, for each unit of the width, with the casts of what they give."""
NORMED: dict[Compute, int] = {"fp32": 8, "mixed": 8, "bf16": 4}
"""The part of it that only the gradients of the norms' own weights need."""
HEAD_NORMS: dict[Compute, int] = {"fp32": 8, "mixed": 6, "bf16": 6}
"""Of Qwen3's norms of queries and keys, for each unit of both."""
HEADS_NORMED: dict[Compute, int] = {"fp32": 4, "mixed": 2, "bf16": 2}
"""The part of it that only the gradients of the norms' own weights need."""
SCORES: dict[Compute, int] = {"fp32": 4, "mixed": 6, "bf16": 6}
"""For each pair of tokens and head, where attention is not fused: the softmax is in fp32."""


@dataclass(frozen=True)
class Pass:
    """A forward pass of S sequences of T tokens through a transformer."""

    shape: Shape
    sequences: int
    length: int
    compute: Compute
    frozen: bool = False
    """Whether the backbone's own weights are."""
    rank: int = 0
    """Of adapters; 0: there are none."""
    fused: bool = True
    """Whether attention is computed without a matrix of scores: on GPUs."""
    checkpointing: bool = False
    """Whether activations are computed again in the backward pass, layer by layer."""

    @property
    def tokens(self) -> int:
        """S * T."""
        return self.sequences * self.length

    @property
    def needed(self) -> int:
        """Bytes at the peak of the backward pass, with the gradients that one layer works on."""
        return self.kept + 4 * self.tokens * (self.shape.inner + 2 * self.shape.width)

    @property
    def kept(self) -> int:
        """Bytes that are kept for the backward pass, with those of the layer that is recomputed."""
        layer = self.tokens * self._of_layer + self._casts
        depth = self.shape.depth
        if not self.checkpointing:
            return depth * layer + self._final
        inputs = depth * self.tokens * self.shape.width * RESIDUAL[self.compute]
        others = 0 if self.frozen else (depth - 1) * self._casts  # autocast keeps those that learn
        return inputs + layer + others + self._final

    @property
    def working(self) -> int:
        """Bytes that one layer works on where nothing is kept."""
        shape, size = self.shape, BYTES[self.compute]
        attention = 2 * shape.width + 4 * shape.queries + self._scores / size
        feedforward = 2 * shape.width + 3 * shape.inner
        return round(self.tokens * size * max(attention, feedforward) + self._casts)

    @property
    def cache(self) -> int:
        """Bytes of the keys and values of all tokens, in all layers."""
        return 2 * self.tokens * self.shape.depth * self.shape.keys * BYTES[self.compute]

    @property
    def _of_layer(self) -> int:
        """Bytes a token."""
        return self._of_width_and_inner + self._scores + self._of_adapters

    @property
    def _of_width_and_inner(self) -> int:
        shape, compute = self.shape, self.compute
        if shape.layers == "gpt2":
            of_width, of_inner = GPT2[compute]
        elif shape.layers == "pythia":
            of_width, of_inner = PYTHIA[compute]
            of_width += PYTHIA_FUSED[compute] if self.fused else 0
        else:
            return self._of_llama
        return of_width * shape.width + of_inner * shape.inner

    @property
    def _of_llama(self) -> int:
        """Norms; queries, keys, values and what attention makes of them, keys and values repeated
        for all heads; gate, its activation, up and their product."""
        shape, compute = self.shape, self.compute
        size = BYTES[compute]
        norms = NORMS[compute] - (NORMED[compute] if self.frozen else 0)
        found = norms * shape.width + 4 * size * shape.queries + 4 * size * shape.inner
        if shape.layers == "qwen3":
            own = HEAD_NORMS[compute] - (HEADS_NORMED[compute] if self.frozen else 0)
            found += own * (shape.queries + shape.keys)
        return found

    @property
    def _scores(self) -> int:
        """Bytes a token, of attention beside its inputs and output."""
        heads, size = self.shape.heads, BYTES[self.compute]
        if self.fused:  # the mask as numbers, and a logarithm a head
            return size * self.length + 4 * heads
        alone = self.shape.layers == "gpt2" and self.compute == "bf16"  # whose softmax is in bf16
        return heads * self.length * (2 if alone else SCORES[self.compute])

    @property
    def _of_adapters(self) -> int:
        """Bytes a token, of what is between the two matrices of each adapter."""
        return self.rank * len(self.shape.matrices) * BYTES[self.compute]

    @property
    def _casts(self) -> int:
        """Bytes of one layer's matrices in bf16, where they are cast."""
        if self.compute != "mixed":
            return 0
        return 2 * sum(inputs * outputs for inputs, outputs in self.shape.matrices)

    @property
    def _final(self) -> int:
        """Of the last norm, and of what it gives."""
        return 3 * self.tokens * self.shape.width * RESIDUAL[self.compute]
