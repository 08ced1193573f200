"""Shapes: what the memory of a language model depends on beside its number of parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from w2sweep.values import Count, Natural, value

Layers = Literal["gpt2", "pythia", "llama", "qwen3"]
"""Whose layers a model has, for what each of them keeps for the backward pass."""
LAYERS: dict[str, Layers] = {"gpt2": "gpt2", "gpt_neox": "pythia", "qwen3": "qwen3"}
"""By the `model_type` of a config.json; of all others: llama."""
FIELDS = {
    "width": ("hidden_size", "n_embd"),
    "depth": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "vocabulary": ("vocab_size",),
    "feedforward": ("intermediate_size", "n_inner"),
    "key_value_heads": ("num_key_value_heads",),
    "head_width": ("head_dim",),
    "positions": ("n_positions",),
}
"""A field of a shape -> what a config.json may call it."""


@value
class Shape:
    """The shape of a transformer. Facts for estimates: no stage is the other for them."""

    width: Count
    depth: Count
    heads: Count
    vocabulary: Count
    layers: Layers = "llama"
    feedforward: Count | None = None
    """None: four times the width."""
    key_value_heads: Count | None = None
    """None: as many as there are heads."""
    head_width: Count | None = None
    """None: the width, spread over the heads."""
    tied: bool = True
    """Whether the embedding is the unembedding too."""
    positions: Natural = 0
    """Rows of a table of positions that is learned."""

    @property
    def inner(self) -> int:
        """Width of the feed-forward layer."""
        return self.feedforward or 4 * self.width

    @property
    def queries(self) -> int:
        """Width of all heads together."""
        return self.heads * (self.head_width or self.width // self.heads)

    @property
    def keys(self) -> int:
        """Width of all keys together, and of all values."""
        return self.queries // self.heads * (self.key_value_heads or self.heads)

    @property
    def matrices(self) -> list[tuple[int, int]]:
        """Inputs and outputs of the linear layers of one layer of the transformer."""
        w, f, q, k = self.width, self.inner, self.queries, self.keys
        if self.layers in ("gpt2", "pythia"):
            return [(w, 3 * w), (w, w), (w, f), (f, w)]
        return [(w, q), (w, k), (w, k), (q, w), (w, f), (w, f), (f, w)]

    @property
    def embedding(self) -> int:
        """Parameters of the embedding of tokens."""
        return self.vocabulary * self.width

    @property
    def tables(self) -> list[tuple[int, int]]:
        """Rows and columns of the embeddings that are read."""
        positions = [(self.positions, self.width)] if self.positions else []
        return [(self.vocabulary, self.width), *positions]

    @property
    def embeddings(self) -> int:
        """Parameters of all embeddings: of tokens, of positions, and an unembedding of its own."""
        return self.embedding * (1 if self.tied else 2) + self.positions * self.width

    @property
    def parameters(self) -> int:
        """Those of the matrices and of the embeddings: all but a thousandth."""
        matrices = sum(inputs * outputs for inputs, outputs in self.matrices)
        return self.depth * matrices + self.embeddings


def shape_of_folder(folder: Path) -> Shape | None:
    """The shape that the config.json of a local model tells; None where it tells none."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        found = {field: _first(config, FIELDS[field]) for field in FIELDS}
        fields: dict[str, Any] = {field: told for field, told in found.items() if told is not None}
        kind = LAYERS.get(config.get("model_type"), "llama")
        return Shape(layers=kind, tied=config.get("tie_word_embeddings", True), **fields)
    except (OSError, ValueError, TypeError, AttributeError):  # of pydantic too
        return None


def shape_of_model(model: str, revision: str | None = None) -> Shape | None:
    """The shape that the model's own configuration tells, if that is on this machine: `model` is a
    folder, or a name on the hub, whose config.json was fetched before. Asks no network."""
    config = config_of_model(model, revision)
    return shape_of_folder(config.parent) if config else None


def config_of_model(model: str, revision: str | None = None) -> Path | None:
    """The config.json of a folder, or of a model of the hub, if that was fetched before; None where
    it is not on this machine."""
    if (folder := Path(model)).is_dir():
        return folder / "config.json"
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(model, "config.json", revision=revision)
    except ValueError:  # it is no name that the hub could have
        return None
    return Path(found) if isinstance(found, str) else None


def _first(config: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((config[name] for name in names if config.get(name) is not None), None)


def typical_shape(parameters: int) -> Shape:
    """What a model of so many parameters most often looks like, where nobody says."""
    width = max(64, 64 * round((parameters / 12 * 100) ** (1 / 3) / 64))
    depth = max(1, round(parameters / (12 * width**2)))
    return Shape(width=width, depth=depth, heads=max(1, width // 128), vocabulary=100_000)
