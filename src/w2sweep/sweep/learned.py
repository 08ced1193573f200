"""How a cell's models did while they were trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.stages import Finetune
from w2sweep.learning.curves import read_curves
from w2sweep.results.cell import ROLES
from w2sweep.results.curve import Learning
from w2sweep.tasks.example import Example

OWN, TRUTH = "validation/accuracy_own", "validation/accuracy_truth"
"""What the curves of a stage call its agreement with its own labels, and its accuracy."""


def learned(
    cell: Cell, splits: Mapping[str, Sequence[Example]], store: Store
) -> dict[str, Learning]:
    """Role -> the curves of each model that was finetuned; of others there are none."""
    found = {}
    for role in ROLES:
        stage = cell.compared[role]
        rows = read_curves(store.path(stage)) if isinstance(stage, Finetune) else []
        looked = [row for row in rows if OWN in row and TRUTH in row]
        if looked and isinstance(stage, Finetune):
            found[role] = Learning(
                progress=_column(looked, "progress"),
                own=_column(looked, OWN),
                truth=_column(looked, TRUTH),
                n=len(splits["validation"]),
                stopped=stage.recipe.early_stop != "none",
            )
    return found


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]
