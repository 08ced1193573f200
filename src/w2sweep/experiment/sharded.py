"""What cannot be computed by devices that hold one model together (`runtime.sharded`)."""

from __future__ import annotations

from w2sweep.experiment.recipe import Recipe
from w2sweep.tasks.heads import Completion, Head
from w2sweep.values import Impossible


def check_sharded(head: Head, recipe: Recipe) -> None:
    """Raises Impossible for completions, and for what would not be computed as on one device:
    blocks of 8-bit numbers, sums of rows and columns, and noise that end where a shard does."""
    found = ""
    if isinstance(head, Completion):
        found = "a head that generates completions"
    elif recipe.optimizer != "adamw":
        found = f"recipe.optimizer={recipe.optimizer}"
    elif recipe.precision == "bf16-true":
        found = "recipe.precision=bf16-true"
    elif recipe.ema:
        found = f"recipe.ema={recipe.ema:g}"
    if found:
        raise Impossible(
            f"runtime.sharded=true: devices that hold one model together cannot work with {found}: "
            "use runtime.sharded=false, and tuning=lora where a model does not fit on one device"
        )
