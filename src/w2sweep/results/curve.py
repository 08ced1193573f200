"""How a student does along its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """The shares of right answers of one student at each of its E evaluations. Of the three, only
    the agreement with its own labels is something that it could know; the others are oracles."""

    progress: Sequence[float]
    """The part of the training that is done [E]; the last is 1."""
    step: Sequence[int]
    """Optimizer steps [E]."""
    test_truth: Sequence[float]
    """Accuracy on the test split [E]."""
    validation_truth: Sequence[float]
    """Accuracy on the validation split [E]."""
    validation_own: Sequence[float]
    """Agreement with its own labels on the validation split [E]."""
    n_validation: int
    """Examples of that split."""
