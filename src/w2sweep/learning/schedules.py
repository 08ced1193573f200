"""Schedules: progress in 0..1 -> what multiplies the learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def linear(warmup: float, floor: float = 0.0) -> Schedule:
    """Up from 0 over `warmup`, times a line from 1 down to `floor`."""
    return lambda x: _grown(x, warmup) * (floor + (1 - floor) * (1 - x))


def cosine(warmup: float, floor: float = 0.0) -> Schedule:
    """Up from 0 over `warmup`, times half a cosine from 1 down to `floor`."""
    return lambda x: _grown(x, warmup) * (floor + (1 - floor) * (1 + math.cos(math.pi * x)) / 2)


def constant(warmup: float) -> Schedule:
    """Up from 0 over `warmup`, then constant."""
    return lambda x: _grown(x, warmup)


def _grown(x: float, warmup: float) -> float:
    return min(1.0, x / warmup) if warmup else 1.0
