"""Test examples that say something of a cell: where the student is right and its supervisor wrong,
and the reverse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from w2sweep.results.cell import ROLES, STUDENT, SUPERVISOR
from w2sweep.results.shown import Kind, Shown
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Answers, Head

MOST = 4
"""Examples of each kind that a cell keeps."""
LETTERS = 420
"""Of an example's texts together, at most."""


def shown(
    head: Head,
    answers: Mapping[str, Answers],
    correct: Mapping[str, NDArray[np.bool_]],
    examples: Sequence[Example],
) -> list[Shown]:
    """A few examples of each kind. They are spread evenly over those that there are, in the order
    of the test split, and not picked for what they say.

    Args:
        head: of the cell's task.
        answers: role -> answers to the N test examples.
        correct: role -> whether they are right [N].
        examples: the N test examples.
    """
    student, supervisor = correct[STUDENT], correct[SUPERVISOR]
    which = {"corrected": student & ~supervisor, "spoiled": supervisor & ~student}
    given = {role: head.hard(answers[role]) for role in ROLES}
    truth = head.hard(head.labels(examples))
    found = []
    for kind in get_args(Kind):
        for i in _even(np.flatnonzero(which[kind])):
            example = Shown(
                kind=kind,
                number=i,
                texts=_cut(examples[i].views),
                truth=str(truth[i]),
                answers={role: str(said[i]) for role, said in given.items()},
                probabilities=_sure(answers, i),
            )
            found.append(example)
    return found


def _even(places: NDArray[np.intp]) -> list[int]:
    """At most MOST of the places, evenly spread."""
    if len(places) <= MOST:
        return places.tolist()
    steps = np.linspace(0, len(places) - 1, MOST).round().astype(int)
    return places[steps].tolist()


def _sure(answers: Mapping[str, Answers], i: int) -> dict[str, float]:
    """How probable the models find the answers that they give to example i."""
    said = {role: answers[role] for role in ROLES}
    with_classes = {role: a for role, a in said.items() if not isinstance(a, list)}
    return {role: round(float(a[i].max()), 3) for role, a in with_classes.items()}


def _cut(views: Sequence[str]) -> list[str]:
    """Texts without their middles, where they are long: a task asks at the end."""
    half = LETTERS // len(views) // 2
    return [v if len(v) <= 2 * half else f"{v[:half]} … {v[-half:]}" for v in views]
