"""Tasks that know how good a reply is, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from w2sweep.tasks.example import Example


@runtime_checkable
class Replying(Protocol):
    """A task of comparing replies whose true quality can be told of any reply.

    A reply is judged in several respects, in each of which it is good or bad; its quality is the
    sum of their weights, with a minus where it is bad.
    """

    respects: ClassVar[Mapping[str, float]]
    """What makes a reply good, and how much each of it counts."""
    reply_words: ClassVar[int]
    """The words of a reply."""

    def questions(self, rng: np.random.Generator, n: int) -> list[str]:
        """`n` questions, each as far as where a reply begins."""
        ...

    def replies(
        self, rng: np.random.Generator, question: str, n: int, held_out: Sequence[Example]
    ) -> list[str]:
        """`n` replies to a question, of any quality, with the words of examples that nobody was
        trained on."""
        ...

    def judged(self, question: str, replies: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each of N replies is good in each of R respects, in their order [N, R]."""
        ...
