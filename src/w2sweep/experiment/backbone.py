"""Backbones: the language models that stages hold, and how those that are pretrained here learn."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from w2sweep.experiment.recipe import Precision
from w2sweep.experiment.shape import FIELDS, Shape
from w2sweep.tasks.readers import checksum
from w2sweep.values import ConfigError, Count, Impossible, Natural, Rate, named, value

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
"""Where Transformers looks for the weights of a local model: in the first, or in the files that the
second names."""
UNREAD = [
    "*.md",
    "LICENSE*",
    "generation_config.json",
    "pytorch_model*",
    "*.h5",
    "*.msgpack",
    "*.onnx",
    "*.gguf",
    "*.ot",
    "optimizer*",
    "scheduler.pt",
    "rng_state*",
    "training_args.bin",
    "trainer_state.json",
]
"""Files of a local model's folder that are not read: notes, advice for chatting (completions here
are greedy), weights in other formats, and what somebody's training left there."""


@value
class HubModel:
    """A language model of the Hugging Face hub, or of a local folder."""

    model: str
    """Its name on the hub, or the path of a folder written by `save_pretrained`."""
    revision: str | None = None
    trust_remote_code: bool = False
    """Runs code that comes with the model. Off unless you trust its authors."""
    scratch: bool = False
    """Random weights in the model's architecture."""
    layers: Count | None = None
    """Only so many of its layers, the first ones, with its final norm and its head; None: all."""
    rung: str = named(default="")
    """What its ladder calls it."""
    parameters: Natural = named(default=0)
    """As its ladder says; 0: nobody said."""
    shape: Shape | None = named(default=None)
    """As its ladder says, for estimates of memory; None: nobody said."""

    def __post_init__(self) -> None:
        _check_model(self.model, self.rung)
        folder = Path(self.model)
        if folder.is_dir():
            config = _config_of(folder)
            refuse_parts(self.label, config)
            check_depth(self.label, self.layers, depth_of(config))

    def identity(self) -> dict[str, object]:
        """Of a local folder its content, wherever it lies: all but what is known not to be read.

        Raises ConfigError where such a folder has no weights, or a part of them is missing.
        """
        fields = asdict(self)
        del fields["rung"], fields["parameters"], fields["shape"]
        if self.layers is None:  # of whole models, as before there were others
            del fields["layers"]
        if (folder := Path(self.model)).is_dir():
            if not self.scratch:
                check_weights(folder)
            found = {f.relative_to(folder).as_posix(): f for f in read_of(folder)}
            fields["model"] = {name: checksum(found[name]) for name in sorted(found)}
            fields["revision"] = None  # of the model on the hub that the folder stands in for
        return fields

    @property
    def label(self) -> str:
        """A short name, for messages."""
        cut = f" ({self.layers} layers)" if self.layers else ""
        name = self.rung or self.model.rstrip("/").split("/")[-1] + cut
        return f"{name} from scratch" if self.scratch else name


OTHER_SENSES = ("vision_config", "audio_config", "video_config")
"""What a config.json has of models that read other things than text too."""


def refuse_parts(name: str, config: Mapping[str, Any]) -> None:
    """Raises ConfigError where a config.json is of a model of several parts, of which a language
    model is one: its layers, its longest text and its dropout stand elsewhere than they are looked
    for here."""
    others = [part for part in OTHER_SENSES if config.get(part)]
    if not others and not config.get("text_config"):
        return
    kind = f"multimodal (it has a {others[0]})" if others else "of several parts (text_config)"
    raise ConfigError(
        f"{name} ({config.get('model_type')}) is {kind}, and rungs are causal language models of "
        "text alone: use one such as Qwen/Qwen3-0.6B-Base, or write its language model to a folder "
        "of its own by save_pretrained"
    )


def check_depth(name: str, layers: int | None, there: int | None) -> None:
    """Raises Impossible where more layers are asked for than a model has; `there`: None where that
    is not known yet."""
    if layers is not None and there is not None and layers > there:
        raise Impossible(
            f"layers: found {layers}, but {name} has {there}: ask for {there} at most, or leave "
            "layers out for all of them"
        )


def depth_of(config: Mapping[str, Any]) -> int | None:
    """The number of layers that a config.json tells; None where it tells none."""
    told = (config.get(name) for name in FIELDS["depth"])
    return next((depth for depth in told if isinstance(depth, int)), None)


def _config_of(folder: Path) -> dict[str, Any]:
    """The config.json of a folder; {} where it cannot be read: loading says why."""
    try:
        found = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def read_of(folder: Path) -> list[Path]:
    """The files of a local model's folder and of its sub-folders that may be read."""
    found = []
    for file in folder.rglob("*"):
        parts = file.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        unread = any(file.match(pattern) for pattern in UNREAD)
        if file.is_file() and not hidden and not unread:
            found.append(file)
    return found


def check_weights(folder: Path) -> None:
    """Raises ConfigError where a local model has no weights, or lacks files that its index names.

    Weights are read from safetensors only, for those of other formats can run code.
    """
    whole, index = (folder / name for name in WEIGHTS)
    if whole.exists():
        return
    if not index.exists():
        raise ConfigError(
            f"the model folder {folder} has no model.safetensors, and weights of other formats are "
            "not read: load it with Transformers once and write it by save_pretrained, with its "
            "adapters merged"
        )
    try:
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{index} is no index of weights: copy the model again") from error
    missing = sorted(shard for shard in shards if not (folder / shard).exists())
    if missing:
        raise ConfigError(f"{index} names {missing[0]}, which is not there: copy the model again")


@value
class SmallLlama:
    """The architecture of rungs that are pretrained on the spot: Llama's, in small."""

    width: Count
    depth: Count
    heads: Count
    rung: str = named(default="")
    """What its ladder calls it."""

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise ConfigError(
                f"width {self.width} over {self.heads} heads: "
                "the width of a head must be an even integer"
            )

    @property
    def feedforward(self) -> int:
        """Width of the gated feed-forward layer: 8/3 of the model's, up to a multiple of 8."""
        return 8 * -(-8 * self.width // 24)

    @property
    def parameters(self) -> int:
        """Without embeddings."""
        attention = 4 * self.width**2
        feedforward = 3 * self.width * self.feedforward
        norms = 2 * self.width
        return self.depth * (attention + feedforward + norms) + self.width

    @property
    def label(self) -> str:
        """A short name, for messages."""
        return self.rung or f"{self.depth}x{self.width}"


HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
"""`name` or `owner/name`."""


def _check_model(model: str, rung: str) -> None:
    """Raises ConfigError for the path of a folder that is not there, or that holds no model."""
    key, folder = f"ladder.rungs.{rung}.model" if rung else "model", Path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(
                f"{key}: the folder {model} has no config.json; expected what save_pretrained "
                "writes"
            )
    elif not HUB_NAME.fullmatch(model):
        raise ConfigError(
            f"{key}: there is no folder '{model}' (seen from {Path.cwd()}), and no model of the "
            "hub has such a name; expected a folder of save_pretrained, or OWNER/NAME"
        )


Backbone = HubModel | SmallLlama

FINETUNED_TOGETHER, PRETRAINED_TOGETHER = 110_000, 400_000
"""Parameters, without embeddings, up to which it pays to train models side by side:
`benchmarks/stacked.py`."""


def small_shape(backbone: Backbone, largest: int) -> tuple[int, int, int] | None:
    """What must be equal for models of at most `largest` parameters that are pretrained here to be
    trained side by side; None for all others."""
    if isinstance(backbone, SmallLlama) and backbone.parameters <= largest:
        return backbone.width, backbone.depth, backbone.heads
    return None


@value
class Pretraining:
    """How a language model is trained: what `Adapt` does with a backbone and a text."""

    added: ClassVar[frozenset[str]] = frozenset({"epochs"})

    tokens: Natural
    """Counted with repetition; 0 leaves the weights as they are, unless there are epochs."""
    lr: Rate
    batch: Count = 16
    """Sequences a step."""
    warmup: Count = 50
    """Steps over which the learning rate grows, but never more than a tenth of all steps."""
    precision: Precision = "32-true"
    """bf16 pays from a width of 48 on, where the processor gains from it (`runtime.bf16`)."""
    embedding_lr: Rate = 1.0
    """Learning rate of the input embeddings, as a multiple of the others'."""
    epochs: Natural = 0
    """Passes over a text of unknown length, beside `tokens`."""

    def steps(self, length: int, context: int) -> int:
        """Optimizer steps over a text of `length` tokens in sequences of `context` tokens.

        Epochs make at least one, however short the text is.
        """
        step = self.batch * context
        return self.tokens // step + -(-self.epochs * length // step)


FEWEST = 256 + 3
"""Tokens of a byte-level vocabulary: the bytes, and those for padding, ends and the unknown."""


@value
class Tokenizer:
    """How the text of a homegrown ladder becomes tokens, the same for all its rungs."""

    kind: Literal["word", "bpe"] = "bpe"
    """`word`: one token a word between blanks (the lab). `bpe`: byte-level byte-pair encoding."""
    vocabulary: Count = 4096
    """Tokens of `bpe`, which begins with the 256 bytes and three of its own."""
    context: Annotated[int, Field(ge=8)] = 128
    """Longest sequence in tokens, in pretraining blocks too."""

    def __post_init__(self) -> None:
        if self.kind == "bpe" and self.vocabulary < FEWEST:
            raise ConfigError(
                f"vocabulary: found {self.vocabulary}, expected at least {FEWEST} for kind=bpe"
            )
