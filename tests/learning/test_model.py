"""Nets: pooling, padding, heads, tunings, on tiny random backbones of the families that users have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from toys import ToyCorpus
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from w2sweep.experiment.ladder import HubRung, Tokenizer
from w2sweep.experiment.tuning import Full, Lora
from w2sweep.learning.batches import Batch, last_tokens
from w2sweep.learning.checkpoint import learned
from w2sweep.learning.model import Net, load, unembedding
from w2sweep.learning.tokens import Ragged, encode, train_tokenizer
from w2sweep.learning.tuned import parameter_groups, tune
from w2sweep.tasks.heads import Choice, Completion, Reward
from w2sweep.values import ConfigError

TEXTS = ["the sun", "one old old song was there and it was fine", "a new thorn was there"]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(Tokenizer("bpe", vocabulary=300), list(ToyCorpus().documents()))


def language_model(family: str, vocabulary: int) -> PreTrainedModel:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": vocabulary,
    }
    llama_like = {**sizes, "intermediate_size": 24, "num_key_value_heads": 2}
    match family:
        case "llama":
            lm = LlamaForCausalLM(LlamaConfig(**llama_like))
        case "qwen3":
            lm = Qwen3ForCausalLM(Qwen3Config(**llama_like, head_dim=8))
        case "neox":
            lm = GPTNeoXForCausalLM(GPTNeoXConfig(**sizes, intermediate_size=24))
        case _:
            lm = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=vocabulary))
    return lm.eval()


def batch(tokenizer: PreTrainedTokenizerFast, texts: list[str], left: bool) -> Batch:
    ids, mask = Ragged.of(encode(tokenizer, texts, 64)).padded(
        torch.arange(len(texts)).numpy(), 0, left
    )
    return Batch(ids, mask, last_tokens(mask), torch.zeros(0))


@pytest.mark.parametrize("family", ["llama", "qwen3", "neox", "gpt2"])
@pytest.mark.parametrize("head", [Choice(init="zero"), Reward(init="zero"), Choice(), Reward()])
def test_padding_on_either_side_gives_the_same_logits(
    family: str, head: Choice | Reward, tokenizer: PreTrainedTokenizerFast
):
    net = Net(language_model(family, len(tokenizer)), tokenizer, head)
    if head.init == "zero":  # a zero head would agree with anything
        torch.nn.init.normal_(net.get_parameter("own_head.weight"))
    texts = TEXTS[:2] if isinstance(head, Reward) else TEXTS
    right, left = (net(batch(tokenizer, texts, left)) for left in (False, True))
    assert_close(right, left, atol=1e-5, rtol=1e-4)
    alone = torch.cat([net.hidden(batch(tokenizer, [t], False)) for t in texts])
    assert_close(net.hidden(batch(tokenizer, texts, True)), alone, atol=1e-5, rtol=1e-4)


def test_a_pad_token_that_is_a_real_token_moves_nothing(tokenizer: PreTrainedTokenizerFast):
    """Pooling by "token id is not 0" goes wrong as soon as the text holds token 0."""
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    assert last_tokens(mask).tolist() == [[False, False, True, False], [False, False, False, True]]


def test_ragged_pads_by_one_indexing():
    ragged = Ragged.of([[5], [6, 7, 8], [9, 9]])
    ids, mask = ragged.padded(torch.tensor([2, 1]).numpy(), pad=0)
    assert ids.tolist() == [[9, 9, 0], [6, 7, 8]]
    assert mask.tolist() == [[1, 1, 0], [1, 1, 1]]
    ids, _ = ragged.padded(torch.tensor([0, 2]).numpy(), pad=0, left=True)
    assert ids.tolist() == [[0, 5], [9, 9]]


def test_too_long_a_text_loses_its_beginning_but_not_its_mark(tokenizer: PreTrainedTokenizerFast):
    (whole,), (cut,) = encode(tokenizer, [TEXTS[1]], 64), encode(tokenizer, [TEXTS[1]], 5)
    assert cut == [whole[0], *whole[-4:]]
    assert encode(tokenizer, ["fine"], 64, begin=False)[0][0] != whole[0]


def test_a_choice_starts_from_the_unembedding_rows_of_its_digits(
    tokenizer: PreTrainedTokenizerFast,
):
    lm = language_model("llama", len(tokenizer))
    weight = Net(lm, tokenizer, Choice()).get_parameter("own_head.weight")
    rows = [tokenizer.convert_tokens_to_ids("0"), tokenizer.convert_tokens_to_ids("1")]
    assert_close(weight, unembedding(lm).weight[rows])


def test_a_head_without_its_digits_is_refused():
    words = train_tokenizer(Tokenizer("word"), ["no digits here"])
    with pytest.raises(ConfigError, match=r"lacks one of \['0', '1'\].*task.head.init=zero"):
        Net(language_model("llama", len(words)), words, Choice())


def test_greedy_completion_ends_at_the_end(tokenizer: PreTrainedTokenizerFast):
    net = Net(language_model("llama", len(tokenizer)), tokenizer, Completion())
    ids, mask = Ragged.of(encode(tokenizer, TEXTS, 64)).padded(
        torch.arange(3).numpy(), net.pad, left=True
    )
    together = net.complete(ids, mask, 4)
    alone = []
    for text in TEXTS:
        one = torch.tensor(encode(tokenizer, [text], 64))
        alone += net.complete(one, torch.ones_like(one), 4)
    assert together == alone


@pytest.fixture
def saved(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Path:
    lm = GPT2LMHeadModel(
        GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=len(tokenizer), resid_pdrop=0.5)
    )
    lm.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def hub(path: Path) -> HubRung:
    return HubRung(lr=1e-3, model=str(path), params=1, pretrain_tokens=1)


def test_a_local_folder_is_a_rung_and_has_no_dropout(
    saved: Path, tokenizer: PreTrainedTokenizerFast
):
    net = load(hub(saved), None, Choice(), seed=0).train()
    first, second = (net(batch(tokenizer, TEXTS, False)) for _ in range(2))
    assert_close(first, second, atol=0, rtol=0)


def test_an_untrained_rung_has_the_architecture_but_not_the_weights(saved: Path):
    trained, untrained = (
        load(hub(saved), None, None, seed=0),
        load(hub(saved).untrained(), None, None, seed=0),
    )
    a, b = (net.lm.get_input_embeddings().get_parameter("weight") for net in (trained, untrained))
    assert a.shape == b.shape
    assert not torch.equal(a, b)


def test_pickled_weights_are_refused(saved: Path):
    (saved / "model.safetensors").unlink()
    torch.save({}, saved / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load(hub(saved), None, None, seed=0)


def names(net: Net, tuning: Full | Lora) -> set[str]:
    tune(net, tuning)
    return set(learned(net))


def test_tunings_choose_what_learns(saved: Path):
    full = names(load(hub(saved), None, Choice(), 0), Full())
    lora = names(load(hub(saved), None, Choice(), 0), Lora(rank=2))
    assert {"own_head.weight", "own_head.bias", "lm.transformer.wte.weight"} <= full
    assert {n for n in lora if "lora_" not in n} == {"own_head.weight", "own_head.bias"}
    assert any("c_attn" in n for n in lora)


def test_head_and_embedding_have_their_own_learning_rates(saved: Path):
    net = load(hub(saved), None, Choice(), 0)
    rates: dict[int, float] = {}
    for group in parameter_groups(net, lr=1.0, head_lr=10.0, embedding_lr=5.0):
        rates |= {id(p): group["base_lr"] for p in group["params"]}
    assert rates[id(net.get_parameter("own_head.weight"))] == 10
    assert rates[id(net.lm.get_input_embeddings().weight)] == 5
    assert rates[id(net.get_parameter("lm.transformer.ln_f.weight"))] == 1
