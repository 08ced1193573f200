"""Language models with a head: tokens in, logits out. All that knows Transformers' models."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
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
from transformers.utils import logging as transformers_logging

from w2sweep.engine.files import read_json, write_json
from w2sweep.engine.stage import public_name
from w2sweep.experiment.ladder import Backbone, HubModel, SmallLlama
from w2sweep.learning.batches import Batch
from w2sweep.learning.hub import explained
from w2sweep.learning.tokens import hub_source
from w2sweep.tasks.heads import Head, LinearHead
from w2sweep.values import ConfigError

transformers_logging.disable_progress_bar()  # a bar per model would tear the sweep's own apart

ATTENTION = "sdpa" if torch.cuda.is_available() else "eager"
"""On CPUs eager attention is as fast in fp32, and faster in bf16."""
HEAD, HEAD_FACTS = "head.safetensors", "head.json"


class Net(nn.Module):
    """A language model's body, and a head on its final hidden states."""

    def __init__(self, lm: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, head: Head | None):
        """`head`: where it is no linear one, the language model's own is used."""
        super().__init__()
        self.lm, self.tokenizer = lm, tokenizer
        self.pad = int(tokenizer.pad_token_id)  # type: ignore[arg-type]
        self.end = int(tokenizer.eos_token_id)  # type: ignore[arg-type]
        self.head = head if isinstance(head, LinearHead) else None
        self.own_head = new_head(lm, tokenizer, self.head) if self.head else None

    @property
    def context(self) -> int:
        """The longest sequence that the model was made for, in tokens."""
        return getattr(self.lm.config, "max_position_embeddings", sys.maxsize)

    def hidden(self, batch: Batch) -> Tensor:
        """Final hidden states at the positions asked for [asked, width].

        Positions count real tokens, so padding may be anywhere.
        """
        positions = (batch.mask.cumsum(-1) - 1).clamp(min=0)
        body = self.lm.base_model(
            input_ids=batch.ids,
            attention_mask=batch.mask,
            position_ids=positions,
            use_cache=False,
        )
        return body.last_hidden_state[batch.asked]

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B, K]: of the classes of B examples, or of the vocabulary for B tokens."""
        hidden = self.hidden(batch)
        if self.own_head is None or self.head is None:
            return unembedding(self.lm)(hidden).float()
        return class_logits(self.head, self.own_head(hidden), len(batch.targets)).float()

    @torch.no_grad()
    def complete(self, ids: Tensor, mask: Tensor, max_new_tokens: int) -> list[str]:
        """Greedy completions of left-padded prompts [S, T]."""
        config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=self.pad,
            eos_token_id=self.end,
        )
        out = self.lm.generate(  # type: ignore[operator]
            input_ids=ids, attention_mask=mask, generation_config=config
        )
        return self.tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)

    def save(self, folder: Path) -> None:
        """Writes an ordinary model folder, with the tokenizer, and a head of its own beside it."""
        self.lm.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        if self.own_head is not None and self.head is not None:
            save_head(self.own_head, self.head, folder)


class ProbeNet(nn.Module):
    """A head alone, on features that were computed once: [S, width] -> [B, K]."""

    def __init__(self, start: Tensor, head: LinearHead):
        """`start`: the rows that the head starts from [outputs, width]."""
        super().__init__()
        self.head = head
        self.own_head = _zeros(start.shape[1], head)
        with torch.no_grad():
            self.own_head.weight.copy_(start)

    def forward(self, batch: Batch) -> Tensor:
        """Class logits [B, K]."""
        return class_logits(self.head, self.own_head(batch.ids), len(batch.targets))


def class_logits(head: LinearHead, outputs: Tensor, examples: int) -> Tensor:
    """Outputs of a linear layer [B * views, outputs] as class logits [B, K]."""
    return head.logits(outputs.view(examples, -1, outputs.shape[-1]))


def unembedding(lm: PreTrainedModel) -> nn.Linear:
    """The language model's own head."""
    head = lm.get_output_embeddings()
    assert isinstance(head, nn.Linear), "a causal language model ends in a linear layer"
    return head


def new_head(
    lm: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, head: LinearHead
) -> nn.Linear:
    """A linear layer that starts at zero, or as the unembedding rows of the head's words.

    Burns et al. 2023, appendices A.1 and A.3. Raises ConfigError where the tokenizer lacks one.
    """
    rows_of_words = unembedding(lm).weight
    linear = _zeros(rows_of_words.shape[1], head)
    if head.init == "unembedding":
        rows = [tokenizer(w, add_special_tokens=False)["input_ids"][-1] for w in head.words]
        if tokenizer.unk_token_id in rows:
            raise ConfigError(
                f"the tokenizer lacks one of {head.words}, so no head can start there: "
                "set task.head.init=zero"
            )
        with torch.no_grad():
            linear.weight.copy_(rows_of_words[rows])
    return linear


def _zeros(width: int, head: LinearHead) -> nn.Linear:
    linear = nn.Linear(width, len(head.words), bias=head.bias)
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    return linear


def save_head(linear: nn.Linear, head: LinearHead, folder: Path) -> None:
    """Writes `head.safetensors` (`weight` [outputs, width], maybe `bias` [outputs]), and
    `head.json`: which head it is."""
    tensors = {name: p.detach().cpu().contiguous() for name, p in linear.named_parameters()}
    save_file(tensors, folder / HEAD)
    fields = asdict(head)  # type: ignore[call-overload]  # a value is a dataclass
    write_json(folder / HEAD_FACTS, {"is": public_name(type(head)), **fields})


@explained
def load(
    backbone: Backbone, folder: Path | None, head: Head | None, seed: int, new: bool = False
) -> Net:
    """The backbone with its head. Dropout is off: two forward passes agree.

    Args:
        backbone: the model as its ladder knows it.
        folder: where the weights are; None: where the backbone says.
        head: None: the language model's own.
        seed: of random weights, where the backbone is not pretrained.
        new: whether the head is a new one even if there is one in the folder.
    """
    torch.manual_seed(seed)
    source = _source(backbone, folder)
    tokenizer = AutoTokenizer.from_pretrained(**source)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token  # never attended to: any token will do
    config = AutoConfig.from_pretrained(**source)
    for name in vars(config):
        if "dropout" in name or name.endswith("pdrop"):
            setattr(config, name, 0.0)
    options = {"attn_implementation": ATTENTION}
    if folder is None and isinstance(backbone, HubModel) and backbone.scratch:
        trusted = backbone.trust_remote_code
        lm = AutoModelForCausalLM.from_config(config, trust_remote_code=trusted, **options)
    else:
        lm = AutoModelForCausalLM.from_pretrained(
            **source, config=config, dtype=torch.float32, use_safetensors=True, **options
        )
    net = Net(lm, tokenizer, head)
    if folder and not new:
        _take_head(net, folder)
    return net


def fresh(backbone: SmallLlama, text: Path, context: int, seed: int) -> Net:
    """A Llama-shaped language model with random weights: RMSNorm, rotary positions, SwiGLU, tied
    embeddings; with the tokenizer of the folder `text`."""
    tokenizer = AutoTokenizer.from_pretrained(text)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=backbone.width,
        intermediate_size=backbone.feedforward,
        num_hidden_layers=backbone.depth,
        num_attention_heads=backbone.heads,
        max_position_embeddings=context,
        rms_norm_eps=1e-6,
        initializer_range=0.02,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config._attn_implementation = ATTENTION
    torch.manual_seed(seed)
    return Net(LlamaForCausalLM(config), tokenizer, head=None)


def _source(backbone: Backbone, folder: Path | None) -> dict[str, Any]:
    """The arguments of a loader's `from_pretrained`. What was trained on here keeps the code of its
    authors, and so the user's trust in them."""
    if isinstance(backbone, HubModel):
        here = {"pretrained_model_name_or_path": folder, "revision": None} if folder else {}
        return hub_source(backbone) | here
    assert folder, "homegrown weights lie in the folder of a stage"
    return {"pretrained_model_name_or_path": folder}


def _take_head(net: Net, folder: Path) -> None:
    """Starts with the head of the folder, where it has one of the same kind and shape."""
    if net.own_head is None or not (folder / HEAD).exists():
        return
    found, own = load_file(folder / HEAD), net.own_head.state_dict()
    same_kind = read_json(folder / HEAD_FACTS)["is"] == public_name(type(net.head))
    if same_kind and _shapes(found) == _shapes(own):
        net.own_head.load_state_dict(found)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
