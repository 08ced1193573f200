"""The written-out Llama and its loss against Transformers' module and torch's functions, values and
gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from rounding import check_rounding, flat_gradients, in_bf16
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from w2sweep.learning import cross_entropy as losses
from w2sweep.learning.batches import Batch, last_tokens
from w2sweep.learning.cross_entropy import cross_entropy_of_tokens
from w2sweep.learning.llama import final_states

VOCABULARY, WIDTH = 37, 12


def llama(depth: int = 2, **changes: object) -> LlamaForCausalLM:
    torch.manual_seed(depth)
    options = {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": 20,
        "num_hidden_layers": depth,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "pad_token_id": 1,
        "initializer_range": 0.3,
        "tie_word_embeddings": True,
        **changes,
    }
    config = LlamaConfig(**options)  # type: ignore[arg-type]
    config._attn_implementation = "eager"
    lm = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, p in lm.named_parameters():
            if "norm" in name:  # weights of one would hide a missing factor
                p.add_(torch.rand_like(p))
    return lm


def texts(lengths: list[int], ask: Callable[[Tensor], Tensor]) -> Batch:
    """Random texts of these lengths, padded behind."""
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(2, VOCABULARY, mask.shape) * mask + (1 - mask)
    asked = ask(mask)
    return Batch(ids, mask, asked, torch.randint(VOCABULARY, (int(asked.sum()),)))


def by_transformers(lm: LlamaForCausalLM, batch: Batch) -> Tensor:
    positions = (batch.mask.cumsum(-1) - 1).clamp(min=0)
    states = lm.model(input_ids=batch.ids, attention_mask=batch.mask, position_ids=positions)
    return states.last_hidden_state[batch.asked]


def gradients(lm: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    lm.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in lm.named_parameters() if p.grad is not None}


def all_tokens(mask: Tensor) -> Tensor:
    return mask.bool()


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(
    ("lengths", "ask"),
    [([9, 9, 9], all_tokens), ([9, 3, 1], all_tokens), ([9, 3, 1], last_tokens)],
    ids=["windows", "padded", "last tokens"],
)
def test_states_and_gradients_are_those_of_transformers(
    depth: int, lengths: list[int], ask: Callable[[Tensor], Tensor]
):
    lm, batch = llama(depth), texts(lengths, ask)
    expected, found = by_transformers(lm, batch), final_states(lm, batch)
    assert found is not None
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    direction = torch.randn_like(expected)
    theirs = gradients(lm, (expected * direction).sum())
    ours = gradients(lm, (found * direction).sum())
    assert ours.keys() == theirs.keys()
    assert len(ours) == 2 + 9 * depth
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=2e-4, msg=name)


def test_what_is_frozen_gets_no_gradient():
    lm, batch = llama(), texts([5, 4], all_tokens)
    lm.get_parameter("model.layers.0.mlp.down_proj.weight").requires_grad_(False)
    found = final_states(lm, batch)
    assert found is not None
    given = gradients(lm, found.sum())
    assert "model.layers.0.mlp.down_proj.weight" not in given
    assert len(given) == 2 + 9 * 2 - 1


@pytest.mark.parametrize("ask", [all_tokens, last_tokens])
def test_in_bf16_they_are_no_further_from_fp32_than_transformers_are(
    ask: Callable[[Tensor], Tensor],
):
    check_rounding(by_transformers, final_states, lambda: llama(3), texts([9, 7, 2], ask))


def test_in_bf16_a_backward_pass_is_the_same_outside_of_autocast():
    lm, batch = llama(), texts([9, 7, 2], all_tokens)
    with in_bf16():
        within, behind = final_states(lm, batch), final_states(lm, batch)
        assert within is not None
        assert behind is not None
        expected = flat_gradients(lm, within.square().sum())
    found = flat_gradients(lm, behind.square().sum())
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_other_models_and_batches_are_left_to_transformers():
    batch = texts([6, 4], all_tokens)
    assert final_states(llama(), batch) is not None
    different: list[dict[str, Any]] = [
        {"num_key_value_heads": 1},
        {"attention_bias": True},
        {"mlp_bias": True},
        {"hidden_act": "gelu"},
        {"head_dim": 8},
        {"attention_dropout": 0.1},
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10_000.0}},
    ]
    for changes in different:
        assert final_states(llama(**changes), batch) is None, changes
    assert final_states(llama().bfloat16(), batch) is None
    adapted = llama()
    adapted.model.layers[1].mlp.up_proj = nn.Sequential(nn.Linear(WIDTH, 20))  # type: ignore[assignment]
    assert final_states(adapted, batch) is None
    left = batch._replace(mask=batch.mask.flip(-1))
    assert final_states(llama(), left) is None
    checkpointing = llama().train()
    checkpointing.activation_checkpointing_enable()
    assert final_states(checkpointing, batch) is None


@pytest.mark.parametrize("at_once", [1, 4, 5, 100], ids=lambda n: f"{n} rows")
@pytest.mark.parametrize("lowered", [0.0, 90.0, -90.0], ids=lambda by: f"by {by:.0f}")
def test_the_loss_of_tokens_is_torchs(
    monkeypatch: pytest.MonkeyPatch, at_once: int, lowered: float
):
    """Chunks that end with the rows and such that do not; logits whose powers overflow, and such
    whose powers vanish."""
    monkeypatch.setattr(losses, "AT_ONCE", {torch.float32: at_once})
    torch.manual_seed(0)
    hidden, table = torch.randn(10, WIDTH), torch.randn(VOCABULARY, WIDTH)
    hidden[:, 0], table[:, 0] = 1.0, -lowered
    tokens = torch.randint(VOCABULARY, (10,))
    hidden.requires_grad_()
    table.requires_grad_()
    wide = [x.detach().double().requires_grad_() for x in (hidden, table)]
    expected = cross_entropy(wide[0] @ wide[1].t(), tokens)
    found = cross_entropy_of_tokens(hidden, table, tokens)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    (3 * expected).backward()
    (3 * found).backward()
    for ours, theirs in zip((hidden, table), wide, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("at_once", [1, 4, 100], ids=lambda n: f"{n} rows")
def test_in_bf16_the_loss_is_no_further_from_fp32_than_torchs(
    monkeypatch: pytest.MonkeyPatch, at_once: int
):
    monkeypatch.setattr(losses, "AT_ONCE", {torch.bfloat16: at_once})
    torch.manual_seed(0)
    hidden, table = torch.randn(40, WIDTH), torch.randn(VOCABULARY, WIDTH)
    tokens = torch.randint(VOCABULARY, (40,))
    learning = [hidden.requires_grad_(), table.requires_grad_()]

    def found(loss: Tensor) -> Tensor:
        """The loss and its gradients, in one row."""
        parts = [loss.detach(), *torch.autograd.grad(loss, learning)]
        return torch.cat([part.flatten().float() for part in parts])

    exact = found(cross_entropy(hidden @ table.t(), tokens))
    with in_bf16():
        theirs = found(cross_entropy((hidden @ table.t()).float(), tokens))
        ours = found(cross_entropy_of_tokens(hidden, table, tokens))
    assert 0 < (ours - exact).norm() < 1.2 * (theirs - exact).norm()


def test_a_loss_that_nothing_learns_from_is_the_same():
    torch.manual_seed(0)
    hidden, table = torch.randn(10, WIDTH), torch.randn(VOCABULARY, WIDTH)
    tokens = torch.randint(VOCABULARY, (10,))
    found = cross_entropy_of_tokens(hidden, table, tokens)
    torch.testing.assert_close(found, cross_entropy(hidden @ table.t(), tokens))
    assert not found.requires_grad


def test_tied_tables_get_the_gradients_of_both_ends_and_untied_ones_their_own():
    for tied in (True, False):
        lm, batch = llama(tie_word_embeddings=tied), texts([7, 5], all_tokens)
        logits = lm.lm_head(by_transformers(lm, batch))
        theirs = gradients(lm, cross_entropy(logits, batch.targets))
        states = final_states(lm, batch)
        assert states is not None
        loss = cross_entropy_of_tokens(states, lm.lm_head.weight, batch.targets)
        ours = gradients(lm, loss)
        assert ours.keys() == theirs.keys()
        for name, gradient in theirs.items():
            torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-5, msg=name)
