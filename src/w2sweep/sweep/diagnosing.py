"""What a cell's stored answers say of its student and its supervisor beside their accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2sweep.results import diagnostics, metrics
from w2sweep.results.cell import CEILING, NAMES, ROLES, STUDENT, SUPERVISOR
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Answers, Head

Correct = Mapping[str, NDArray[np.bool_]]
"""Role -> whether it answers each test example rightly [N]."""


def diagnosed(
    head: Head, answers: Mapping[str, Answers], correct: Correct, examples: Sequence[Example]
) -> dict[str, float]:
    """All diagnostics of a cell, by name; what is not defined for it is left out.

    Args:
        head: of its task.
        answers: role -> answers to the N test examples.
        correct: role -> whether they are right [N].
        examples: the N test examples.
    """
    found = _agreements_of_ceiling(head, answers, correct) | _errors(head, answers, correct)
    if not _have_probabilities(answers):
        return found
    labels = head.hard(head.labels(examples))
    return found | diagnostics.of_classes(_named(answers), _named(correct), labels)


def reliabilities(answers: Mapping[str, Answers], correct: Correct) -> dict[str, Any]:
    """Role -> the bins of its reliability curve [BINS, 3]; {} where answers are completions."""
    if not _have_probabilities(answers):
        return {}
    curves = {role: diagnostics.reliability(answers[role], correct[role]) for role in ROLES}
    return {role: curve.tolist() for role, curve in curves.items()}


def _agreements_of_ceiling(
    head: Head, answers: Mapping[str, Answers], correct: Correct
) -> dict[str, float]:
    """What the student's agreement with its supervisor is to be held against: a model of the same
    size that never saw the supervisor's answers."""
    agrees = head.agree(answers[CEILING], answers[SUPERVISOR])
    agreed = metrics.agreement(agrees, correct[SUPERVISOR])
    shares = {
        "ceiling_agreement": agreed.overall,
        "ceiling_agreement_weak_right": agreed.weak_right,
        "ceiling_agreement_weak_wrong": agreed.weak_wrong,
    }
    return {name: share for name, share in shares.items() if share is not None}


def _errors(head: Head, answers: Mapping[str, Answers], correct: Correct) -> dict[str, float]:
    """What became of the supervisor's errors, and what the student gains over it by that."""
    same = head.agree(answers[STUDENT], answers[SUPERVISOR])
    found = diagnostics.errors(same, correct[SUPERVISOR], correct[STUDENT])
    return found | {"accuracy_gained": found["errors_corrected"] - found["errors_new"]}


def _have_probabilities(answers: Mapping[str, Answers]) -> bool:
    return not any(isinstance(answers[role], list) for role in ROLES)


def _named(by_role: Mapping[str, Any]) -> dict[str, Any]:
    """The three models' by the names that columns have."""
    return {name: by_role[role] for role, name in NAMES.items()}
