"""Language models with a head: tokens in, logits out."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerFast

from w2sweep.engine.files import write_json
from w2sweep.engine.stage import public_name
from w2sweep.learning import gpt2, llama
from w2sweep.learning.batches import Batch
from w2sweep.learning.cross_entropy import cross_entropy_of_tokens
from w2sweep.learning.hardware import autocast
from w2sweep.learning.shards import gathered, is_sharded
from w2sweep.tasks.heads import Head, LinearHead
from w2sweep.values import ConfigError

HEAD, HEAD_FACTS = "head.safetensors", "head.json"


class Net(nn.Module):
    """A language model's body, and a head on its final hidden states."""

    def __init__(self, lm: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, head: Head | None):
        """`head`: where it is no linear one, the language model's own is used."""
        super().__init__()
        self.lm, self.tokenizer = lm, tokenizer
        self.vocabulary = int(lm.get_input_embeddings().get_parameter("weight").shape[0])
        """Rows of the embedding."""
        self.knows_all = len(tokenizer) <= self.vocabulary
        """Whether every token of the tokenizer has one."""
        self.tells_positions = "position_ids" in signature(self.body.forward).parameters
        """Whether the model is told which token of its text each one is, or needs not know."""
        self.head = head if isinstance(head, LinearHead) else None
        self.own_head = new_head(lm, tokenizer, self.head) if self.head else None
        if lm.can_generate():
            lm.generation_config = self._greedy()

    @property
    def body(self) -> PreTrainedModel:
        """What makes final hidden states of tokens, without the language model's head."""
        if self.lm.base_model is not self.lm:
            return self.lm.base_model  # type: ignore[return-value]
        parts = [part for part in self.lm.children() if isinstance(part, PreTrainedModel)]
        return parts[0] if parts else self.lm

    @property
    def width(self) -> int:
        """Numbers of a token's embedding."""
        return int(self.lm.get_input_embeddings().get_parameter("weight").shape[1])

    @property
    def pad(self) -> int:
        """What stands in padding. It is never attended to, so any token will do."""
        known = (self._known(t) for t in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id))
        return next((token for token in known if token is not None), 0)

    @property
    def end(self) -> int:
        """The token that ends completions. Raises ConfigError where there is none."""
        token = self._known(self.tokenizer.eos_token_id)
        if token is None:
            raise ConfigError(
                f"the tokenizer of {self.tokenizer.name_or_path} has no end token that the model "
                "knows, and completions need one: name it as eos_token in its "
                "tokenizer_config.json, or use another model"
            )
        return token

    def _known(self, token: Any) -> int | None:
        """A special token of the tokenizer, where it has one and the model an embedding for it."""
        return int(token) if token is not None and token < self.vocabulary else None

    @property
    def context(self) -> int:
        """The longest sequence that the model was made for, in tokens."""
        text = self.lm.config.get_text_config()
        return getattr(text, "max_position_embeddings", None) or sys.maxsize

    def inputs(self, batch: Batch) -> dict[str, Any]:
        """What the language model is given. Positions count real tokens, so padding may be
        anywhere."""
        self.check_known(batch.ids)
        found = {"input_ids": batch.ids, "attention_mask": batch.mask, "use_cache": False}
        if self.tells_positions:
            found["position_ids"] = (batch.mask.cumsum(-1) - 1).clamp(min=0)
        return found

    def check_known(self, ids: Tensor) -> None:
        """Raises ConfigError where a text has a token that the model was never given."""
        if not self.knows_all and ids.max() >= self.vocabulary:
            token = self.tokenizer.convert_ids_to_tokens(int(ids.max()))
            raise ConfigError(
                f"a text has the token {token!r}, but the model's embedding ends before it, at "
                f"{self.vocabulary}: leave such texts out, or use a tokenizer that fits the model"
            )

    def hidden(self, batch: Batch) -> Tensor:
        """Final hidden states at the positions asked for [asked, width]."""
        return self._hidden(batch)

    def _hidden(self, batch: Batch, one_each: bool = False) -> Tensor:
        """What `hidden` returns, for `forward` to call: shards are put together before `hidden` or
        `forward`, and taken apart behind it. `one_each`: whether one position of each sequence is
        asked for."""
        states = self.fused_states(batch)
        if states is not None:
            return states
        states = self.body(**self.inputs(batch)).last_hidden_state
        if not one_each:
            return states[batch.asked]
        # nobody waits for a GPU to say how many there are
        rows = torch.arange(len(states), device=states.device)
        return states[rows, batch.asked.int().argmax(-1)]

    def fused_states(self, batch: Batch) -> Tensor | None:
        """What `hidden` returns, by the few operations of `llama.py` and `gpt2.py`; None where the
        model is not what is written out there, or the batch is not one for it."""
        self.check_known(batch.ids)
        if is_sharded(self):
            return None
        states = llama.final_states(self.lm, batch)
        return gpt2.final_states(self.lm, batch) if states is None else states

    def loss_of_tokens(self, batch: Batch) -> Tensor | None:
        """Cross-entropy of the language model's own logits with the tokens that are asked for, a
        scalar, without keeping the logits; None where `forward` has to make them."""
        if self.own_head is not None or batch.targets.ndim != 1:
            return None
        states = self.fused_states(batch)
        if states is None:
            return None
        return cross_entropy_of_tokens(states, unembedding(self.lm).weight, batch.targets)

    def plain(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Final states [S, T, width] and logits [S, T, vocabulary] of texts of one length, as
        anybody would compute them."""
        logits = self.lm(input_ids=ids, use_cache=False).logits
        return self.body(input_ids=ids, use_cache=False).last_hidden_state, logits

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B, K], in fp32: of the classes of B examples, or of the vocabulary for B
        tokens."""
        if self.own_head is None or self.head is None:
            return self.language_logits(batch).float()
        hidden = self._hidden(batch, one_each=True)
        with autocast("32-true", hidden.device):  # in bf16, many answers would be equal
            outputs = self.own_head(hidden.float())
            return class_logits(self.head, outputs, len(batch.targets))

    def language_logits(self, batch: Batch, inputs: dict[str, Any] | None = None) -> Tensor:
        """The language model's own logits at the positions asked for [asked, vocabulary].

        They are what it makes of its final hidden states itself: some scale or cap them. `inputs`:
        what it is given of the batch; None: all of it.
        """
        states = self.fused_states(batch) if inputs is None else None
        if states is not None:
            return unembedding(self.lm)(states)
        picked: list[bool] = []
        with only(self.lm.get_decoder(), batch.asked, picked):
            logits = self.lm(**(inputs or self.inputs(batch))).logits
        return logits.flatten(0, 1) if picked else logits[batch.asked]

    @torch.no_grad()
    def complete(self, ids: Tensor, mask: Tensor, max_new_tokens: int) -> list[str]:
        """Greedy completions of left-padded prompts [S, T]."""
        self.check_known(ids)
        out = self.lm.generate(  # type: ignore[operator]
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            pad_token_id=self.pad,
            eos_token_id=self.end,
        )
        return self.tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)

    def _greedy(self) -> GenerationConfig:
        """Greedy decoding and nothing else, in place of what the model's authors advise to chat
        with. It is saved with the model, which then completes elsewhere as it did here."""
        tokenizer = self.tokenizer
        return GenerationConfig(
            do_sample=False,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    def save(self, folder: Path) -> None:
        """Writes an ordinary model folder, with the tokenizer, and a head of its own beside it. Of
        shards all ranks take part, and the first one writes."""
        tensors = gathered(self.state_dict(keep_vars=True))
        if not tensors:
            return
        lm = {name[3:]: t.detach() for name, t in tensors.items() if name.startswith("lm.")}
        self.lm.save_pretrained(folder, state_dict=lm)
        self.tokenizer.save_pretrained(folder)
        if self.head is not None:
            own = {name[9:]: t for name, t in tensors.items() if name.startswith("own_head.")}
            save_head(own, self.head, folder)


@contextlib.contextmanager
def only(body: nn.Module, asked: Tensor, picked: list[bool]) -> Iterator[None]:
    """What reads the final hidden states of `body` is given those at `asked` alone, as one
    sequence [1, asked, width], so that no logits are computed that nobody asks for.

    `picked` gets an element where that was so: other modules may read the states of a part.
    """

    def pick(_: nn.Module, __: Any, output: Any) -> Any:
        states = getattr(output, "last_hidden_state", None)
        if states is not None:
            output.last_hidden_state = states[asked][None]
            picked.append(True)
        return output

    hook = body.register_forward_hook(pick)
    try:
        yield
    finally:
        hook.remove()


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
        """Class logits [B, K], in fp32."""
        with autocast("32-true", batch.ids.device):
            return class_logits(self.head, self.own_head(batch.ids), len(batch.targets))


def class_logits(head: LinearHead, outputs: Tensor, examples: int) -> Tensor:
    """Outputs of a linear layer [B * views, outputs] as class logits [B, K]."""
    return head.logits(outputs.view(examples, -1, outputs.shape[-1]))


def unembedding(lm: PreTrainedModel) -> nn.Linear:
    """The last layer of the language model's own head. Raises ConfigError where it is none."""
    head = lm.get_output_embeddings()
    if not isinstance(head, nn.Linear):
        raise ConfigError(
            f"a {type(lm).__name__} does not end in a linear layer of logits: use a causal "
            "language model such as openai-community/gpt2"
        )
    return head


def new_head(
    lm: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, head: LinearHead
) -> nn.Linear:
    """A linear layer that starts at zero, or as the unembedding rows of the head's words. (At zero
    too where the model has no memory yet.)

    Burns et al. 2023, appendices A.1 and A.3. Raises ConfigError where the tokenizer lacks one.
    """
    rows_of_words = unembedding(lm).weight
    linear = _zeros(rows_of_words.shape[1], head)
    rows = rows_that_start(head, tokenizer)
    if rows and not rows_of_words.is_meta:
        with torch.no_grad():
            linear.weight.copy_(rows_of_words[rows])
    return linear


def rows_that_start(head: LinearHead, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The rows of the unembedding that a new head starts from, one an output; none: it starts at
    zero. Raises ConfigError where the tokenizer lacks a word."""
    if head.init != "unembedding":
        return []
    rows = [tokenizer(w, add_special_tokens=False)["input_ids"][-1] for w in head.words]
    if tokenizer.unk_token_id in rows:
        raise ConfigError(
            f"the tokenizer lacks one of {head.words}, so no head can start there: "
            "set task.head.init=zero"
        )
    return rows


def _zeros(width: int, head: LinearHead) -> nn.Linear:
    linear = nn.Linear(width, len(head.words), bias=head.bias)
    for parameter in linear.parameters():
        nn.init.zeros_(parameter)
    return linear


def save_head(tensors: Mapping[str, Tensor], head: LinearHead, folder: Path) -> None:
    """Writes `head.safetensors` (`weight` [outputs, width], maybe `bias` [outputs]), and
    `head.json`: which head it is."""
    save_file({name: p.detach().cpu().contiguous() for name, p in tensors.items()}, folder / HEAD)
    fields = asdict(head)  # type: ignore[call-overload]  # a value is a dataclass
    write_json(folder / HEAD_FACTS, {"is": public_name(type(head)), **fields})
