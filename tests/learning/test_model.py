"""Nets: pooling, padding, heads and loading, on tiny random backbones of the families in use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from toys import ToyCorpus
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
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

from w2sweep.experiment.backbone import HubModel, Tokenizer
from w2sweep.experiment.tuning import Full, Lora
from w2sweep.learning.batches import Batch, last_tokens
from w2sweep.learning.checkpoint import learned
from w2sweep.learning.loading import load
from w2sweep.learning.model import Net, unembedding
from w2sweep.learning.tokens import Ragged, encode, train_tokenizer
from w2sweep.learning.tuned import parameter_groups, tune
from w2sweep.tasks.heads import Choice, Completion, LinearHead, Reward
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


def batch(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], left: bool = False, pad: int = 0
) -> Batch:
    ids, mask = Ragged.of(encode(tokenizer, texts, 64)).padded(np.arange(len(texts)), pad, left)
    return Batch(ids, mask, last_tokens(mask), torch.zeros(len(texts), 2))


@pytest.mark.parametrize("family", ["llama", "qwen3", "neox", "gpt2"])
@pytest.mark.parametrize("head", [Choice(init="zero"), Reward(init="zero"), Choice(), Reward()])
def test_padding_on_either_side_gives_the_same_logits(
    family: str, head: LinearHead, tokenizer: PreTrainedTokenizerFast
):
    net = Net(language_model(family, len(tokenizer)), tokenizer, head)
    if head.init == "zero":  # a zero head would agree with anything
        torch.nn.init.normal_(net.get_parameter("own_head.weight"))
    texts = TEXTS[:2]
    right, left = (batch(tokenizer, texts, left) for left in (False, True))
    if isinstance(head, Reward):
        right, left = (b._replace(targets=torch.zeros(1, 2)) for b in (right, left))
    assert_close(net(right), net(left), atol=1e-5, rtol=1e-4)
    alone = torch.cat([net.hidden(batch(tokenizer, [t])) for t in texts])
    assert_close(net.hidden(left), alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("left", [False, True])
def test_a_pad_token_that_is_a_real_token_moves_nothing(
    tokenizer: PreTrainedTokenizerFast, left: bool
):
    """The mask decides, not the ids: GPT-2's pad token is the one that texts begin with, and here
    one text also ends in it. What stands in the padding does not matter either."""
    net = Net(language_model("llama", len(tokenizer)), tokenizer, Choice())
    texts = [f"{TEXTS[0]}{tokenizer.eos_token}", TEXTS[1]]
    padded = batch(tokenizer, texts, left, pad=net.end)
    assert padded.ids[0, int(last_tokens(padded.mask)[0].int().argmax())] == net.end
    alone = torch.cat([net(batch(tokenizer, [t])) for t in texts])
    assert_close(net(padded), alone, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(net(padded)[:1], net(batch(tokenizer, TEXTS[:1])))


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


def completed(net: Net, texts: list[str], new: int = 4) -> list[str]:
    ids, mask = Ragged.of(encode(net.tokenizer, texts, 64)).padded(
        np.arange(len(texts)), net.pad, left=True
    )
    return net.complete(ids, mask, new)


def test_completions_in_a_batch_are_those_of_each_prompt_alone(tokenizer: PreTrainedTokenizerFast):
    net = Net(language_model("llama", len(tokenizer)), tokenizer, Completion())
    alone = [said for text in TEXTS for said in completed(net, [text])]
    assert completed(net, TEXTS) == alone
    assert len(set(alone)) > 1


def test_a_greedy_completion_ends_at_the_end_token(tokenizer: PreTrainedTokenizerFast):
    """The unembedding is made to say "a" after a prompt and the end token after an "a"."""
    net = Net(language_model("llama", len(tokenizer)), tokenizer, Completion())
    a = tokenizer("a", add_special_tokens=False)["input_ids"][-1]
    after_a = net.lm.base_model(input_ids=torch.tensor([[net.end, a]])).last_hidden_state[0, -1]
    before = net.lm.base_model(input_ids=torch.tensor([[net.end]])).last_hidden_state[0, -1]
    scores = torch.zeros_like(unembedding(net.lm).weight)
    scores[a] = before.detach()
    scores[net.end] = 2 * after_a.detach() - before.detach()
    unembedding(net.lm).weight.data = scores
    produced = net.lm.generate(  # type: ignore[operator]
        input_ids=torch.tensor([[net.end]]), max_new_tokens=4, do_sample=False, eos_token_id=net.end
    )
    assert produced.tolist() == [[net.end, a, net.end]]
    assert completed(net, [""]) == ["a"]


@pytest.fixture
def saved(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> HubModel:
    sizes: dict[str, Any] = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": len(tokenizer)}
    GPT2LMHeadModel(GPT2Config(**sizes, resid_pdrop=0.5)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return HubModel(str(tmp_path))


def test_a_local_folder_is_a_model_and_has_no_dropout(
    saved: HubModel, tokenizer: PreTrainedTokenizerFast
):
    net = load(saved, None, Choice(), seed=0).train()
    first, second = (net(batch(tokenizer, TEXTS)) for _ in range(2))
    assert_close(first, second, atol=0, rtol=0)


def test_an_untrained_model_has_the_architecture_but_not_the_weights(saved: HubModel):
    backbones = (saved, replace(saved, scratch=True))
    nets = [load(backbone, None, None, seed=0) for backbone in backbones]
    a, b = (net.lm.get_input_embeddings().get_parameter("weight") for net in nets)
    assert a.shape == b.shape
    assert not torch.equal(a, b)


def test_pickled_weights_are_refused(saved: HubModel):
    folder = Path(saved.model)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"has no safetensors.*write it by save_pretrained"):
        load(saved, None, None, seed=0)


Told = dict[str, dict[str, Any]]


@pytest.fixture
def told(saved: HubModel, monkeypatch: pytest.MonkeyPatch) -> Told:
    """What we tell each loader. The hub is not asked: whatever they are told, loaders load the
    local folder. They call each other by position, we call them by keyword."""
    found: Told = {}

    def watch(loader: Any, method: str) -> None:
        original = getattr(loader, method)

        def load_the_folder(*args: Any, **options: Any) -> Any:
            if args and not isinstance(args[0], GPT2Config):
                return original(*args, **options)
            found[f"{loader.__name__}.{method}"] = dict(options)
            if method == "from_pretrained":
                options |= {"pretrained_model_name_or_path": saved.model, "revision": None}
            return original(*args, **options | {"trust_remote_code": False})

        monkeypatch.setattr(loader, method, load_the_folder)

    for loader in (AutoTokenizer, AutoConfig, AutoModelForCausalLM):
        watch(loader, "from_pretrained")
    watch(AutoModelForCausalLM, "from_config")
    return found


MINE = HubModel("me/mine", "v2", trust_remote_code=True)


def test_revision_and_trust_reach_every_loader(told: Told):
    load(MINE, None, None, seed=0)
    where = {"pretrained_model_name_or_path": "me/mine", "revision": "v2"}
    expected = where | {"trust_remote_code": True}
    assert told["AutoTokenizer.from_pretrained"] == expected
    assert told["AutoConfig.from_pretrained"] == expected
    assert told["AutoModelForCausalLM.from_pretrained"].items() >= expected.items()


def test_the_code_of_an_untrained_model_is_trusted_too(told: Told):
    load(replace(MINE, scratch=True), None, None, seed=0)
    assert told["AutoModelForCausalLM.from_config"]["trust_remote_code"]
    assert "AutoModelForCausalLM.from_pretrained" not in told


def test_what_was_trained_on_here_is_loaded_with_the_same_trust(told: Told, saved: HubModel):
    load(MINE, Path(saved.model), None, seed=0)
    where = {"pretrained_model_name_or_path": Path(saved.model), "revision": None}
    expected = where | {"trust_remote_code": True}
    for options in told.values():
        assert options.items() >= expected.items()


def names(net: Net, tuning: Full | Lora) -> set[str]:
    tune(net, tuning)
    return set(learned(net))


def test_tunings_choose_what_learns(saved: HubModel):
    full = names(load(saved, None, Choice(), 0), Full())
    lora = names(load(saved, None, Choice(), 0), Lora(rank=2))
    assert {"own_head.weight", "own_head.bias", "lm.transformer.wte.weight"} <= full
    assert {n for n in lora if "lora_" not in n} == {"own_head.weight", "own_head.bias"}
    assert any("c_attn" in n for n in lora)


def test_head_and_embedding_have_their_own_learning_rates(saved: HubModel):
    net = load(saved, None, Choice(), 0)
    rates: dict[int, float] = {}
    for group in parameter_groups(net, lr=1.0, head_lr=10.0, embedding_lr=5.0):
        rates |= {id(p): group["base_lr"] for p in group["params"]}
    assert rates[id(net.get_parameter("own_head.weight"))] == 10
    assert rates[id(net.lm.get_input_embeddings().weight)] == 5
    assert rates[id(net.get_parameter("lm.transformer.ln_f.weight"))] == 1
