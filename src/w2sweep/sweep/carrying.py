"""How a cell's models do on other tasks than their own (`evaluate_on`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.results import metrics
from w2sweep.results.cell import ROLES, Elsewhere
from w2sweep.tasks.example import Example
from w2sweep.values import ConfigError

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
    """How the cell's models do on another task, and role -> whether they are right [N].

    Raises ConfigError where they were trained on all of its test examples.
    """
    stages, head = cell.elsewhere[target], cell.setting.task.head
    examples = store.get(next(iter(stages.values())).splits)["test"]
    answers = {role: store.get(stage).answers["test"] for role, stage in stages.items()}
    new = unseen(store.get(cell.setting.splits), examples)
    if not new.any():
        raise ConfigError(
            f"evaluate_on: all {len(examples)} test examples of {target} are among those that "
            f"{cell.setting.task.name} is trained on: name another task"
        )
    correct = {role: head.correct(said, examples)[new] for role, said in answers.items()}
    accuracy = {role: metrics.accuracy(right) for role, right in correct.items()}
    recovered = metrics.pgr(*(accuracy[role] for role in ROLES))
    said = Elsewhere(
        stages={role: stage.name for role, stage in stages.items()},
        accuracy=accuracy,
        pgr=recovered.value,
        pgr_undefined=recovered.undefined,
        n_test=int(new.sum()),
        chance=1 / head.classes if head.classes else None,
        left_out=int((~new).sum()),
    )
    return said, correct


def unseen(
    splits: Mapping[str, Sequence[Example]], examples: Sequence[Example]
) -> NDArray[np.bool_]:
    """Which of N examples have a text that is in none of these splits but the test split [N]: tasks
    may share examples, as puzzles of all ratings and the hard ones do."""
    read = {e.id for name, its in splits.items() if name != "test" for e in its}
    return np.array([e.id not in read for e in examples])
