"""The written-out GPT-2 against Transformers' module, values and gradients, and what it leaves to
it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from rounding import check_rounding
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import GPT2Config, GPT2LMHeadModel

from w2sweep.learning import packing
from w2sweep.learning.activations import use_fewer_operations
from w2sweep.learning.batches import Batch, last_tokens
from w2sweep.learning.gpt2 import final_states, is_written_out
from w2sweep.learning.packing import Packed

VOCABULARY, WIDTH = 37, 12


def gpt2(depth: int = 2, **changes: object) -> GPT2LMHeadModel:
    torch.manual_seed(depth)
    options = {
        "vocab_size": VOCABULARY,
        "n_embd": WIDTH,
        "n_layer": depth,
        "n_head": 2,
        "n_positions": 24,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "initializer_range": 0.3,
        "attn_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        **changes,
    }
    config = GPT2Config(**options)  # type: ignore[arg-type]
    config._attn_implementation = "eager"
    lm = GPT2LMHeadModel(config)
    with torch.no_grad():
        for p in lm.parameters():  # biases of zero and norms of one would hide what is missing
            p.add_(torch.rand_like(p) * 0.3)
    return lm


def written_out(lm: GPT2LMHeadModel, batch: Batch) -> Tensor | None:
    use_fewer_operations(lm)
    return final_states(lm, batch)


def texts(lengths: list[int], ask: Callable[[Tensor], Tensor]) -> Batch:
    """Random texts of these lengths, padded behind."""
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(1, VOCABULARY, mask.shape) * mask
    return Batch(ids, mask, ask(mask), torch.zeros(len(lengths), 2))


def by_transformers(lm: GPT2LMHeadModel, batch: Batch) -> Tensor:
    positions = (batch.mask.cumsum(-1) - 1).clamp(min=0)
    given = {"attention_mask": batch.mask, "position_ids": positions}
    return lm.transformer(input_ids=batch.ids, **given).last_hidden_state[batch.asked]


def gradients(lm: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    lm.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in lm.named_parameters() if p.grad is not None}


def all_tokens(mask: Tensor) -> Tensor:
    return mask.bool()


def second_halves(mask: Tensor) -> Tensor:
    """The last two tokens of each text, as of a completion."""
    behind = mask.flip(-1).cumsum(-1).flip(-1)
    return mask.bool() & (behind <= 2)


def first_tokens(mask: Tensor) -> Tensor:
    return mask.bool() & (mask.cumsum(-1) == 1)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("ask", [all_tokens, last_tokens, second_halves, first_tokens])
@pytest.mark.parametrize("lengths", [[9, 9, 9], [3, 17, 1, 8, 9]], ids=["windows", "padded"])
def test_states_and_gradients_are_those_of_transformers(
    depth: int, lengths: list[int], ask: Callable[[Tensor], Tensor]
):
    lm, batch = gpt2(depth), texts(lengths, ask)
    expected = by_transformers(lm, batch)
    direction = torch.randn_like(expected)
    theirs = gradients(lm, (expected * direction).sum())
    found = written_out(lm, batch)
    assert found is not None
    assert_close(found, expected, rtol=1e-5, atol=1e-5)
    ours = gradients(lm, (found * direction).sum())
    assert ours.keys() == theirs.keys()
    assert len(ours) == 4 + 12 * depth
    for name, gradient in theirs.items():
        assert_close(ours[name], gradient, rtol=1e-3, atol=2e-4, msg=name)
    with torch.no_grad():
        assert_close(final_states(lm, batch), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ask", [all_tokens, last_tokens])
def test_in_bf16_they_are_no_further_from_fp32_than_transformers_are(
    ask: Callable[[Tensor], Tensor],
):
    check_rounding(by_transformers, written_out, lambda: gpt2(3), texts([9, 7, 2], ask))


def test_each_layer_has_its_own_scale():
    batch = texts([9, 4], last_tokens)
    for scaled in (True, False):
        lm = gpt2(3, scale_attn_weights=scaled, scale_attn_by_inverse_layer_idx=True)
        expected = by_transformers(lm, batch)
        assert_close(written_out(lm, batch), expected, rtol=1e-5, atol=1e-5)


def test_what_is_frozen_gets_no_gradient():
    lm, batch = gpt2(), texts([5, 4], last_tokens)
    lm.get_parameter("transformer.h.0.mlp.c_fc.weight").requires_grad_(False)
    lm.get_parameter("transformer.wpe.weight").requires_grad_(False)
    found = written_out(lm, batch)
    assert found is not None
    given = gradients(lm, found.sum())
    assert len(given) == 4 + 12 * 2 - 2
    assert "transformer.h.0.mlp.c_fc.weight" not in given
    assert "transformer.wpe.weight" not in given


def test_padding_and_other_texts_of_a_batch_change_nothing():
    lm, batch = gpt2(), texts([9, 3, 9, 1], last_tokens)
    together = written_out(lm, batch)
    assert together is not None
    for row, alone in enumerate(together):
        cut = slice(int(batch.mask[row].sum()))
        ids, mask, asked = (x[row : row + 1, cut] for x in batch[:3])
        one = Batch(ids, mask, asked, batch.targets[:1])
        assert_close(final_states(lm, one), alone[None], rtol=1e-5, atol=1e-5)


def test_other_models_and_batches_are_left_to_transformers():
    batch = texts([6, 4], last_tokens)
    assert written_out(gpt2(), batch) is not None
    different: list[dict[str, Any]] = [
        {"add_cross_attention": True},
        {"reorder_and_upcast_attn": True},
        {"activation_function": "relu"},
        {"attn_pdrop": 0.1},
        {"resid_pdrop": 0.1},
        {"embd_pdrop": 0.1},
    ]
    for changes in different:
        assert written_out(gpt2(**changes).train(), batch) is None, changes
    assert written_out(gpt2(attn_pdrop=0.1, embd_pdrop=0.1).eval(), batch) is not None
    assert written_out(gpt2().bfloat16(), batch) is None
    adapted = gpt2()
    adapted.transformer.h[1].mlp.c_fc = nn.Sequential(nn.Linear(WIDTH, 48))  # type: ignore[union-attr]
    assert written_out(adapted, batch) is None
    assert written_out(gpt2(), batch._replace(mask=batch.mask.flip(-1))) is None
    checkpointing = gpt2().train()
    checkpointing.activation_checkpointing_enable()
    assert written_out(checkpointing, batch) is None
    assert is_written_out(gpt2())
    assert not is_written_out(nn.Linear(2, 2))


def test_texts_of_about_the_same_length_attend_together():
    """Two of 17 and 20 tokens as 24; of 8 as 8; of 3 and 1 as 8 too: blocks are multiples of 8."""
    packed = Packed.of(texts([3, 17, 8, 1, 20], last_tokens))
    assert packing.ALIGNED == 8
    assert packed.lengths.tolist() == [20, 17, 8, 3, 1]
    assert [tuple(block.rows.shape) for block in packed.blocks] == [(2, 24), (3, 8)]
    numbers = torch.arange(49 + 1) * 10.0  # a number a token, and one for padding
    index = packed.index(1, 1)
    in_blocks = numbers[index.into]
    assert in_blocks[:24].tolist() == [i * 10.0 for i in range(20)] + [490.0] * 4
    assert in_blocks[-8:].tolist() == [480.0] + [490.0] * 7
    assert in_blocks[index.back].tolist() == numbers[:-1].tolist()
