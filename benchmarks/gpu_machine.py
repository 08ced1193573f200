"""The machine that `gpu.py` measures: its rate of matmuls, its memory, and which models it runs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from w2sweep.engine.runtime import Runtime
from w2sweep.experiment.shape import Shape
from w2sweep.learning.loading import DTYPES

PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
}
"""Part of a device's name -> FLOPs a second in bf16, dense, as its data sheet says."""


@dataclass(frozen=True)
class Machine:
    """Where everything is measured, and how large it is."""

    cpu: bool
    length: int = 512
    """Tokens of a text."""

    @property
    def device(self) -> torch.device:
        return torch.device("cpu" if self.cpu else "cuda")

    @property
    def name(self) -> str:
        return "CPU" if self.cpu else torch.cuda.get_device_name()

    @property
    def peak(self) -> float | None:
        """FLOPs a second in bf16 by its data sheet; None: it is not known."""
        return next((peak for part, peak in PEAKS.items() if part in self.name), None)

    @property
    def shapes(self) -> dict[str, Shape]:
        """The models, by their parameters."""
        if self.cpu:
            small: dict[str, Any] = {"vocabulary": 600, "heads": 4}
            return {
                "0.1M": Shape(width=32, depth=2, positions=512, layers="gpt2", **small),
                "0.2M": Shape(width=64, depth=2, feedforward=176, **small),
            }
        words = 50_304
        return {
            "124M": Shape(
                width=768, depth=12, heads=12, vocabulary=50_257, layers="gpt2", positions=1024
            ),
            "400M": Shape(width=1024, depth=28, heads=16, vocabulary=words, feedforward=2816),
            "1.5B": Shape(width=2048, depth=28, heads=16, vocabulary=words, feedforward=5632),
            "4B": Shape(width=3072, depth=34, heads=24, vocabulary=words, feedforward=8192),
        }

    @cached_property
    def rates(self) -> dict[str, float]:
        """FLOPs a second of large matmuls, by what they are computed in."""
        n = 256 if self.cpu else 8192
        return {name: self.matmul(n, dtype) for name, dtype in DTYPES.items()}

    def matmul(self, n: int, dtype: torch.dtype) -> float:
        """FLOPs a second of the product of two square matrices, at the best of some tries."""
        a, b = (torch.randn(n, n, device=self.device).to(dtype) for _ in range(2))
        best = 0.0
        for _ in range(3):
            self.wait()
            started = time.perf_counter()
            for _ in range(4):
                torch.mm(a, b)
            self.wait()
            best = max(best, 4 * 2 * n**3 / (time.perf_counter() - started))
        return best

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if not self.cpu:
            torch.cuda.synchronize()

    def forget(self) -> None:
        """Begins to look for the peak of memory anew."""
        if not self.cpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    @property
    def peak_bytes(self) -> int | None:
        """The most memory that tensors had since it was forgotten; None on a CPU."""
        return None if self.cpu else torch.cuda.max_memory_allocated()

    def runtime(self, recomputed: bool = False, checkpoint_seconds: float = 1e9) -> Runtime:
        return Runtime(
            accelerator="cpu" if self.cpu else "gpu",
            gradient_checkpointing=recomputed,
            checkpoint_seconds=checkpoint_seconds,
        )
