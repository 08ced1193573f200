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


@dataclass(frozen=True)
class Learning:
    """How a model did on the validation split at each of its E evaluations, as it logged it while
    it was trained."""

    progress: Sequence[float]
    """The part of the training that is done [E]."""
    own: Sequence[float]
    """Agreement with the labels that it learns [E]."""
    truth: Sequence[float]
    """Accuracy [E]."""
    n: int
    """Examples of the validation split."""
    stopped: bool = False
    """Whether the model is that of its best evaluation, for it stops early."""

    @property
    def best_own(self) -> float:
        """Where an early stop on its own labels keeps it: the first of the best."""
        return self.progress[max(range(len(self.own)), key=self.own.__getitem__)]

    @property
    def best_truth(self) -> float:
        """Where an early stop on the truth would keep it, which only an oracle could do."""
        return self.progress[max(range(len(self.truth)), key=self.truth.__getitem__)]
