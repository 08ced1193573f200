"""How stages are run. Nothing here changes a result, so nothing here is part of a stage's identity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from w2sweep.values import Count, Rate, value

if TYPE_CHECKING:
    from w2sweep.tracking import Tracking


@value
class Runtime:
    """The machine: its accelerator, and how much fits into its memory."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    threads: Count = 1
    """CPU threads of each worker: several workers with one thread each beat one worker with several."""
    micro_tokens: Count = 16384
    """Tokens (padding included) in one forward pass; a batch with more is split, with the same gradient."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    checkpoint_seconds: Rate = 60.0
    """How much training a killed worker may lose."""
    keep_weights: bool = False
    """Keep the weights of finetuned models beside their predictions."""


@dataclass(frozen=True)
class How:
    """What a store hands to the stages it runs."""

    runtime: Runtime = field(default_factory=Runtime)
    tracking: Tracking | None = None
    """None: no Weights & Biases."""
    sweep: str = "default"
    """Groups the runs of one sweep."""
