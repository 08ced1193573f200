"""The small Llamas of homegrown ladders on a CPU, forward and backward written out.

A model this small spends half of its time on what each of Transformers' many small operations, and
of their gradients, costs beside its arithmetic. Here a layer is one node of the graph: one matmul
for queries, keys and values, one for gate and up, a rotation that is a product of complex numbers,
residuals added where matmuls end. The results are those of Transformers, up to the order of sums.

Where the trainer asks for bf16, the products with weights are made of numbers in bf16, and what is
between them in fp32: sums of residuals, norms, and attention, whose matmuls are too small to gain.

Several models of one shape are computed by the same code (`stacked_llama.py`): all tensors then
have a first dimension more, the models.

Padding is behind the text, where causal attention sees none of it, so there is no mask of it. Where
a batch or a model is of another kind, `final_states` returns None, and Transformers computes them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, silu
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from w2sweep.learning.batches import Batch, padded_behind
from w2sweep.learning.products import in_fp32, matmul_dtype, plus_product

aten = torch.ops.aten


class Tables(NamedTuple):
    """What depends on the length of a text alone."""

    rotation: Tensor
    """Complex numbers that turn queries and keys [T, width]: width / 2 of them for the pairs of
    numbers in the queries of a token, as many for those in its keys."""
    future: Tensor
    """Minus infinity where a token may not look [T, T], and 0 elsewhere."""
    paired: Tensor
    """Which rows of the weights of queries, keys and values [3 * width] to take, so that the two
    numbers that are turned together lie side by side."""
    unpaired: Tensor
    """The inverse of `paired`: which rows to take to have them in the model's own order."""


class Layout(NamedTuple):
    """How the numbers of a batch are laid out in a layer."""

    sequences: int
    """S, of all models together."""
    tokens: int
    """T, of a sequence."""
    heads: int
    size: int
    """The width of a head."""
    eps: float
    """What norms add to a mean square before they divide by its root."""
    low: torch.dtype
    """What matrices are multiplied in: fp32 or bf16."""

    @staticmethod
    def of(config: LlamaConfig, sequences: int, tokens: int, device: torch.device) -> Layout:
        heads = config.num_attention_heads
        size, eps = config.hidden_size // heads, config.rms_norm_eps
        return Layout(sequences, tokens, heads, size, eps, matmul_dtype(device))


class LayerWeights(NamedTuple):
    """Of one layer."""

    before: Tensor
    """Of the norm before attention [width]."""
    between: Tensor
    """Of the norm before the feed-forward part [width]."""
    qkv: Tensor
    """Those of queries, keys and values, one below the other [3 * width, width]."""
    out: Tensor
    """[width, width]."""
    gate_up: Tensor
    """Gate and up, one below the other [2 * inner, width]."""
    down: Tensor
    """[width, inner]."""


def final_states(lm: nn.Module, batch: Batch) -> Tensor | None:
    """Final hidden states at the positions asked for [asked, width]; None where the model or the
    batch is of another kind than what is written out here."""
    weights = _weights(lm, batch.ids)
    if weights is None or not padded_behind(batch.mask):
        return None
    assert isinstance(lm, LlamaForCausalLM)
    table, layers, norm = weights
    x = embedding(batch.ids.flatten(), table, lm.model.embed_tokens.padding_idx)
    asked = None if batch.asked.all() else batch.asked.flatten().nonzero()[:, 0]
    return through_layers(x, batch.ids.shape[1], layers, norm, lm.config, asked)


def through_layers(
    x: Tensor,
    tokens: int,
    layers: Sequence[LayerWeights],
    norm: Tensor,
    config: LlamaConfig,
    rows: Tensor | None,
) -> Tensor:
    """Final hidden states [asked, width], of M models [M, asked, width].

    Args:
        x: the embeddings of all tokens [N, width], of M models [M, N, width].
        tokens: how many each sequence has.
        layers: their weights.
        norm: the weight of the last norm.
        config: of the models.
        rows: which tokens are asked for, as many of each model, counted on from one model to the
            next; None: all.
    """
    layout = Layout.of(config, x[..., 0].numel() // tokens, tokens, x.device)
    theta = float(config.rope_parameters["rope_theta"])  # type: ignore[index]
    tables = _tables(tokens, layout.heads, layout.size, theta, x.device)
    for number, weights in enumerate(layers, start=1):
        last = number == len(layers)
        x = _Layer.apply(x, layout, tables, rows if last else None, *weights)  # type: ignore[assignment]
    return _Norm.apply(x, norm, layout.eps)  # type: ignore[return-value]


def _weights(lm: nn.Module, ids: Tensor) -> tuple[Tensor, list[LayerWeights], Tensor] | None:
    """The embedding, the weights of each layer, and that of the last norm; None where the model
    does anything but what is written out here, as with adapters, in shards or with weights in
    bf16."""
    if type(lm) is not LlamaForCausalLM or ids.device.type != "cpu" or not is_plain(lm.config):
        return None
    body = lm.model
    if lm.training and body.gradient_checkpointing:
        return None
    layers = []
    for layer in body.layers:
        modules = list(_modules(layer))  # type: ignore[arg-type]
        if any(type(module) is not nn.Linear for module in modules[2:]):
            return None
        weights: list[Any] = [module.weight for module in modules]
        before, between, q, k, v, out, gate, up, down = weights
        qkv, gate_up = torch.cat([q, k, v]), torch.cat([gate, up])
        layers.append(LayerWeights(before, between, qkv, out, gate_up, down))
    table = body.embed_tokens.weight
    if type(table) is not nn.Parameter or table.dtype is not torch.float32:
        return None
    return table, layers, body.norm.weight  # type: ignore[return-value]


def _modules(layer: LlamaDecoderLayer) -> Iterator[nn.Module]:
    """The modules of a layer that have weights: its norms, then its matrices."""
    attention, mlp = layer.self_attn, layer.mlp
    yield from (layer.input_layernorm, layer.post_attention_layernorm)
    yield from (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
    yield from (mlp.gate_proj, mlp.up_proj, mlp.down_proj)


def is_plain(config: LlamaConfig) -> bool:
    """Whether the model computes as those that are made here do."""
    size = config.hidden_size // config.num_attention_heads
    return (
        config.hidden_act == "silu"
        and not config.attention_bias
        and not config.mlp_bias
        and config.num_key_value_heads == config.num_attention_heads
        and config.head_dim == size
        and size % 2 == 0
        and config.attention_dropout == 0
        and config.rope_parameters["rope_type"] == "default"  # type: ignore[index]
    )


@functools.lru_cache(maxsize=128)
def _tables(tokens: int, heads: int, size: int, theta: float, device: torch.device) -> Tables:
    """Those of texts of so many tokens, for heads of `size` numbers. The angles are Transformers',
    to the bit."""
    with torch.no_grad(), torch.inference_mode(False):
        speeds = 1.0 / (theta ** (torch.arange(0, size, 2, dtype=torch.float) / size))
        angles = torch.arange(tokens).float()[:, None] * speeds
        rotation = torch.complex(angles.cos(), angles.sin()).repeat(1, 2 * heads)
        future = torch.full((tokens, tokens), -torch.inf).triu_(1)
        rows = torch.arange(3 * heads * size)
        turned = rows[: 2 * heads * size].view(-1, 2, size // 2).transpose(1, 2).flatten()
        paired = torch.cat([turned, rows[2 * heads * size :]])
        found = (rotation, future, paired, paired.argsort())
        return Tables(*(tensor.to(device) for tensor in found))


class _Norm(torch.autograd.Function):
    """The last norm: [N, width] -> [N, width]."""

    @staticmethod
    @in_fp32
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, r = _normed(x, eps)
        ctx.save_for_backward(y, r, weight)
        return y * weight.unsqueeze(-2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    @in_fp32
    def backward(ctx: Any, dn: Tensor) -> tuple[Tensor, Tensor, None]:
        y, r, weight = ctx.saved_tensors
        dy, d_weight = _before_norm(dn.clone(), y, weight)
        return dy.mul_(r), d_weight, None


class _Layer(torch.autograd.Function):
    """A layer: the hidden states of N = S * T tokens [N, width] -> those of all of them, or of the
    `rows` that are asked for alone, which spares the last layer most of its work. (Of M models
    [M, N, width]; `rows` then count on from one to the next.)"""

    @staticmethod
    @in_fp32
    def forward(
        ctx: Any,
        x: Tensor,
        layout: Layout,
        tables: Tables,
        rows: Tensor | None,
        *weights: Tensor,
    ) -> Tensor:
        g1, g2, *matrices = weights
        w_qkv, w_out, w_gate_up, w_down = (w.to(layout.low) for w in matrices)
        low = layout.low
        y1, r1 = _normed(x, layout.eps)
        n1 = (y1 * g1.unsqueeze(-2)).to(low)
        w_qkv = w_qkv.index_select(-2, tables.paired)
        qkv = (n1 @ w_qkv.mT).float()
        _turned(qkv, layout, tables.rotation)
        heads = _by_head(qkv, layout)
        q, k, v = heads
        scale = layout.size**-0.5
        p = torch.baddbmm(tables.future, q, k.mT, alpha=scale).softmax(-1)
        attended = _by_token(torch.bmm(p, v)[None], layout).view(x.shape)
        if rows is not None:
            x, attended = _picked(x, rows), _picked(attended, rows)
        attended = attended.to(low)
        x = plus_product(x, attended, w_out.mT)
        y2, r2 = _normed(x, layout.eps)
        n2 = (y2 * g2.unsqueeze(-2)).to(low)
        gate_up = n2 @ w_gate_up.mT
        gate, up = gate_up.chunk(2, -1)
        activated = silu(gate)
        h = activated * up
        ctx.layout, ctx.tables = layout, tables
        found = (y1, r1, n1, heads, p, attended, y2, r2, n2, gate_up, activated, h)
        ctx.save_for_backward(rows, g1, g2, w_qkv, w_out, w_gate_up, w_down, *found)
        return plus_product(x, h, w_down.mT)

    @staticmethod
    @torch.autograd.function.once_differentiable
    @in_fp32
    def backward(ctx: Any, dx: Tensor) -> tuple[Tensor | None, ...]:
        rows, g1, g2, w_qkv, w_out, w_gate_up, w_down, *found = ctx.saved_tensors
        y1, r1, n1, heads, p, attended, y2, r2, n2, gate_up, activated, h = found
        gate, up = gate_up.chunk(2, -1)
        low = ctx.layout.low
        d = dx.to(low)
        d_down = (d.mT @ h).float()
        dh = d @ w_down
        d_gate_up = torch.empty_like(gate_up)
        d_gate, d_up = d_gate_up.chunk(2, -1)
        torch.mul(dh, activated, out=d_up)
        aten.silu_backward.grad_input(dh.mul_(up), gate, grad_input=d_gate)
        dy, dg2 = _before_norm((d_gate_up @ w_gate_up).float(), y2, g2)
        dx = torch.addcmul(dx, dy, r2)
        d = dx.to(low)
        d_out = (d.mT @ attended).float()
        d_attended = (d @ w_out).float()
        if rows is not None:
            dx, d_attended = (_among_zeros(d, rows, y1) for d in (dx, d_attended))
        d_qkv = _before_attention(d_attended, heads, p, ctx.layout)
        _turned(d_qkv, ctx.layout, ctx.tables.rotation.conj())
        d_qkv = d_qkv.to(low)
        dy, dg1 = _before_norm((d_qkv @ w_qkv).float(), y1, g1)
        dx = torch.addcmul(dx, dy, r1)
        of_qkv = (d_qkv.mT @ n1).float().index_select(-2, ctx.tables.unpaired)
        of_gate_up = (d_gate_up.mT @ n2).float()
        return (dx, None, None, None, dg1, dg2, of_qkv, d_out, of_gate_up, d_down)


def _normed(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x [N, width] divided by the root of its mean square, and one over that root [N, 1]."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    r = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    return x * r, r


def _before_norm(dn: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """From the gradient `dn` [N, width] behind a norm that found `y` (see `_normed`): the gradient
    of what it norms [N, width], still to be divided by the roots, and that of its weight [width].
    `dn` is overwritten."""
    both = dn * y
    if weight.ndim == 1:
        mean = torch.mv(both, weight)[:, None]
    else:
        mean = torch.bmm(both, weight[:, :, None])
    mean.div_(weight.shape[-1])
    return dn.mul_(weight.unsqueeze(-2)).addcmul_(y, mean, value=-1), both.sum(-2)


def _before_attention(d_attended: Tensor, heads: Tensor, p: Tensor, layout: Layout) -> Tensor:
    """The gradient of queries, keys and values [N, 3 * width]. `p`: where each token looks
    [S * heads, T, T]."""
    before = d_attended.shape[:-1]
    q, k, v = heads
    d = torch.empty_like(heads)
    (da,) = _by_head(d_attended, layout)
    torch.bmm(p.mT, da, out=d[2])
    scores = torch.bmm(da, v.mT)
    scores = aten._softmax_backward_data(scores, p, -1, p.dtype)
    scores.mul_(layout.size**-0.5)
    torch.bmm(scores, k, out=d[0])
    torch.bmm(scores.mT, q, out=d[1])
    return _by_token(d, layout).view(*before, -1)


def _turned(qkv: Tensor, layout: Layout, rotation: Tensor) -> None:
    """Turns the queries and keys in `qkv` [N, 3 * width] by the positions of their tokens, in
    place."""
    width = rotation.shape[1]
    pairs = qkv.view(layout.sequences, layout.tokens, -1, 2)[:, :, :width]
    torch.view_as_complex(pairs).mul_(rotation)


def _by_head(x: Tensor, layout: Layout) -> Tensor:
    """[N, n * width] -> [n, S * heads, T, size]. (n is 3 for queries, keys and values.)"""
    parts = x.view(layout.sequences, layout.tokens, -1, layout.heads, layout.size)
    return parts.permute(2, 0, 3, 1, 4).reshape(parts.shape[2], -1, layout.tokens, layout.size)


def _by_token(x: Tensor, layout: Layout) -> Tensor:
    """[n, S * heads, T, size] -> [N, n * width]: the inverse of `_by_head`."""
    parts = x.view(len(x), layout.sequences, layout.heads, layout.tokens, -1)
    return parts.permute(1, 3, 0, 2, 4).reshape(layout.sequences * layout.tokens, -1)


def _picked(x: Tensor, rows: Tensor) -> Tensor:
    """Some rows of x [..., N, width], as many of each model [..., asked, width]."""
    return x.flatten(0, -2).index_select(0, rows).view(*x.shape[:-2], -1, x.shape[-1])


def _among_zeros(x: Tensor, rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_picked`: zeros elsewhere, shaped as `like`."""
    zeros = torch.zeros_like(like)
    zeros.view(-1, like.shape[-1]).index_copy_(0, rows, x.flatten(0, -2))
    return zeros
