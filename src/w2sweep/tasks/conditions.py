"""Tasks that can be put under conditions: what they know of their texts beside the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol, runtime_checkable

from w2sweep.tasks.example import Example

Commonness = Literal["frequent", "rare"]


@runtime_checkable
class KnowsWords(Protocol):
    """A task that knows how frequent the words are that its texts ask about."""

    def commonness(self, example: Example) -> Commonness | None:
        """Whether all words that an example asks about are among the more frequent half of their
        kind, or all among the rarer half. None: some are, or there are none."""
        ...


@runtime_checkable
class Unanswerable(Protocol):
    """A task that knows texts which have no right answer to what it asks."""

    def unanswerable(self) -> Iterator[Example]:
        """Such texts, in an order of their own. Their labels mean nothing; groups are as those of
        the task's examples."""
        ...
