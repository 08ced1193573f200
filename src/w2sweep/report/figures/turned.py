"""What a sweep turns: the one thing, if any, in which its cells differ besides the grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from w2sweep.report.figures.axis import compute_axis, numbers, value_axis
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.summary import SummaryRow
from w2sweep.report.variants import own_overrides

BEST_OF = "best_of"
GAP = "supervisor, by pretraining compute relative to the largest rung's"


@dataclass(frozen=True)
class Turned:
    """What differs besides task, rungs, method and seed; or the supervisor's rung, with all else
    the same."""

    name: str
    value: Callable[[SummaryRow], str]
    axis: Callable[[Axes], Mapping[str, float]]
    """Sets up the x axis; returns where each value lies on it."""
    ordered: bool
    """Whether a line may join the points."""
    pairs: bool = False
    """Whether columns are to be told apart by their rungs."""


def turned(rows: Sequence[SummaryRow], ladders: Ladders) -> Turned | None:
    """The one override whose values differ, or the supervisor where three or more of them teach
    one student."""
    own = own_overrides(rows).values()
    keys = {key for overrides in own for key in overrides}
    if any(key.split(".")[0] == BEST_OF for key in keys):
        return None  # which replies are chosen from changes no model
    if not keys:
        return _supervisor(rows, ladders)
    return _override(rows, *keys) if len(keys) == 1 and all(own) else None


def _override(rows: Sequence[SummaryRow], key: str) -> Turned:
    def value(row: SummaryRow) -> str:
        return dict(row.variant)[key]

    values = list(dict.fromkeys(map(value, rows)))
    return Turned(
        name=key,
        value=value,
        axis=lambda ax: value_axis(ax, values),
        ordered=numbers(values) is not None,
        pairs=len({(r.weak, r.strong) for r in rows}) > 1,
    )


def _supervisor(rows: Sequence[SummaryRow], ladders: Ladders) -> Turned | None:
    ascending = sorted(rows, key=lambda r: r.weak_compute)
    weak = list(dict.fromkeys(r.weak for r in ascending))
    if len({(r.ladder, r.strong) for r in rows}) > 1 or len(weak) < 3:
        return None
    ladder = ladders[rows[0].ladder]
    return Turned(GAP, lambda r: r.weak, lambda ax: compute_axis(ax, ladder, weak), ordered=True)
