"""How stages are run. Nothing here changes a result, so nothing here is part of an identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from w2sweep.engine.devices import Accelerator
from w2sweep.values import Count, Rate, value


@value
class Runtime:
    """The machine: its accelerator, and how much fits into its memory."""

    accelerator: Accelerator = "auto"
    devices: Annotated[int, Field(gt=0, le=64)] = 1
    """How many devices of one machine a stage is spread over that can be: GPUs, or on CPUs
    processes. Results are the same up to the order of sums."""
    threads: Annotated[int, Field(gt=0, le=1024)] = 1
    """CPU threads of each worker, and of each of its devices: several workers with one thread each
    beat one worker with several."""
    bf16: Literal["auto", "yes", "no"] = "auto"
    """Whether stages that ask for bf16 compute in it, or in fp32. `auto`: in bf16 where the GPU or
    the processor of the machine that starts the sweep gains from it. All workers of a sweep do the
    same, and `stage.json` says which it was."""
    micro_tokens: Count = 16384
    """Tokens (padding included) in one forward pass, at most. A batch with more is split, with the
    same gradient; on CPUs into less where their caches hold less, which is faster."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    sharded: bool = False
    """Whether the `devices` of a stage hold one model together (FSDP2), for what does not fit on
    one of them, instead of one each. Stages that train a whole language model are; others, such as
    probes, have one each."""
    together: Annotated[int, Field(gt=0, le=256)] = 16
    """How many small models of one shape a worker trains side by side, at most, as one stacked
    model. Results are the same up to the order of sums; 1: one after the other."""
    checkpoint_seconds: Rate = 60.0
    """How much training a killed worker may lose."""

    @property
    def most_together(self) -> int:
        """How many stages one call may run."""
        return self.together if self.devices == 1 else 1

    @property
    def cores(self) -> int:
        """CPUs that a worker keeps busy."""
        return self.threads * self.devices


@dataclass(frozen=True)
class Rank:
    """Which one of the processes that run a stage together: the first of one, where nothing is
    said."""

    number: int = 0
    of: int = 1
    meeting: str = ""
    """A path on this machine where there is no file yet: by it they find each other."""

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes the result."""
        return self.number == 0

    def __str__(self) -> str:
        return f"rank {self.number} of {self.of}"
