"""What is written down of a cell's method itself: what it is for, and what it costs."""

from __future__ import annotations

import pydantic

METHOD, CONTROL, ORACLE = KINDS = ("method", "control", "oracle")
"""What a method is for: something to do; something to compare with; something that nobody could do,
for it reads the truth."""


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config={"extra": "ignore"})
class Cost:
    """What a cell's method takes beyond the supervisor and the pretrained rungs."""

    steps: int
    """Of optimizers: of the student and of all models that it is made with."""
    flops: float
    """Of these models, trained and asked."""
