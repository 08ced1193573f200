"""Memory: what is done where there is too little of it."""

from __future__ import annotations

import functools
import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch
from torch.distributed.tensor import DTensor

from w2sweep.engine.stage import Job

T = TypeVar("T")
S = TypeVar("S")

log = logging.getLogger(__name__)

TELLING = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What errors of torch say of memory, where they have no class of their own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the machine, had too little memory for a computation."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in TELLING)


class Room:
    """Tokens in one forward pass: half as many from then on, as often as memory runs out."""

    def __init__(self, budget: int):
        self.budget = budget

    def compute(self, work: Callable[[int], T]) -> T:
        """`work(budget)`. Raises what it raised where a budget of one token is too much."""
        while True:
            try:
                return work(self.budget)
            except Exception as error:
                if self.budget <= 1 or not is_out_of_memory(error):
                    raise
            # behind the handler, for the error holds on to what filled the memory
            self.budget = halved(self.budget)


def halved(budget: int) -> int:
    """Half of a budget of tokens, told; memory that nobody holds is given back first."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    budget //= 2
    log.warning(
        "out of memory: goes on with %d tokens in one forward pass, to the same result; "
        "set runtime.micro_tokens=%d to begin with that",
        budget,
        budget,
    )
    return budget


def in_main_memory(tensor: torch.Tensor) -> torch.Tensor:
    """A copy where there is more room than on a device; of a shard, which is put together on
    devices, beside it."""
    if isinstance(tensor, DTensor):
        return tensor.detach().clone()
    copy = torch.empty_like(tensor, device="cpu", requires_grad=False)
    return copy.copy_(tensor.detach())


def saying_what_to_lower(work: Callable[[S, Job], None]) -> Callable[[S, Job], None]:
    """What a stage does; where memory runs out, it says which setting to lower.

    It then raises MemoryError, which is the machine's fault and not the stage's.
    """

    @functools.wraps(work)
    def explained(stage: S, job: Job) -> None:
        try:
            work(stage, job)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            cause = " ".join(str(error).split())[:160] or "out of memory"
            raise MemoryError(f"{cause}: {_advice(job)}") from error

    return explained


def _advice(job: Job) -> str:
    runtime = job.runtime
    options = [f"lower runtime.micro_tokens, which is {runtime.micro_tokens}"]
    if not runtime.gradient_checkpointing:
        options.append("set runtime.gradient_checkpointing=true")
    if job.rank.of > 1:
        told = "raise runtime.devices" if runtime.sharded else "set runtime.sharded=true"
        options.append(told)
    options += ["start fewer workers on this machine", "or use tuning=lora or a smaller rung"]
    return ", ".join(options)
