"""Accuracies of a cell's models, averaged over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from w2sweep.results import metrics
from w2sweep.results.cell import CEILING, ROLES, STUDENT, SUPERVISOR, Result
from w2sweep.results.intervals import UNDEFINED, Estimate


@dataclass(frozen=True)
class MeanAccuracy:
    """A model's accuracy, averaged over seeds; of one that is compared beside the three, also what
    PGR is with it."""

    mean: float
    se: float | None
    """Standard error of the mean; None of a median."""
    at_chance: bool = False
    """Whether it is within two standard errors of guessing, and so cannot be told from it."""
    one_answer: int = 0
    """On how many seeds the model gives one answer to all test examples."""
    pgr: Estimate = UNDEFINED
    """With the model in the student's place; with one whose role begins with "ceiling" in the
    ceiling's place."""


def mean_accuracy(results: Sequence[Result], role: str) -> MeanAccuracy:
    """Over the seeds whose cells compare a model of this role."""
    having = [r for r in results if role in r.models]
    accuracies = [r.accuracy(role) for r in having]
    found = metrics.mean_share(accuracies, [r.n_test for r in having])
    assert found.value is not None
    assert found.se is not None
    chance = having[0].chance
    # Not by the interval: two seeds of 62 and 74 % differ much, but neither of them guesses.
    guessed = chance is not None and abs(found.value - chance) <= 2 * found.se
    alike = sum(r.models[role].only is not None for r in having)
    return MeanAccuracy(found.value, found.se, guessed, alike)


def others(results: Sequence[Result]) -> dict[str, MeanAccuracy]:
    """Role -> accuracy of each model that the method compares beside supervisor, student and
    ceiling, and PGR with it."""
    roles = dict.fromkeys(role for r in results for role in r.models)
    further = [role for role in roles if role not in ROLES]
    return {role: _with_pgr(results, role) for role in further}


def _with_pgr(results: Sequence[Result], role: str) -> MeanAccuracy:
    student, ceiling = (STUDENT, role) if role.startswith(CEILING) else (role, CEILING)
    correct = [r.right((SUPERVISOR, student, ceiling)) for r in results if role in r.models]
    return replace(mean_accuracy(results, role), pgr=metrics.pgr_over_seeds(correct))
