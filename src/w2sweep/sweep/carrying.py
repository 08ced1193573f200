"""How a cell's models do on other tasks than their own (`evaluate_on`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.results import metrics
from w2sweep.results.cell import ROLES, Elsewhere

Correct = dict[str, NDArray[np.bool_]]
"""Whether each of N examples is answered rightly, by the name of who answers."""


def elsewhere(cell: Cell, store: Store) -> tuple[dict[str, Elsewhere], Correct]:
    """Name of another task -> how the models do on it; and TASK/ROLE -> whether that model is right
    [N]."""
    found: dict[str, Elsewhere] = {}
    right: Correct = {}
    for target in cell.elsewhere:
        found[target], correct = _on(cell, target, store)
        right |= {f"{target}/{role}": of_role for role, of_role in correct.items()}
    return found, right


def _on(cell: Cell, target: str, store: Store) -> tuple[Elsewhere, Correct]:
    """How the cell's models do on another task, and role -> whether they are right [N]."""
    stages, head = cell.elsewhere[target], cell.setting.task.head
    examples = store.get(next(iter(stages.values())).splits)["test"]
    answers = {role: store.get(stage).answers["test"] for role, stage in stages.items()}
    correct = {role: head.correct(said, examples) for role, said in answers.items()}
    accuracy = {role: metrics.accuracy(right) for role, right in correct.items()}
    recovered = metrics.pgr(*(accuracy[role] for role in ROLES))
    said = Elsewhere(
        stages={role: stage.name for role, stage in stages.items()},
        accuracy=accuracy,
        pgr=recovered.value,
        pgr_undefined=recovered.undefined,
        n_test=len(examples),
        chance=1 / head.classes if head.classes else None,
    )
    return said, correct
