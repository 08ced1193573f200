"""Loading: which models of the hub or of a folder are read, how, and which are refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import processors
from torch.testing import assert_close
from toys import ToyCorpus, outspoken
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BartConfig,
    BertConfig,
    BloomConfig,
    CohereConfig,
    Gemma2Config,
    Gemma3Config,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    Llama4TextConfig,
    LlamaConfig,
    MambaConfig,
    OPTConfig,
    PhimoeConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    RobertaConfig,
    RwkvConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from w2sweep.experiment.backbone import HubModel, Tokenizer
from w2sweep.experiment.tuning import Lora
from w2sweep.learning import loading
from w2sweep.learning.batches import Batch, Completions, last_tokens
from w2sweep.learning.loading import leave_nothing_to_chance, load
from w2sweep.learning.model import Net, unembedding
from w2sweep.learning.tokens import END, Ragged, encode, marks_of, train_tokenizer, without_end
from w2sweep.learning.tuned import tune
from w2sweep.tasks.heads import Choice, Completion, Head
from w2sweep.values import ConfigError

TEXTS = ["the sun is", "one old old song was there and it was", "a new thorn was there"]
VOCABULARY = 300
TOKENS: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
SIZES: dict[str, Any] = {
    **TOKENS,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
}
GROUPED: dict[str, Any] = {**SIZES, "num_key_value_heads": 2}
SMALL_GPT2: dict[str, Any] = {**TOKENS, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
CAPPED = Gemma2Config(**GROUPED, head_dim=8, final_logit_softcapping=0.05)
SOUND: dict[str, PreTrainedConfig] = {
    "bloom": BloomConfig(**TOKENS, hidden_size=16, n_layer=2, n_head=2, hidden_dropout=0.5),
    "cohere": CohereConfig(**GROUPED, logit_scale=0.0625),
    "gemma2": CAPPED,
    "gpt2": GPT2Config(**SMALL_GPT2),
    "granite": GraniteConfig(**GROUPED, logits_scaling=8.0, attention_dropout=0.5),
    "llama": LlamaConfig(**GROUPED),
    "llama4": Llama4TextConfig(
        **GROUPED, head_dim=8, num_local_experts=2, intermediate_size_mlp=24
    ),
    "mamba": MambaConfig(**TOKENS, hidden_size=16, num_hidden_layers=2, state_size=4),
    "neox": GPTNeoXConfig(**SIZES, hidden_dropout=0.5),
    "opt": OPTConfig(
        **TOKENS,
        hidden_size=16,
        word_embed_proj_dim=8,
        ffn_dim=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        layerdrop=0.5,
    ),
    "qwen3": Qwen3Config(**GROUPED, head_dim=8),
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(Tokenizer("bpe", vocabulary=VOCABULARY), list(ToyCorpus().documents()))


Make = Callable[..., HubModel]


@pytest.fixture
def make(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Make:
    """Writes a model."""

    def write(config: PreTrainedConfig, other: PreTrainedTokenizerFast | None = None) -> HubModel:
        lm = outspoken(config)
        lm.save_pretrained(tmp_path)
        (other or tokenizer).save_pretrained(tmp_path)
        return HubModel(str(tmp_path), rung="mine")

    return write


def prompts(net: Net) -> Completions:
    ids = encode(net.tokenizer, TEXTS, 64)
    return Completions.of(ids, [[5, 6], [7], [8, 9, 10]], end=net.end, pad=net.pad)


@pytest.mark.parametrize("family", SOUND)
def test_logits_and_loss_are_the_models_own(family: str, make: Make):
    """Granite divides them, Cohere multiplies them, Gemma caps them; Llama 4 hides its body, OPT's
    head reads a part of it. In training mode, so that dropout would show."""
    model = make(SOUND[family])
    net = load(model, None, Completion(), seed=0).train()
    plain = AutoModelForCausalLM.from_pretrained(model.model).eval()
    data = prompts(net)
    batch = data.batch(np.arange(3))
    found, expected = net(batch), []
    for row in range(3):
        ids = torch.tensor(data.sequences.flat[data.sequences.starts[row] :])
        ids = ids[: int(data.lengths[row])]
        logits = plain(input_ids=ids[None]).logits[0]
        expected.append(logits[int(data.prompts[row]) - 1 : -1])
    assert_close(found, torch.cat(expected), atol=2e-5, rtol=1e-4)
    own = torch.nn.functional.cross_entropy(torch.cat(expected), batch.targets)
    assert_close(torch.nn.functional.cross_entropy(found, batch.targets), own)


def test_no_more_logits_are_computed_than_are_asked_for(make: Make):
    net = load(make(SOUND["granite"]), None, Completion(), seed=0)
    seen: list[torch.Size] = []
    unembedding(net.lm).register_forward_hook(lambda *a: seen.append(a[2].shape))
    batch = prompts(net).batch(np.arange(3))
    net(batch)
    assert seen == [(1, int(batch.asked.sum()), VOCABULARY)]


@pytest.mark.parametrize("family", ["granite", "gemma2", "gpt2"])
def test_a_gradient_goes_through_what_the_model_does_to_its_logits(family: str, make: Make):
    model = make(SOUND[family])
    net = load(model, None, Completion(), seed=0)
    plain = AutoModelForCausalLM.from_pretrained(model.model)
    batch = prompts(net).batch(np.array([0]))
    net(batch).square().sum().backward()
    logits = plain(input_ids=batch.ids).logits
    logits[batch.asked].square().sum().backward()
    a, b = (lm.get_input_embeddings().weight.grad for lm in (net.lm, plain))
    assert_close(a, b, atol=1e-4, rtol=1e-3)


# --- what is refused -----------------------------------------------------------------------------


RWKV = RwkvConfig(**TOKENS, hidden_size=16, num_hidden_layers=2, context_length=64)
PHIMOE = PhimoeConfig(**GROUPED, num_local_experts=4)


@pytest.mark.parametrize(
    ("config", "head", "cause"),
    [
        (RobertaConfig(**SIZES), Choice(init="zero"), "sees the tokens that come after one"),
        (BertConfig(**SIZES), Completion(), "sees the tokens that come after one"),
        (RobertaConfig(**SIZES, is_decoder=True), Completion(), "has positions of its own"),
        (RobertaConfig(**SIZES, is_decoder=True), Choice(init="zero"), "has positions of its own"),
        (RWKV, Completion(), "reads a text with padding on its left differently"),
        (PHIMOE, Choice(init="zero"), "leaves something to chance in training"),
    ],
)
def test_what_does_not_read_as_a_causal_language_model_is_refused(
    config: PreTrainedConfig, head: Head, cause: str, make: Make
):
    with pytest.raises(ConfigError, match=rf"^mine \(\w+\) {cause}: use a causal.*gpt2$"):
        load(make(config), None, head, seed=0)


def test_an_encoder_decoder_is_refused_in_one_line(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, make: Make
):
    sizes: dict[str, Any] = {
        "decoder_start_token_id": 0,
        "d_model": 16,
        "d_kv": 8,
        "d_ff": 24,
        "num_layers": 1,
        "num_heads": 2,
    }
    config = T5Config(vocab_size=VOCABULARY, **sizes)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    tokenizer.save_pretrained(tmp_path / "t5")
    bart: dict[str, Any] = {
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "max_position_embeddings": 64,
    }
    heads: dict[str, Any] = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    for model in (HubModel(str(tmp_path / "t5"), rung="mine"), make(BartConfig(**bart, **heads))):
        config = json.loads((Path(model.model) / "config.json").read_text())
        config["is_encoder_decoder"] = True  # Transformers writes the decoder's alone
        (Path(model.model) / "config.json").write_text(json.dumps(config))
        with pytest.raises(ConfigError, match=r"^mine \(\w+\) is an encoder-decoder, .{,120}$"):
            load(model, None, None, seed=0)


def test_a_model_of_the_hub_that_sees_is_refused_by_its_configuration_alone(
    monkeypatch: pytest.MonkeyPatch,
):
    """Neither its tokenizer nor its weights are fetched."""
    monkeypatch.setattr(loading.AutoConfig, "from_pretrained", lambda **_: Gemma3Config())
    with pytest.raises(ConfigError, match=r"^gemma-3-4b-pt \(gemma3\) is multimodal .{,240}$"):
        load(HubModel("google/gemma-3-4b-pt"), None, None, seed=0)


def test_lora_where_it_cannot_be_says_what_can(make: Make):
    net = load(make(SOUND["mamba"]), None, Choice(init="zero"), seed=0)
    with pytest.raises(ConfigError, match=r"LoRA cannot adapt a MambaForCausalLM.*use tuning=full"):
        tune(net, Lora(rank=2))


def test_nothing_is_left_to_chance_in_parts_of_a_configuration():
    inner = GPT2Config(resid_pdrop=0.5, summary_first_dropout=0.1)
    outer = LlamaConfig(attention_dropout=0.3)
    outer.text_config = inner
    outer.attn_config = {"attn_pdrop": 0.2, "more": {"dropout": 0.1, "eps": 0.1}}
    outer.layerdrop, outer.drop_tokens = 0.4, True
    leave_nothing_to_chance(outer)
    assert (outer.attention_dropout, outer.layerdrop, outer.drop_tokens) == (0.0, 0.0, True)
    assert (inner.resid_pdrop, inner.summary_first_dropout) == (0.0, 0.0)
    more = {"dropout": 0.0, "eps": 0.1}
    assert outer.attn_config == {"attn_pdrop": 0.0, "more": more}


# --- weights -------------------------------------------------------------------------------------


def rewritten(model: HubModel, change: Callable[[dict[str, Any]], None]) -> None:
    file = Path(model.model) / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def without_a_layer(tensors: dict[str, Any]) -> None:
    del tensors["model.layers.1.mlp.up_proj.weight"]


def without_a_head(tensors: dict[str, Any]) -> None:
    del tensors["lm_head.weight"]


def of_another_size(tensors: dict[str, Any]) -> None:
    tensors["model.layers.1.mlp.up_proj.weight"] = torch.zeros(2, 2)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (without_a_layer, "mine lacks 1 of the weights.*layers.1.mlp.up_proj.*random numbers"),
        (without_a_head, "mine lacks 1 of the weights of a LlamaForCausalLM, such as lm_head"),
        (of_another_size, "the weights of mine are not of the sizes that its config.json says"),
    ],
)
def test_weights_that_are_missing_are_no_random_numbers(
    change: Callable, cause: str, make: Make, capfd: pytest.CaptureFixture[str]
):
    model = make(SOUND["llama"])
    rewritten(model, change)
    with pytest.raises(ConfigError, match=cause):
        load(model, None, Choice(init="zero"), seed=0)
    assert "MISSING" not in capfd.readouterr().err


def test_a_tied_head_is_not_missing(make: Make):
    load(make(SOUND["gpt2"]), None, None, seed=0)


def test_damaged_weights_are_told_in_one_line(make: Make):
    model = make(SOUND["llama"])
    (Path(model.model) / "model.safetensors").write_text("version https://git-lfs.github.com/1")
    with pytest.raises(ConfigError, match=r"the weights of mine are damaged .*: get them again"):
        load(model, None, None, seed=0)


# --- tokenizers ----------------------------------------------------------------------------------


def changed(tokenizer: PreTrainedTokenizerFast, folder: Path, **names: Any) -> Any:
    """The tokenizer with other special tokens; None takes one away."""
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text()) | names
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    return AutoTokenizer.from_pretrained(folder)


def answers(net: Net, left: bool) -> torch.Tensor:
    ragged = Ragged.of(encode(net.tokenizer, TEXTS, 64))
    ids, mask = ragged.padded(np.arange(3), net.pad, left)
    return net.hidden(Batch(ids, mask, last_tokens(mask), torch.zeros(3, 2)))


@pytest.mark.parametrize(
    "names",
    [{"pad_token": "<new>"}, {"pad_token": None}, {"pad_token": None, "eos_token": None}],
    ids=["beyond the embedding", "none", "nor an end"],
)
def test_padding_needs_no_token(
    names: dict[str, Any], tokenizer: PreTrainedTokenizerFast, make: Make, tmp_path: Path
):
    other = changed(tokenizer, tmp_path / "tokenizer", **names)
    net = load(make(SOUND["gpt2"], other), None, Choice(init="zero"), seed=0)
    assert 0 <= net.pad < VOCABULARY
    plain = load(make(SOUND["gpt2"]), None, Choice(init="zero"), seed=0)
    for left in (False, True):
        assert_close(answers(net, left), answers(plain, left), atol=1e-5, rtol=1e-4)


def test_a_pad_token_of_the_configuration_beyond_the_embedding_is_forgotten(make: Make):
    model = make(SOUND["llama"])
    file = Path(model.model) / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pad_token_id": VOCABULARY}))
    assert load(model, None, None, seed=0).pad == 0


def test_a_token_that_the_model_was_never_given_is_named(
    tokenizer: PreTrainedTokenizerFast, make: Make, tmp_path: Path
):
    other = changed(tokenizer, tmp_path / "tokenizer")
    other.add_tokens(["sunny"])
    net = load(make(SOUND["gpt2"], other), None, Choice(init="zero"), seed=0)
    answers(net, left=False)
    ids = torch.tensor(other("so sunny")["input_ids"])[None]
    mask = torch.ones_like(ids)
    with pytest.raises(
        ConfigError, match="a text has the token 'sunny', but the model's embedding"
    ):
        net.hidden(Batch(ids, mask, last_tokens(mask), torch.zeros(1, 2)))


@pytest.mark.parametrize("names", [{"eos_token": None}, {"eos_token": "<new>"}])
def test_completions_need_an_end_and_classes_do_not(
    names: dict[str, Any], tokenizer: PreTrainedTokenizerFast, make: Make, tmp_path: Path
):
    other = changed(tokenizer, tmp_path / "tokenizer", **names)
    model = make(SOUND["gpt2"], other)
    load(model, None, Choice(init="zero"), seed=0)
    with pytest.raises(ConfigError, match=r"has no end token .* name it as eos_token"):
        load(model, None, Completion(), seed=0)


@pytest.mark.parametrize(
    ("template", "before", "after"),
    [
        ("$A", 0, 0),
        ("<|endoftext|> $A", 1, 0),
        ("$A <|endoftext|>", 0, 1),
        ("<pad> $A <pad>", 1, 1),
    ],
)
def test_a_prompt_does_not_end_in_an_end(
    template: str, before: int, after: int, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    other = changed(tokenizer, tmp_path)
    specials = [(END, 1), ("<pad>", 0)]
    marking = processors.TemplateProcessing(template, special_tokens=specials)
    other.backend_tokenizer.post_processor = marking
    assert [len(marks) for marks in marks_of(other)] == [before, after]
    bare = other(TEXTS, add_special_tokens=False)["input_ids"]
    whole = encode(other, TEXTS, 64)
    found = without_end(other, whole)
    assert [ids[before:] for ids in found] == bare
    assert encode(other, TEXTS, 64)[0][: before + 1] == whole[0][: before + 1]
    short = encode(other, TEXTS, 4)[1]
    room = 4 - before
    assert short == whole[1][:before] + whole[1][len(whole[1]) - room :]


# --- greedy --------------------------------------------------------------------------------------


def completed(net: Net) -> list[str]:
    ids, mask = Ragged.of(encode(net.tokenizer, TEXTS, 64)).padded(np.arange(3), net.pad, left=True)
    return net.complete(ids, mask, 12)


ADVICE: list[dict[str, Any]] = [
    {"repetition_penalty": 3.0},
    {"num_beams": 4, "length_penalty": -2.0},
    {"suppress_tokens": list(range(2, 250))},
    {"no_repeat_ngram_size": 1, "min_new_tokens": 12},
    {"do_sample": True, "temperature": 5.0, "top_k": 7},
    {"forced_bos_token_id": 7, "forced_eos_token_id": 9, "max_length": 5, "eos_token_id": [5, 6]},
    {"bad_words_ids": [[7], [8]], "penalty_alpha": 0.9, "prompt_lookup_num_tokens": 3},
]


@pytest.mark.parametrize("advice", ADVICE, ids=lambda advice: next(iter(advice)))
def test_greedy_is_greedy_whatever_a_models_authors_advise(advice: dict[str, Any], make: Make):
    model = make(SOUND["llama"])
    file = Path(model.model) / "generation_config.json"
    expected = completed(load(model, None, Completion(), seed=0))
    assert len(set(expected)) == 3
    file.write_text(json.dumps(advice))
    net = load(model, None, Completion(), seed=0)
    assert completed(net) == expected
    argmax = []
    for text in TEXTS:
        ids = net.tokenizer(text)["input_ids"]
        start = len(ids)
        while (len(ids) < start + 12 and ids[-1] != net.end) or len(ids) == start:
            ids.append(int(net.lm(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        argmax.append(net.tokenizer.decode(ids[start:], skip_special_tokens=True))
    assert expected == argmax


def test_what_was_learned_here_is_as_greedy_elsewhere(make: Make, tmp_path: Path):
    model = make(SOUND["llama"])
    file = Path(model.model) / "generation_config.json"
    file.write_text(json.dumps({"repetition_penalty": 3.0}))
    net = load(model, None, Completion(), seed=0)
    net.save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert "repetition_penalty" not in saved
    assert saved["eos_token_id"] == net.end


def test_a_head_computes_in_fp32_within_bf16(make: Make):
    net = load(make(SOUND["llama"]), None, Choice(init="zero"), seed=0)
    net.get_parameter("own_head.bias").data = torch.tensor([0.0, 1 + 2**-20])
    mask = torch.ones(2, 3, dtype=torch.long)
    batch = Batch(torch.full((2, 3), 7), mask, last_tokens(mask), torch.zeros(2, 2))
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(batch)
    assert logits.dtype == torch.float32
    assert math.isclose(logits[0, 1].item(), 1 + 2**-20, rel_tol=1e-8)
