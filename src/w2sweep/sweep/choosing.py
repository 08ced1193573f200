"""How good the replies are that a cell's reward models choose (`best_of`)."""

from __future__ import annotations

from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.results.best_of import BestReplies, chosen


def best_of(cell: Cell, store: Store) -> BestReplies | None:
    """By supervisor, student, ceiling and truth; None where the cell asks for none."""
    if cell.best_of is None:
        return None
    candidates = next(iter(cell.scored.values())).candidates
    scores = {role: store.get(stage) for role, stage in cell.scored.items()}
    stages = {role: stage.name for role, stage in cell.scored.items()}
    marks, respects = store.get(candidates).marks, candidates.task.respects
    n, written_by = cell.best_of.numbers, cell.best_of.written_by
    return chosen(n, scores, marks, respects, stages, written_by)
