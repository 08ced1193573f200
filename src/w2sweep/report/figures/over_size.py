"""What figures over the size of models have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from w2sweep.report.figures.panels import Panels
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.style import COLORS
from w2sweep.report.figures.turned import turned
from w2sweep.report.summary import SummaryRow


class OverSize(Panels):
    """A figure to which each value of an override is another method.

    It is not drawn of sweeps of transfer, which have figures of their own; nor of students of one
    size by more methods than there are colours, which stand beside each other elsewhere. Where a
    knob is turned, such a figure is drawn only if students differ in size, so that there is
    something to see, and if each method has a colour of its own, so that it can be seen.
    """

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        """The figure of all rows, or None."""
        figure = cls(rows, ladders)
        one_size = len({r.strong for r in rows}) == 1
        crowded = len(figure.methods) > len(COLORS)
        overridden = len({r.variant for r in rows}) > 1 and turned(rows, ladders) is not None
        told = any(r.language_models for r in rows)  # by the figures of transfer
        unreadable = (one_size and crowded) or (overridden and (one_size or crowded))
        return None if told or unreadable else figure
