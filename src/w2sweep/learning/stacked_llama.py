"""Several small Llamas of one shape as one model: stacked weights, batched matmuls.

A model of some thousand parameters spends its time on what each operation costs beside its
arithmetic. M models side by side make about as many operations as one. Each computes what
Transformers' own module computes, up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear, pad
from transformers import LlamaConfig, LlamaForCausalLM

from w2sweep.learning.batches import Batch
from w2sweep.learning.llama import LayerWeights, is_plain, through_layers
from w2sweep.learning.model import Net, class_logits

LAYER = {
    "before": ("input_layernorm",),
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "out": ("self_attn.o_proj",),
    "between": ("post_attention_layernorm",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
"""The fields of `LayerWeights`, and the modules of Transformers whose weights they are, one below
the other."""


class StackedBatch(NamedTuple):
    """A batch for each of M models."""

    ids: Tensor
    """Token ids [M, S, T]. Padding is behind each text, and in rows below the texts of a model that
    has fewer."""
    asked: Tensor
    """Positions whose final hidden state goes to the head, bool [M, S, T]."""
    counts: list[int]
    """How many positions are asked for, of each model."""
    targets: list[Tensor]
    """As those of a `Batch`, of each model."""


class Place(NamedTuple):
    """Where a parameter of one model is in a stacked parameter: `stacked[model, start:stop]`."""

    stack: str
    start: int
    stop: int


class StackedLlama:
    """M models, whose own parameters become views of the stacked ones.

    Args:
        nets: models for which `shape_of` is equal. Their vocabularies may differ in size: then the
            smaller ones have rows that nothing reads.
    """

    def __init__(self, nets: Sequence[Net]):
        self.nets = list(nets)
        lm = nets[0].lm
        assert isinstance(lm, LlamaForCausalLM)
        self.config: LlamaConfig = lm.config
        self.places = [dict[str, Place]() for _ in nets]
        self.stacks: dict[str, nn.Parameter] = {}
        """By name, parameters [M, ...]."""
        for stack, parts in _parts(nets[0]).items():
            self._stack(stack, parts)
        vocabulary = self.stacks["table"].shape[1]
        starts = vocabulary * torch.arange(len(nets), device=lm.device)
        self.first_rows = starts[:, None, None]

    @torch.no_grad()
    def _stack(self, stack: str, parts: Sequence[str]) -> None:
        """Moves some parameters of all models into a stacked one."""
        wholes = []
        for net, places in zip(self.nets, self.places, strict=True):
            own, start = [net.get_parameter(name) for name in parts], 0
            for name, p in zip(parts, own, strict=True):
                places[name] = Place(stack, start, start + len(p))
                start += len(p)
            wholes.append(torch.cat([p.detach() for p in own]))
        most = max(map(len, wholes))
        below = [[0, 0] * (whole.ndim - 1) + [0, most - len(whole)] for whole in wholes]
        padded = [pad(whole, rows) for whole, rows in zip(wholes, below, strict=True)]
        self.stacks[stack] = nn.Parameter(torch.stack(padded))
        for number, net in enumerate(self.nets):
            for name in parts:
                place = self.places[number][name]
                net.get_parameter(name).data = self._view(self.stacks[stack], number, place)

    @staticmethod
    def _view(stacked: Tensor, number: int, place: Place) -> Tensor:
        return stacked.detach()[number, place.start : place.stop]

    def of_model(
        self, number: int, stacked: Mapping[str, Tensor]
    ) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """The parameters of one model, each with its part of tensors that are shaped as the stacked
        parameters, in the same memory."""
        for name, place in self.places[number].items():
            view = self._view(stacked[place.stack], number, place)
            yield self.nets[number].get_parameter(name), view

    def let_go(self) -> None:
        """Gives each model memory of its own again."""
        for net in self.nets:
            for p in net.parameters():
                p.data = p.data.clone()

    def before_heads(self, batch: StackedBatch) -> list[tuple[Tensor, list[Tensor]]]:
        """Of each model, the final hidden states at the positions asked for [asked, width], and
        what its head consists of; of a language model the rows of its vocabulary."""
        states = self._states(batch)
        heads = zip(*[self.stacks[name].unbind(0) for name in self._head], strict=True)
        found = []
        for net, of_model, head in zip(self.nets, states, heads, strict=True):
            known = [part[: net.vocabulary] for part in head] if net.head is None else list(head)
            found.append((of_model, known))
        return found

    @property
    def _head(self) -> list[str]:
        own = [name for name in ("head_weight", "head_bias") if name in self.stacks]
        return own or ["table"]

    def logits(
        self, number: int, states: Tensor, head: list[Tensor], batch: StackedBatch
    ) -> Tensor:
        """Those of one model, as its `Net.forward` has them [B, K]."""
        net, outputs = self.nets[number], linear(states, *head)
        if net.head is None:
            return outputs
        return class_logits(net.head, outputs, len(batch.targets[number]))

    def _states(self, batch: StackedBatch) -> Sequence[Tensor]:
        """Of each model, the final hidden states at the positions asked for [asked, width]. Padding
        is behind what is read, so that it is enough that nobody looks ahead."""
        x = embedding(batch.ids + self.first_rows, self.stacks["table"].flatten(0, 1))
        layers = [self._layer(number) for number in range(self.config.num_hidden_layers)]
        asked = batch.asked.flatten()
        alike = len(set(batch.counts)) == 1
        rows = asked.nonzero()[:, 0] if alike and sum(batch.counts) < len(asked) else None
        tokens, norm = batch.ids.shape[-1], self.stacks["norm"]
        states = through_layers(x.flatten(1, 2), tokens, layers, norm, self.config, rows)
        return states.unbind() if alike else states.flatten(0, 1)[asked].split(batch.counts)

    def _layer(self, number: int) -> LayerWeights:
        return LayerWeights(**{part: self.stacks[f"{part}{number}"] for part in LAYER})


def shape_of(net: nn.Module) -> tuple[object, ...] | None:
    """What must be equal for models to be stacked; None: this one cannot be."""
    if not isinstance(net, Net) or not isinstance(net.lm, LlamaForCausalLM):
        return None
    config, checkpointing = net.lm.config, net.lm.is_activation_checkpointing
    plain = is_plain(config) and config.tie_word_embeddings and not checkpointing
    named = dict(net.named_parameters())
    parts = [name for names in _parts(net).values() for name in names]
    if not plain or set(parts) != set(named):
        return None
    rows = {name: p.shape for name, p in named.items() if name != TABLE}
    learn = all(p.requires_grad and p.dtype is torch.float32 for p in named.values())
    heads, context = config.num_attention_heads, config.max_position_embeddings
    rope = str(config.rope_parameters)
    return (heads, context, config.rms_norm_eps, rope, *rows.items()) if learn else None


def stacked_batch(batches: Sequence[Sequence[Batch]]) -> StackedBatch:
    """Batches of texts with their padding behind, one of each model, given as its micro-batches."""
    parts = [part for micro in batches for part in micro]
    most = max(map(_sequences, batches))
    longest = max(part.ids.shape[1] for part in parts)
    ids = parts[0].ids.new_zeros(len(batches), most, longest)
    asked = torch.zeros_like(ids, dtype=torch.bool)
    targets = []
    for number, micro in enumerate(batches):
        targets.append(torch.cat([part.targets for part in micro]))
        start = 0
        for part in micro:
            rows, tokens = slice(start, start + len(part.ids)), part.ids.shape[1]
            ids[number, rows, :tokens], asked[number, rows, :tokens] = part.ids, part.asked
            start = rows.stop
    counts = asked.sum((1, 2)).tolist()
    return StackedBatch(ids, asked, counts, targets)


def _sequences(batch: Sequence[Batch]) -> int:
    """How many there are in all micro-batches of a batch."""
    return sum(len(micro.ids) for micro in batch)


TABLE = "lm.model.embed_tokens.weight"


def _parts(net: Net) -> dict[str, list[str]]:
    """Stacked parameter -> the parameters of a model that it holds, one below the other."""
    found = {"table": [TABLE]}
    for layer in range(net.lm.config.num_hidden_layers):
        for name, modules in LAYER.items():
            prefix = f"lm.model.layers.{layer}"
            found[f"{name}{layer}"] = [f"{prefix}.{module}.weight" for module in modules]
    found["norm"] = ["lm.model.norm.weight"]
    if net.own_head is not None:
        for kind, _ in net.own_head.named_parameters():
            found[f"head_{kind}"] = [f"own_head.{kind}"]
    return found
