"""The machine, as torch sees it."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

import torch

from w2sweep.engine.stage import Job
from w2sweep.experiment.recipe import Precision, WeightPrecision
from w2sweep.learning import spread


def prepared(job: Job) -> torch.device:
    """Where the job computes; with as many threads as its runtime says, and together with the other
    processes that run the same stage."""
    torch.set_num_threads(job.runtime.threads)
    keep_freed_memory()
    spread.join(job.rank, job.device)
    return torch.device(job.device)


def precision_of(asked: Precision, job: Job) -> Precision:
    """What a pretraining that asks for this precision computes in: bf16 only where the sweep does.

    To the precision of bf16 the results are the same; bit for bit, those of different processors
    never are.
    """
    return asked if job.bf16 else "32-true"


def autocast(precision: WeightPrecision, device: torch.device) -> torch.autocast:
    """The precision of training, for inference; "32-true" within a training of less as well.

    Copies of weights in bf16 are not kept from one forward pass to the next where processes may
    hold one model together: they would be the whole model, on each device.
    """
    kept = None if spread.ranks() == 1 else False
    bf16 = precision == "bf16-mixed"
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16, cache_enabled=kept)


@contextlib.contextmanager
def flushing_denormals() -> Iterator[None]:
    """Tiny models drift into denormal numbers, which are slow. It holds for the whole process,
    which may have other work afterwards."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def keep_freed_memory() -> None:
    """Tells glibc not to give large freed blocks back to the kernel, only to fetch them, cleared,
    for the next step: a quarter of the CPU time of a small language model on a vocabulary of 4,096.
    Elsewhere it does nothing."""
    mmap_threshold, trim_threshold = -3, -1  # of malloc.h
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_threshold, 2**30)
        libc.mallopt(trim_threshold, 2**31 - 1)
