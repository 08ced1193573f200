"""GPT-2's layers on a CPU in fp32, forward and backward written out.

A layer is one node of the graph, and computes what somebody reads: real tokens alone, for the texts
of a batch lie one behind the other without padding between them; and in the last layer of a model
that classifies, of all tokens only keys and values, and the rest for the last token of each text.
The results are those of Transformers, up to the order of sums.

Texts of one length attend together, each to itself, where they lie. Where a batch or a model is of
another kind, as with adapters, dropout at work or bf16, `final_states` returns None, and
Transformers computes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, layer_norm
from transformers import GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.pytorch_utils import Conv1D

from w2sweep.learning.activations import GeluByTanh, gelu_and_slope, gelu_by_tanh
from w2sweep.learning.batches import Batch, padded_behind

aten = torch.ops.aten
attention = aten._scaled_dot_product_flash_attention_for_cpu
attention_backward = aten._scaled_dot_product_flash_attention_for_cpu_backward


class Group(NamedTuple):
    """Texts of one length, one behind the other."""

    texts: int
    tokens: int
    """Of each text."""


class Packed(NamedTuple):
    """The N tokens of a batch without its padding: its texts, the longest first."""

    places: Tensor
    """Where each token is among the S * T places of the batch [N]."""
    groups: list[Group]
    rows: Tensor | None
    """Which of the N tokens are asked for [asked]; None: all of them, in their own order."""
    ends: bool
    """Whether these are the last ones of all texts, in the order of the texts here."""
    back: Tensor | None
    """In which order to take what is found of `rows`, to have it in the order of the batch; None:
    in the order that it has."""


class Layout(NamedTuple):
    """How a layer computes."""

    groups: list[Group]
    heads: int
    scale: float
    """Of the products of queries and keys."""
    eps: float
    """What norms add to a variance."""
    learns: bool
    """Whether a backward pass may follow."""
    ends: bool = False
    """Whether of each text only the last token is read afterwards."""


def final_states(lm: nn.Module, batch: Batch) -> Tensor | None:
    """Final hidden states at the positions asked for [asked, width]; None where the model or the
    batch is of another kind than what is written out here."""
    layers = _layers(lm, batch.ids)
    if layers is None or not padded_behind(batch.mask):
        return None
    assert isinstance(lm, GPT2LMHeadModel)
    body, config, packed = lm.transformer, lm.config, _packed(batch)
    eps, learns = config.layer_norm_epsilon, torch.is_grad_enabled()
    x = embedding(batch.ids.flatten()[packed.places], body.wte.weight)
    x = x + embedding(packed.places % batch.ids.shape[1], body.wpe.weight)
    for number, (scale, weights) in enumerate(layers, start=1):
        layout, rows = Layout(packed.groups, config.n_head, scale, eps, learns), None
        if number == len(layers):
            layout, rows = layout._replace(ends=packed.ends), packed.rows
        x = _Layer.apply(x, layout, rows, *weights)
    if packed.back is not None:
        x = x.index_select(0, packed.back)
    return layer_norm(x, [config.n_embd], body.ln_f.weight, body.ln_f.bias, eps)


def _packed(batch: Batch) -> Packed:
    lengths, order = batch.mask.sum(1).sort(descending=True, stable=True)
    tokens, texts = torch.unique_consecutive(lengths, return_counts=True)
    groups = [Group(*pair) for pair in zip(texts.tolist(), tokens.tolist(), strict=True)]
    places = torch.arange(batch.mask.numel()).view_as(batch.mask)[order]
    places = places[batch.mask[order].bool()]
    number = torch.arange(len(places))
    where = torch.empty(batch.mask.numel(), dtype=torch.long).index_copy_(0, places, number)
    rows = where[batch.asked.flatten()]
    if torch.equal(rows, number):
        return Packed(places, groups, None, False, None)
    in_order, back = rows.sort()
    if torch.equal(in_order, lengths.cumsum(0) - 1):
        return Packed(places, groups, in_order, True, back.argsort())
    return Packed(places, groups, rows, False, None)


def _layers(lm: nn.Module, ids: Tensor) -> list[tuple[float, list[Tensor]]] | None:
    """By layer, what it scales the products of queries and keys by, and its weights; None where the
    model does anything but what is written out here."""
    if type(lm) is not GPT2LMHeadModel or ids.device.type != "cpu":
        return None
    body, config = lm.transformer, lm.config
    if torch.is_autocast_enabled("cpu") or (lm.training and body.is_activation_checkpointing):
        return None
    if config.add_cross_attention or config.reorder_and_upcast_attn:
        return None
    table = body.wte.weight
    if type(table) is not nn.Parameter or table.dtype is not torch.float32:
        return None
    dropped = body.drop.p if lm.training else 0
    layers = []
    for layer in body.h:
        assert isinstance(layer, GPT2Block)
        modules = list(_modules(layer))
        plain = all(type(module) in (nn.LayerNorm, Conv1D) for module in modules)
        if not plain or type(layer.mlp.act) is not GeluByTanh:
            return None
        if lm.training:
            dropped += layer.attn.attn_dropout.p + layer.attn.resid_dropout.p + layer.mlp.dropout.p
        weights = [p for module in modules for p in (module.weight, module.bias)]
        layers.append((float(layer.attn.scaling), weights))
    return None if dropped else layers


def _modules(layer: GPT2Block) -> Iterator[nn.Module]:
    """The modules of a layer that have weights, in the order of its computation."""
    yield from (layer.ln_1, layer.attn.c_attn, layer.attn.c_proj)
    yield from (layer.ln_2, layer.mlp.c_fc, layer.mlp.c_proj)


class _Layer(torch.autograd.Function):
    """A layer: the hidden states of N tokens [N, width] -> those of all of them, or of the `rows`
    that are asked for alone, which spares the last layer most of its work."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, layout: Layout, rows: Tensor | None, *weights: Tensor
    ) -> Tensor:
        g1, b1, w_qkv, b_qkv, w_out, b_out, g2, b2, w_up, b_up, w_down, b_down = weights
        width = x.shape[1]
        n1, *of_1 = aten.native_layer_norm(x, [width], g1, b1, layout.eps)
        if layout.ends:
            last = n1.index_select(0, rows)
            q = torch.addmm(b_qkv[:width], last, w_qkv[:, :width])
            kv = torch.addmm(b_qkv[width:], n1, w_qkv[:, width:])
        else:
            last, kv = None, None
            q = torch.addmm(b_qkv, n1, w_qkv)
        attended, sums = _attended(q, kv, layout)
        y, at = x, attended
        if rows is not None:
            y = x.index_select(0, rows)
            at = attended if layout.ends else attended.index_select(0, rows)
        y = torch.add(y, b_out).addmm_(at, w_out)
        n2, *of_2 = aten.native_layer_norm(y, [width], g2, b2, layout.eps)
        up = torch.addmm(b_up, n2, w_up)
        if layout.learns:
            h, slope = gelu_and_slope(up)
            ctx.layout = layout
            found = (x, *of_1, n1, last, q, kv, attended, at, y, *of_2, n2, slope, h)
            ctx.save_for_backward(rows, g1, b1, w_qkv, w_out, g2, b2, w_up, w_down, *found, *sums)
        else:
            h = gelu_by_tanh(up)
        return torch.add(y, b_down).addmm_(h, w_down)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        layout: Layout = ctx.layout
        rows, g1, b1, w_qkv, w_out, g2, b2, w_up, w_down, *found = ctx.saved_tensors
        x, m1, r1, n1, last, q, kv, attended, at, y, m2, r2, n2, slope, h, *sums = found
        width = x.shape[1]
        of_down = (h.t() @ d, d.sum(0))
        d_up = (d @ w_down.t()).mul_(slope)
        of_up = (n2.t() @ d_up, d_up.sum(0))
        d_n2 = d_up @ w_up.t()
        dy, dg2, db2 = aten.native_layer_norm_backward(
            d_n2, y, [width], m2, r2, g2, b2, [True, True, True]
        )
        dy.add_(d)
        of_out = (at.t() @ dy, dy.sum(0))
        d_at = dy @ w_out.t()
        if rows is not None and not layout.ends:
            d_at = _among_zeros(d_at, rows, len(x))
        dq, dkv = _before_attention(d_at, q, kv, attended, sums, layout)
        if layout.ends:
            dw, db = torch.empty_like(w_qkv), torch.cat([dq.sum(0), dkv.sum(0)])
            torch.mm(last.t(), dq, out=dw[:, :width])
            torch.mm(n1.t(), dkv, out=dw[:, width:])
            d_n1 = dkv @ w_qkv[:, width:].t()
            d_n1.index_add_(0, rows, dq @ w_qkv[:, :width].t())
        else:
            dw, db = n1.t() @ dq, dq.sum(0)
            d_n1 = dq @ w_qkv.t()
        dx, dg1, db1 = aten.native_layer_norm_backward(
            d_n1, x, [width], m1, r1, g1, b1, [True, True, True]
        )
        if rows is None:
            dx.add_(dy)
        else:
            dx.index_add_(0, rows, dy)
        return (dx, None, None, dg1, db1, dw, db, *of_out, dg2, db2, *of_up, *of_down)


def _attended(q: Tensor, kv: Tensor | None, layout: Layout) -> tuple[Tensor, list[Tensor]]:
    """What each token finds in its text [N, width], and the logarithms of what attention divides
    by, group by group."""
    found, sums = [], []
    for its in _by_group(q, kv, layout):
        o, lse = attention(*its, 0.0, kv is None, scale=layout.scale)
        found.append(o.transpose(1, 2).reshape(-1, o.shape[1] * o.shape[3]))
        sums.append(lse)
    return found[0] if len(found) == 1 else torch.cat(found), sums


def _by_group(q: Tensor, kv: Tensor | None, layout: Layout) -> Iterator[tuple[Tensor, ...]]:
    """Queries, keys and values of each group [texts, heads, tokens, size].

    Args:
        q: those of all tokens [N, 3 * width], or the queries of the last token of each text [S,
            width].
        kv: then, keys and values of all tokens [N, 2 * width].
        layout: of the layer.
    """
    first = text = 0
    for texts, tokens in layout.groups:
        n = texts * tokens
        rows, shape = slice(first, first + n), (texts, tokens, -1, layout.heads)
        if kv is None:
            parts = q[rows].view(texts, tokens, 3, layout.heads, -1).permute(2, 0, 3, 1, 4)
            yield parts[0], parts[1], parts[2]
        else:
            last = q[text : text + texts].view(texts, 1, layout.heads, -1).transpose(1, 2)
            parts = kv[rows].view(texts, tokens, 2, layout.heads, -1).permute(2, 0, 3, 1, 4)
            yield last, parts[0], parts[1]
        first, text = first + n, text + texts


def _before_attention(
    d: Tensor, q: Tensor, kv: Tensor | None, attended: Tensor, sums: list[Tensor], layout: Layout
) -> tuple[Tensor, Tensor | None]:
    """The gradients of `q` and `kv`, from that of what attention found."""
    dq = torch.empty_like(q)
    dkv = None if kv is None else torch.empty_like(kv)
    into = _by_group(dq, dkv, layout)
    first = 0
    for its, lse, places in zip(_by_group(q, kv, layout), sums, into, strict=True):
        texts, heads, tokens, size = its[0].shape
        rows = slice(first, first + texts * tokens)
        shape = (texts, tokens, heads, size)
        o, do = (t[rows].view(shape).transpose(1, 2) for t in (attended, d))
        found = attention_backward(do, *its, o, lse, 0.0, kv is None, scale=layout.scale)
        for place, gradient in zip(places, found, strict=True):
            place.copy_(gradient)
        first += texts * tokens
    return dq, dkv


def _among_zeros(x: Tensor, rows: Tensor, n: int) -> Tensor:
    """x [asked, width] at its rows of zeros [n, width]."""
    return x.new_zeros(n, x.shape[1]).index_copy_(0, rows, x)
