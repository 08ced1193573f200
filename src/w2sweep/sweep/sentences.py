"""A cell in a sentence, for sweeps of one."""

from __future__ import annotations

from w2sweep.results import metrics
from w2sweep.results.cell import Result


def sentence(r: Result) -> str:
    """What was compared, and how it came out."""
    roles = {"weak": "supervisor", "student": "student", "ceiling": "ceiling"}
    accuracies = ", ".join(f"{name} {r.accuracy(role):.3f}" for name, role in roles.items())
    return f"{r.task}, {r.strong} <- {r.weak}, {r.method}: {accuracies}, PGR {_pgr(r)}"


def _pgr(r: Result) -> str:
    """With an interval over the test examples alone, for of other seeds one cell knows nothing."""
    if r.pgr is None:
        return f"undefined ({r.pgr_undefined})"
    found = metrics.pgr_over_seeds([r.paired])
    if found.low is None:
        return f"{r.pgr:z.2f} (no clear gap between supervisor and ceiling)"
    return f"{r.pgr:z.2f} [{found.low:z.2f}, {found.high:z.2f}] (test examples only)"
