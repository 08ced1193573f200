"""How models do on tasks that they were not finetuned on, over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w2sweep.results import metrics
from w2sweep.results.cell import NAMES, Result
from w2sweep.results.intervals import Estimate


@dataclass(frozen=True)
class Carried:
    """Accuracies and PGR of the cells' models on one other task, with intervals as on their own."""

    accuracy: dict[str, Estimate]
    """`weak`, `student`, `ceiling` -> mean over seeds."""
    pgr: Estimate


def elsewhere(results: Sequence[Result]) -> dict[str, Carried]:
    """Name of another task -> what is found of it, over the seeds that answered it."""
    targets = dict.fromkeys(target for r in results for target in r.elsewhere)
    return {target: _carried(results, target) for target in targets}


def _carried(results: Sequence[Result], target: str) -> Carried:
    answering = [r for r in results if target in r.elsewhere]
    counts = [r.elsewhere[target].n_test for r in answering]
    accuracy = {}
    for role, name in NAMES.items():
        shares = [r.elsewhere[target].accuracy[role] for r in answering]
        accuracy[name] = metrics.mean_share(shares, counts)
    return Carried(accuracy, metrics.pgr_over_seeds([r.paired_on(target) for r in answering]))
