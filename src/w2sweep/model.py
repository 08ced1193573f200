"""Backbones and heads: text in, logits out. The only module that knows Transformers and PEFT."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging as transformers_logging

from w2sweep.ladder import Backbone, Homegrown, Hub, Tokenizer
from w2sweep.tasks import Choice, Completion, Corpus, Head, Reward
from w2sweep.tuning import Lora, Tuning
from w2sweep.values import ConfigError

transformers_logging.disable_progress_bar()  # a bar per loaded model would tear the sweep's own progress apart

PAD, END, UNKNOWN = "<pad>", "<|endoftext|>", "<unk>"  # as in GPT-2, one token ends a document and begins the next

ATTENTION = "sdpa" if torch.cuda.is_available() else "eager"  # on CPUs as fast in fp32, and faster in bf16


class Batch(NamedTuple):
    """Sequences, padded, and what is asked of them."""

    ids: Tensor
    """Token ids [S, T]; for a probe, the features [S, width]."""
    mask: Tensor
    """1 where there is a token, 0 where there is padding [S, T]."""
    asked: Tensor
    """Positions whose final hidden state goes to the head, bool [S, T]."""
    targets: Tensor
    """[B, K] class probabilities, or [B] class indices: for a completion B runs over its tokens."""


# --- text -> tokens --------------------------------------------------------------------------------------------------


def tokenize_corpus(corpus: Corpus, spec: Tokenizer, out: Path, heldout: float = 0.02) -> None:
    """Writes the tokenizer, trained on the corpus, and the corpus as token ids: `train.npy`, `heldout.npy` ([N])."""
    documents = list(corpus.documents())
    if not documents:
        raise ConfigError(
            "the corpus of this task is empty, so no homegrown ladder can read it: use a ladder of the hub"
        )
    tokenizer = train_tokenizer(spec, documents)
    tokenizer.save_pretrained(out)
    dtype = np.uint16 if len(tokenizer) <= 2**16 else np.uint32
    encode_batch = tokenizer.backend_tokenizer.encode_batch_fast
    encodings = (e.ids for i in range(0, len(documents), 10_000) for e in encode_batch(documents[i : i + 10_000]))
    ids = np.fromiter(itertools.chain.from_iterable(encodings), dtype)
    kept = min(int(len(ids) * (1 - heldout)), len(ids) - spec.context - 2)
    if kept <= spec.context:
        raise ConfigError(
            f"the task's corpus has {len(ids)} tokens, too few to read {spec.context} at a time: "
            "give it more text, lower ladder.tokenizer.context, or use a ladder of the hub"
        )
    np.save(out / "train.npy", ids[:kept])
    np.save(out / "heldout.npy", ids[kept:])


def train_tokenizer(spec: Tokenizer, documents: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer whose every text begins with the end-of-document token."""
    from tokenizers import Tokenizer as Engine
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers

    if spec.kind == "word":
        words = sorted({word for document in documents for word in document.split()})
        vocabulary = {word: i for i, word in enumerate([PAD, END, UNKNOWN, *words])}
        engine = Engine(models.WordLevel(vocabulary, unk_token=UNKNOWN))
        engine.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    else:
        engine = Engine(models.BPE())
        engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        engine.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=spec.vocabulary,
            special_tokens=[PAD, END, UNKNOWN],
            initial_alphabet=alphabet,
            show_progress=False,
        )
        engine.train_from_iterator(documents, trainer)
    engine.post_processor = processors.TemplateProcessing(f"{END} $A", special_tokens=[(END, engine.token_to_id(END))])
    return PreTrainedTokenizerFast(
        tokenizer_object=engine, pad_token=PAD, bos_token=END, eos_token=END, unk_token=UNKNOWN,
    )  # fmt: skip


@dataclass(frozen=True)
class Ragged:
    """Sequences of different lengths in one array, so that a padded batch is one indexing operation."""

    flat: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @staticmethod
    def of(sequences: Sequence[Sequence[int]]) -> Ragged:
        lengths = np.array([len(s) for s in sequences], dtype=np.int64)
        return Ragged(np.fromiter(itertools.chain.from_iterable(sequences), np.int64, lengths.sum()), lengths)

    @property
    def starts(self) -> NDArray[np.int64]:
        return np.cumsum(self.lengths) - self.lengths

    def padded(self, rows: NDArray[np.int64], pad: int, left: bool = False) -> tuple[Tensor, Tensor]:
        """Token ids and mask, [S, T] each, T the longest of these rows."""
        lengths, starts = self.lengths[rows, None], self.starts[rows, None]
        offsets = np.arange(lengths.max())[None]
        if left:
            offsets = offsets - (lengths.max() - lengths)
        mask = (offsets >= 0) & (offsets < lengths)
        ids = np.where(mask, self.flat[np.where(mask, starts + offsets, 0)], pad)
        return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def encode(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], max_tokens: int, begin: bool = True
) -> list[list[int]]:
    """Token ids of each text. Too long a text loses its beginning, but not the token that marks it."""
    encoded = tokenizer(list(texts), add_special_tokens=begin)["input_ids"] if texts else []
    marks = len(tokenizer("")["input_ids"]) if begin else 0
    return [ids if len(ids) <= max_tokens else ids[:marks] + ids[marks - max_tokens :] for ids in encoded]


# --- tokens -> logits ------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """A language model's body, and a head on its final hidden states."""

    def __init__(self, lm: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, head: Head | None):
        """`head` None or Completion: the language model's own head."""
        super().__init__()
        self.lm, self.tokenizer = lm, tokenizer
        self.pad, self.end = int(tokenizer.pad_token_id), int(tokenizer.eos_token_id)  # type: ignore[arg-type]
        self.own_head = None if head is None or isinstance(head, Completion) else new_head(lm, tokenizer, head)
        self.classes = head.classes if isinstance(head, Choice) else 2 if isinstance(head, Reward) else None

    @property
    def context(self) -> int:
        """The longest sequence that the model was made for, in tokens."""
        return getattr(self.lm.config, "max_position_embeddings", sys.maxsize)

    def hidden(self, batch: Batch) -> Tensor:  # -> [asked, width]
        """Final hidden states at the positions asked for. Positions count real tokens, so padding may be anywhere."""
        positions = (batch.mask.cumsum(-1) - 1).clamp(min=0)
        body = self.lm.base_model(
            input_ids=batch.ids, attention_mask=batch.mask, position_ids=positions, use_cache=False
        )  # fmt: skip
        return body.last_hidden_state[batch.asked]

    def forward(self, batch: Batch) -> Tensor:  # -> [B, K]
        head = self.own_head or unembedding(self.lm)
        logits = head(self.hidden(batch))
        return (logits if self.classes is None else logits.view(-1, self.classes)).float()

    @torch.no_grad()
    def complete(self, ids: Tensor, mask: Tensor, max_new_tokens: int) -> list[str]:
        """Greedy completions of left-padded prompts [S, T]."""
        config = GenerationConfig(
            max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=self.pad,
            eos_token_id=self.end,
        )  # fmt: skip
        out = self.lm.generate(  # type: ignore[operator]
            input_ids=ids, attention_mask=mask, generation_config=config
        )
        return self.tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)


class Probe(nn.Module):
    """A head alone, on features computed once. [S, width] -> [B, K]"""

    def __init__(self, weight: Tensor, classes: int):
        super().__init__()
        self.own_head = nn.Linear(weight.shape[1], weight.shape[0])
        self.classes = classes
        with torch.no_grad():
            self.own_head.weight.copy_(weight)
            self.own_head.bias.zero_()

    def forward(self, batch: Batch) -> Tensor:
        return self.own_head(batch.ids).view(-1, self.classes)


def unembedding(lm: PreTrainedModel) -> nn.Linear:
    """The language model's own head."""
    head = lm.get_output_embeddings()
    assert isinstance(head, nn.Linear), "a causal language model ends in a linear layer"
    return head


def new_head(lm: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, head: Choice | Reward) -> nn.Linear:
    """A linear head that starts at zero, or as unembedding rows: of "0", "1", ... for a choice, of an arbitrary token
    for a reward. Burns et al. 2023, appendices A.1 and A.3."""
    rows_of_words = unembedding(lm).weight
    words = [str(k) for k in range(head.classes)] if isinstance(head, Choice) else ["1"]
    linear = nn.Linear(rows_of_words.shape[1], len(words), bias=isinstance(head, Choice))  # pairs would cancel a bias
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    if head.init == "unembedding":
        rows = [tokenizer(word, add_special_tokens=False)["input_ids"][-1] for word in words]
        if tokenizer.unk_token_id in rows:
            raise ConfigError(
                f"the tokenizer lacks one of {words}, so no head can start there: set task.head.init=zero"
            )
        with torch.no_grad():
            linear.weight.copy_(rows_of_words[rows])
    return linear


def load(backbone: Backbone, folder: Path | None, head: Head | None, seed: int) -> Net:
    """The backbone with its head; weights from `folder` if given. Dropout is off: two forward passes agree."""
    torch.manual_seed(seed)
    source = {"pretrained_model_name_or_path": folder} if folder else hub_source(backbone)
    tokenizer = AutoTokenizer.from_pretrained(**source)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # never attended to: any token will do
    config = AutoConfig.from_pretrained(**source)
    for name in vars(config):
        if "dropout" in name or name.endswith("pdrop"):
            setattr(config, name, 0.0)
    options = {"attn_implementation": ATTENTION}
    if isinstance(backbone, Hub) and backbone.scratch:
        lm = AutoModelForCausalLM.from_config(config, trust_remote_code=backbone.trust_remote_code, **options)
    else:
        lm = AutoModelForCausalLM.from_pretrained(
            **source, config=config, dtype=torch.float32, use_safetensors=True, **options
        )
    return Net(lm, tokenizer, head)


def hub_source(backbone: Backbone) -> dict[str, Any]:
    """Where Transformers finds a rung of the hub."""
    assert isinstance(backbone, Hub), "homegrown weights lie in the folder of their Pretrain stage"
    return {
        "pretrained_model_name_or_path": backbone.model, "revision": backbone.revision,
        "trust_remote_code": backbone.trust_remote_code,
    }  # fmt: skip


def homegrown(backbone: Homegrown, text: Path, context: int, seed: int) -> Net:
    """A Llama-shaped language model with random weights: RMSNorm, rotary positions, SwiGLU, tied embeddings."""
    tokenizer = AutoTokenizer.from_pretrained(text)
    lm_config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=backbone.width, intermediate_size=backbone.feedforward,
        num_hidden_layers=backbone.depth, num_attention_heads=backbone.heads, max_position_embeddings=context,
        rms_norm_eps=1e-6, initializer_range=0.02, tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    lm_config._attn_implementation = ATTENTION
    torch.manual_seed(seed)
    return Net(LlamaForCausalLM(lm_config), tokenizer, head=None)


def tune(net: Net, tuning: Tuning) -> None:
    """Leaves only the parameters of this tuning to learn; a head of its own always does."""
    if isinstance(tuning, Lora):
        from peft import LoraConfig, inject_adapter_in_model

        transposed = any(isinstance(m, Conv1D) for m in net.lm.modules())  # GPT-2 stores its matrices the other way
        config = LoraConfig(
            r=tuning.rank, lora_alpha=tuning.alpha, lora_dropout=0.0, target_modules="all-linear",
            fan_in_fan_out=transposed,
        )  # fmt: skip
        net.lm.requires_grad_(False)
        inject_adapter_in_model(config, net.lm)
    if net.own_head is not None:
        unused = unembedding(net.lm)
        if unused.weight is not net.lm.get_input_embeddings().weight:
            unused.requires_grad_(False)  # no loss reaches it


def parameter_groups(net: nn.Module, lr: float, head_lr: float = 1.0, embedding_lr: float = 1.0) -> list[dict]:
    """Those that learn, in groups with their `base_lr`."""
    embedding = net.lm.get_input_embeddings().weight if isinstance(net, Net) else None
    scales: dict[float, list[nn.Parameter]] = {}
    for name, p in net.named_parameters():
        scale = head_lr if name.startswith("own_head") else embedding_lr if p is embedding else 1.0
        if p.requires_grad:
            scales.setdefault(scale, []).append(p)
    return [{"params": params, "base_lr": lr * scale} for scale, params in scales.items()]


def chunks(lengths: NDArray[np.int64], budget: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers, longest first, in groups of at most `budget` padded tokens (and at least one row)."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size
