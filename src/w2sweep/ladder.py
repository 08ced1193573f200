"""Ladders: ordered families of pretrained models, each size a rung with what depends on size."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from w2sweep.tasks import Corpus
from w2sweep.tasks.readers import checksum
from w2sweep.tasks.texts import Reading
from w2sweep.values import ConfigError, Count, Rate, value

Tokens = Annotated[int, Field(ge=0)]

LOADED = ("config.json", "*.safetensors", "tokenizer*", "vocab*", "merges*")
"""What of a local model's folder is read, and so is its identity."""


@value
class Backbone:
    """One rung: a pretrained language model of the Hugging Face hub, of a local folder, or pretrained on the spot."""

    lr: Rate
    """Peak learning rate of finetuning."""

    @property
    def size(self) -> int:
        """Parameters, embeddings left out when the rung is pretrained here."""
        raise NotImplementedError

    @property
    def compute(self) -> float:
        """Pretraining compute in FLOPs, as 6 x parameters x tokens."""
        raise NotImplementedError

    @property
    def pretrained(self) -> bool:
        """Whether it has seen any text before finetuning."""
        raise NotImplementedError

    @property
    def label(self) -> str:
        """A short name for logs."""
        raise NotImplementedError

    def untrained(self) -> Backbone:
        """The same architecture with random weights: the control that owes nothing to pretraining."""
        raise NotImplementedError


@value
class Hub(Backbone):
    """A pretrained model by its hub name, or by the path of a local folder written by `save_pretrained`."""

    model: str
    params: Count
    pretrain_tokens: Tokens
    revision: str | None = None
    trust_remote_code: bool = False
    """Runs code that comes with the model. Off unless you trust its authors."""
    scratch: bool = False
    """Random weights in the model's architecture."""

    def identity(self) -> dict[str, object]:
        """Of a local folder its content, wherever it lies."""
        fields = asdict(self)
        if (folder := Path(self.model)).is_dir():
            files = sorted(f for pattern in LOADED for f in folder.glob(pattern))
            fields["model"] = {f.name: checksum(f) for f in files}
        return {"is": "Hub", **fields}

    @property
    def size(self) -> int:
        return self.params

    @property
    def compute(self) -> float:
        return 6.0 * self.params * self.pretrain_tokens

    @property
    def pretrained(self) -> bool:
        return not self.scratch

    @property
    def label(self) -> str:
        return self.model.rstrip("/").split("/")[-1] + (" from scratch" if self.scratch else "")

    def untrained(self) -> Hub:
        return replace(self, scratch=True, pretrain_tokens=0)


@value
class Homegrown(Backbone):
    """A small Llama-shaped model, pretrained by w2sweep itself on the task's corpus."""

    added: ClassVar[frozenset[str]] = frozenset({"precision", "pretrain_warmup"})

    width: Count
    depth: Count
    heads: Count
    tokens: Tokens
    """Pretraining tokens, counted with repetition; 0 leaves the weights random."""
    pretrain_lr: Rate
    pretrain_batch: Count = 16
    """Sequences a pretraining step."""
    pretrain_warmup: Count = 50
    """Steps over which the learning rate grows, but never more than a tenth of all steps."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Of pretraining. bf16 pays from a width of 48 on, and is left alone by CPUs that are not faster with it."""

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise ConfigError(
                f"width {self.width} over {self.heads} heads: the width of a head must be an even integer"
            )

    @property
    def feedforward(self) -> int:
        """Width of the gated feed-forward layer: 8/3 of the model's, rounded up to a multiple of 8."""
        return 8 * -(-8 * self.width // 24)

    @property
    def size(self) -> int:
        attention, feedforward, norms = 4 * self.width**2, 3 * self.width * self.feedforward, 2 * self.width
        return self.depth * (attention + feedforward + norms) + self.width

    @property
    def compute(self) -> float:
        return 6.0 * self.size * self.tokens

    @property
    def pretrained(self) -> bool:
        return self.tokens > 0

    @property
    def label(self) -> str:
        return f"{self.depth}x{self.width}" + ("" if self.tokens else " from scratch")

    def untrained(self) -> Homegrown:
        return replace(self, tokens=0)


@value
class Tokenizer:
    """How the text of a homegrown ladder becomes tokens, the same for all its rungs."""

    kind: Literal["word", "bpe"] = "bpe"
    """`word`: one token a word between blanks (the lab); `bpe`: byte-level byte-pair encoding."""
    vocabulary: Count = 4096
    context: Count = 128
    """Longest sequence in tokens, in pretraining blocks too."""


@value
class Ladder:
    """Rungs by name, weakest first."""

    name: str
    rungs: dict[str, Backbone]
    tokenizer: Tokenizer | None = None
    """Only of ladders with homegrown rungs."""
    corpus: Reading = None
    """What homegrown rungs read instead of the text of the task."""
    corpus_tokens: Count | None = None
    """Length of a corpus that is written on the spot, such as the lab's worlds; None: what the task says."""
    pretrain_seed: int = 0

    def __post_init__(self) -> None:
        if any(isinstance(b, Homegrown) for b in self.rungs.values()) and self.tokenizer is None:
            raise ConfigError(
                f"ladder {self.name} has homegrown rungs but no tokenizer: give it one (ladder.tokenizer)"
            )

    def position(self, rung: str) -> int:
        """How many rungs lie below. Raises ConfigError where the ladder has no such rung."""
        if rung not in self.rungs:
            raise ConfigError(f"no rung '{rung}' on ladder '{self.name}'; it has {', '.join(self.rungs)}")
        return list(self.rungs).index(rung)

    def reads(self, text: Corpus) -> Corpus:
        """What homegrown rungs are pretrained on for a task with this text."""
        corpus: Any = self.corpus or text
        if self.corpus_tokens is None:
            return corpus
        if not hasattr(corpus, "tokens"):
            raise ConfigError(
                f"ladder {self.name} asks for {self.corpus_tokens} tokens of {type(corpus).__name__}, which has a "
                "length of its own: set ladder.corpus_tokens=null"
            )
        return replace(corpus, tokens=self.corpus_tokens)

    def above(self, weak: str, strong: str) -> list[str]:
        """The rungs over `weak` up to and including `strong`."""
        return list(self.rungs)[self.position(weak) + 1 : self.position(strong) + 1]
