"""What every kind of figure says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from w2sweep.report.drawing import Drawing
from w2sweep.report.summary import SummaryRow
from w2sweep.results.cell import RungFacts

Ladders = Mapping[str, Mapping[str, RungFacts]]
"""Name of a ladder -> its rungs, weakest first."""


class Plot(ABC):
    """A kind of figure: a class here, in a file of its own, that says which rows it draws."""

    name: ClassVar[str]
    """Of its files."""
    order: ClassVar[int]
    """Its place on the page: the lower, the earlier."""

    def __init__(self, rows: Sequence[SummaryRow], ladders: Ladders):
        self.rows, self.ladders = rows, ladders

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """The figure of those rows that it has something to show about; None where it has nothing.

        It draws all rows, unless a kind says otherwise.
        """
        return cls(rows, ladders)

    @abstractmethod
    def draw(self, folder: Path) -> Iterator[Drawing]:
        """Writes the figure's files into `folder`, most often with `saving.save`: one figure, or
        several where one would be too large."""
