"""How models do on tasks that they were not finetuned on, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w2sweep.results import metrics
from w2sweep.results.cell import NAMES, Result
from w2sweep.results.intervals import Estimate


@dataclass(frozen=True)
class Carried:
    """One other task: accuracies and PGR of the cells' models there, with intervals as of their
    own."""

    accuracy: dict[str, Estimate]
    """`weak`, `student`, `ceiling` -> mean over seeds."""
    pgr: Estimate


def over_seeds(results: Sequence[Result]) -> dict[str, Carried]:
    """Name of another task -> what is found of it, over the seeds that answered it."""
    targets = dict.fromkeys(target for r in results for target in r.elsewhere)
    return {t: _carried([r for r in results if t in r.elsewhere], t) for t in targets}


def _carried(results: Sequence[Result], target: str) -> Carried:
    counts = [r.elsewhere[target].n_test for r in results]
    accuracy = {}
    for role, name in NAMES.items():
        shares = [r.elsewhere[target].accuracy[role] for r in results]
        accuracy[name] = metrics.mean_share(shares, counts)
    return Carried(accuracy, metrics.pgr_over_seeds([r.paired_on(target) for r in results]))
