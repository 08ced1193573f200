"""GPT-2's layers on a CPU, forward and backward written out.

A layer is one node of the graph, and computes what somebody reads: real tokens alone, for the texts
of a batch lie one behind the other without padding between them (see `packing.py`); and in the last
layer of a model that classifies, of all tokens only keys and values, and the rest for the last
token of each text. The results are those of Transformers, up to the order of sums.

Where the trainer asks for bf16, the products with weights are made of numbers in bf16, and what is
between them in fp32.

Where a batch or a model is of another kind, as with adapters, dropout at work or weights in bf16,
`final_states` returns None, and Transformers computes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, layer_norm
from transformers import GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2Block
from transformers.pytorch_utils import Conv1D

from w2sweep.learning.activations import GeluByTanh, gelu_and_slope, gelu_by_tanh
from w2sweep.learning.batches import Batch, padded_behind
from w2sweep.learning.packing import Index, Packed
from w2sweep.learning.products import add_product, in_fp32, matmul_dtype, plus_product

aten = torch.ops.aten
EVERY = [True, True, True]
"""Of a norm, the gradients of what it norms, of its weight and of its bias."""


class Layout(NamedTuple):
    """How a layer computes."""

    width: int
    size: int
    """The width of a head."""
    blocks: list[tuple[int, int]]
    """Of each block of attention, its texts times its heads, and its tokens."""
    masks: list[Tensor]
    """Minus infinity where a token may not look, and 0 elsewhere: by block [tokens, tokens], or
    [texts * heads, 1, tokens]."""
    made: Index
    """Of queries, keys and values, or of keys and values."""
    found: Index
    """Of what attention finds."""
    scale: float
    """Of the products of queries and keys."""
    eps: float
    """What norms add to a variance."""
    learns: bool
    """Whether a backward pass may follow."""
    ends: bool
    """Whether of each text only the last token is read afterwards."""
    low: torch.dtype
    """What is multiplied with weights: fp32 or bf16."""


def final_states(lm: nn.Module, batch: Batch) -> Tensor | None:
    """Final hidden states at the positions asked for [asked, width]; None where the model or the
    batch is of another kind than what is written out here."""
    layers = _layers(lm, batch.ids)
    if layers is None or not padded_behind(batch.mask):
        return None
    assert isinstance(lm, GPT2LMHeadModel)
    body, config, packed = lm.transformer, lm.config, Packed.of(batch)
    x = embedding(batch.ids.flatten()[packed.places], body.wte.weight)
    x = x + embedding(packed.places % batch.ids.shape[1], body.wpe.weight)
    layout = _layout(packed, config.n_head, config.n_embd, config.layer_norm_epsilon)
    for scale, weights in layers[:-1]:
        x = _Layer.apply(x, layout._replace(scale=scale), None, *weights)
    if packed.back is not None:
        layout = _of_ends(layout, packed, config.n_head)
    scale, weights = layers[-1]
    x = _Layer.apply(x, layout._replace(scale=scale), packed.rows, *weights)
    if packed.back is not None:
        x = x.index_select(0, packed.back)  # type: ignore[union-attr]
    eps = config.layer_norm_epsilon
    return layer_norm(x, [config.n_embd], body.ln_f.weight, body.ln_f.bias, eps)  # type: ignore[arg-type]


def is_written_out(lm: nn.Module) -> bool:
    """Whether this model is written out here, if its weights are in fp32."""
    return type(lm) is GPT2LMHeadModel and type(lm.transformer.h[0].attn.c_attn) is Conv1D  # type: ignore[union-attr]


def _layers(lm: nn.Module, ids: Tensor) -> list[tuple[float, list[Tensor]]] | None:
    """By layer, what it scales the products of queries and keys by, and its weights; None where the
    model does anything but what is written out here."""
    if type(lm) is not GPT2LMHeadModel or ids.device.type != "cpu":
        return None
    body, config = lm.transformer, lm.config
    if config.add_cross_attention or config.reorder_and_upcast_attn:
        return None
    table = body.wte.weight
    if type(table) is not nn.Parameter or table.dtype is not torch.float32:
        return None
    if lm.training and (body.gradient_checkpointing or body.drop.p):
        return None
    layers = []
    for layer in body.h:
        modules = list(_modules(layer))  # type: ignore[arg-type]
        if not _is_plain(layer, modules):  # type: ignore[arg-type]
            return None
        weights = [p for module in modules for p in (module.weight, module.bias)]
        layers.append((float(layer.attn.scaling), weights))  # type: ignore[union-attr]
    return layers


def _is_plain(layer: GPT2Block, modules: list[nn.Module]) -> bool:
    attention, mlp = layer.attn, layer.mlp
    plain = all(type(module) in (nn.LayerNorm, Conv1D) for module in modules)
    if not plain or type(mlp.act) is not GeluByTanh:
        return False
    dropped = (attention.attn_dropout, attention.resid_dropout, mlp.dropout)
    return not layer.training or not any(dropout.p for dropout in dropped)


def _modules(layer: GPT2Block) -> Iterator[nn.Module]:
    """The modules of a layer that have weights, in the order of its computation."""
    yield from (layer.ln_1, layer.attn.c_attn, layer.attn.c_proj)
    yield from (layer.ln_2, layer.mlp.c_fc, layer.mlp.c_proj)


def _layout(packed: Packed, heads: int, width: int, eps: float) -> Layout:
    blocks, masks = [], []
    for texts, tokens in (block.rows.shape for block in packed.blocks):
        blocks.append((texts * heads, tokens))
        masks.append(torch.full((tokens, tokens), -torch.inf).triu_(1))
    made, found = packed.index(3, heads), packed.index(1, heads)
    learns, low = torch.is_grad_enabled(), matmul_dtype(packed.places.device)
    return Layout(width, width // heads, blocks, masks, made, found, 1.0, eps, learns, False, low)


def _of_ends(layout: Layout, packed: Packed, heads: int) -> Layout:
    """The layout of a layer of which only the last token of each text is read: it looks at all of
    its text."""
    masks = []
    for lengths, rows in packed.blocks:
        behind = torch.arange(rows.shape[1]) >= lengths[:, None]
        mask = torch.zeros(rows.shape).masked_fill_(behind, -torch.inf)
        masks.append(mask.repeat_interleave(heads, 0)[:, None])
    return layout._replace(masks=masks, made=packed.index(2, heads), ends=True)


class _Layer(torch.autograd.Function):
    """A layer: the hidden states of N tokens [N, width] -> those of all of them, or of the `rows`
    that are asked for alone, which spares the last layer most of its work."""

    @staticmethod
    @in_fp32
    def forward(
        ctx: Any, x: Tensor, layout: Layout, rows: Tensor | None, *weights: Tensor
    ) -> Tensor:
        g1, b1, w_made, b_made, w_out, b_out, g2, b2, w_up, b_up, w_down, b_down = weights
        width, low = [layout.width], layout.low
        w_made, w_out, w_up, w_down = (w.to(low) for w in (w_made, w_out, w_up, w_down))
        n1, *of_1 = aten.native_layer_norm(x, width, g1, b1, layout.eps)
        n1 = n1.to(low)
        last = q = None
        if layout.ends:
            assert rows is not None
            last = n1.index_select(0, rows)
            q = plus_product(b_made[: layout.width], last, w_made[:, : layout.width])
        rest = slice(layout.width if layout.ends else 0, None)
        heads = _before_padding(len(x), b_made[rest])
        plus_product(b_made[rest], n1, w_made[:, rest], out=heads[:-1])
        heads = _taken(heads, layout.made.into, layout)
        at, looks = _attended(q, heads, layout)
        y = x if rows is None else x.index_select(0, rows)
        if rows is not None and not layout.ends:
            at = at.index_select(0, rows)
        at = at.to(low)
        y = add_product(torch.add(y, b_out), at, w_out)
        n2, *of_2 = aten.native_layer_norm(y, width, g2, b2, layout.eps)
        n2 = n2.to(low)
        up = plus_product(b_up, n2, w_up)
        if not layout.learns:
            return add_product(y.add_(b_down), gelu_by_tanh(up).to(low), w_down)
        h, slope = gelu_and_slope(up)
        h = h.to(low)
        ctx.layout = layout
        found = (x, *of_1, n1, last, q, heads, at, y, *of_2, n2, slope, h)
        ctx.save_for_backward(rows, g1, b1, w_made, w_out, g2, b2, w_up, w_down, *found, *looks)
        return add_product(torch.add(y, b_down), h, w_down)

    @staticmethod
    @torch.autograd.function.once_differentiable
    @in_fp32
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
        layout: Layout = ctx.layout
        rows, g1, b1, w_made, w_out, g2, b2, w_up, w_down, *found = ctx.saved_tensors
        x, m1, r1, n1, last, q, heads, at, y, m2, r2, n2, slope, h, *looks = found
        width = [layout.width]
        *of_down, d_h = _before_product(d, h, w_down)
        *of_up, d_n2 = _before_product(d_h.mul_(slope), n2, w_up)
        dy, *of_norm_2 = aten.native_layer_norm_backward(d_n2, y, width, m2, r2, g2, b2, EVERY)
        dy.add_(d)
        low_dy = dy.to(layout.low)
        of_out = ((at.t() @ low_dy).float(), dy.sum(0))
        d_at = _before_out(low_dy, w_out, rows, len(x), layout)
        dq, d_heads = _before_attention(d_at, q, heads, looks, layout)
        d_made = _taken(d_heads, layout.made.back, layout).view(len(x), -1)
        if dq is not None:
            *of_made, d_n1 = _before_product(d_made, n1, w_made[:, layout.width :])
            *of_q, d_last = _before_product(dq, last, w_made[:, : layout.width])
            of_made = [torch.cat(pair, -1) for pair in zip(of_q, of_made, strict=True)]
            d_n1.index_add_(0, rows, d_last)
        else:
            *of_made, d_n1 = _before_product(d_made, n1, w_made)
        dx, *of_norm_1 = aten.native_layer_norm_backward(d_n1, x, width, m1, r1, g1, b1, EVERY)
        if rows is None:
            dx.add_(dy)
        else:
            dx.index_add_(0, rows, dy)
        of_attention, of_mlp = (*of_norm_1, *of_made, *of_out), (*of_norm_2, *of_up, *of_down)
        return (dx, None, None, *of_attention, *of_mlp)


def _before_product(d: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From the gradient of `x @ w` and a bias: those of the weight, of the bias and of x."""
    low = d.to(x.dtype)
    return (x.t() @ low).float(), d.sum(0), (low @ w.t()).float()


def _before_out(d: Tensor, w: Tensor, rows: Tensor | None, n: int, layout: Layout) -> Tensor:
    """From the gradient of what attention adds to tokens: that of what it finds, as blocks [taken,
    size]; of last tokens as [S, width]."""
    if layout.ends:
        return (d @ w.t()).float()
    found = _before_padding(n, w[0])
    if rows is None:
        torch.mm(d, w.t(), out=found[:-1])
    else:
        found.zero_().index_copy_(0, rows, d @ w.t())
    return _taken(found, layout.found.into, layout).float()


def _before_padding(n: int, like: Tensor) -> Tensor:
    """Memory for n rows as long as a row that is like them, and for one of zeros behind them."""
    memory = like.new_empty(n + 1, len(like))
    memory[-1].zero_()
    return memory


def _taken(x: Tensor, index: Tensor, layout: Layout) -> Tensor:
    """Rows of one head each [taken, size], out of x, of whatever shape."""
    return x.view(-1, layout.size).index_select(0, index)


def _attended(q: Tensor | None, heads: Tensor, layout: Layout) -> tuple[Tensor, list[Tensor]]:
    """What each token, or the last of each text, finds in its text [N or S, width]; and where it
    looks, by block."""
    found, looks = [], []
    for (its, k, v), mask in zip(_by_block(q, heads, layout), layout.masks, strict=True):
        p = torch.baddbmm(mask, its, k.transpose(1, 2), alpha=layout.scale).softmax(-1)
        found.append(torch.bmm(p, v).view(-1, layout.size))
        looks.append(p)
    everything = found[0] if len(found) == 1 else torch.cat(found)
    if q is None:
        everything = _taken(everything, layout.found.back, layout)
    return everything.view(-1, layout.width), looks


def _before_attention(
    d: Tensor, q: Tensor | None, heads: Tensor, looks: list[Tensor], layout: Layout
) -> tuple[Tensor | None, Tensor]:
    """The gradients of `q` and of `heads`."""
    dq, d_heads = None if q is None else torch.empty_like(q), torch.empty_like(heads)
    given, into = _by_block(q, heads, layout), _by_block(dq, d_heads, layout)
    taken = [texts * (tokens if q is None else 1) for texts, tokens in layout.blocks]
    of_found = d.view(-1, layout.size).split(taken)
    for its, of_its, p, do in zip(given, into, looks, of_found, strict=True):
        (at, k, v), (d_at, dk, dv) = its, of_its
        do = do.view_as(at)
        torch.bmm(p.transpose(1, 2), do, out=dv)
        scores = torch.bmm(do, v.transpose(1, 2))
        scores = aten._softmax_backward_data(scores, p, -1, p.dtype).mul_(layout.scale)
        torch.bmm(scores, k, out=d_at)
        torch.bmm(scores.transpose(1, 2), at, out=dk)
    return dq, d_heads


def _by_block(q: Tensor | None, heads: Tensor, layout: Layout) -> Iterator[Sequence[Tensor]]:
    """Of each block its queries, keys and values [texts * heads, tokens, size].

    Args:
        q: the queries of the last token of each text [S, width]; None: those of all tokens.
        heads: then, keys and values alone [taken, size].
        layout: of the layer.
    """
    parts = 3 if q is None else 2
    blocks = heads.split([parts * texts * tokens for texts, tokens in layout.blocks])
    of_all: list[tuple[Tensor, ...]] = []
    for (texts, tokens), block in zip(layout.blocks, blocks, strict=True):
        of_all.append(block.view(parts, texts, tokens, layout.size).unbind(0))
    if q is None:
        return iter(of_all)
    of_last = q.view(-1, 1, layout.size).split([texts for texts, _ in layout.blocks])
    return ((last, *found) for last, found in zip(of_last, of_all, strict=True))
