"""A student along its training, where the cell compares readings of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.stopping import Stopped
from w2sweep.results.curve import Curve
from w2sweep.tasks.example import Example


def curve(cell: Cell, splits: Mapping[str, Sequence[Example]], store: Store) -> Curve | None:
    """The curve of the cell's student, whose result and whose labels are in the store; None where
    the cell reads nothing of the run but its end."""
    student = cell.student
    read = any(isinstance(model, Stopped) for model in cell.compared.values())
    if not read or not isinstance(student, Finetune) or student.labels is None:
        return None
    evaluations = store.get(student).evaluations
    own = store.get(student.labels).answers["validation"]
    head, steps, validation = student.head, list(evaluations), splits["validation"]
    on_test = [said.answers["test"] for said in evaluations.values()]
    on_validation = [said.answers["validation"] for said in evaluations.values()]
    progress = [step / steps[-1] for step in steps]
    test_truth = [float(head.correct(said, splits["test"]).mean()) for said in on_test]
    truth = [float(head.correct(said, validation).mean()) for said in on_validation]
    agreed = [float(head.agree(said, own).mean()) for said in on_validation]
    return Curve(
        progress=progress,
        step=steps,
        test_truth=test_truth,
        validation_truth=truth,
        validation_own=agreed,
        n_validation=len(validation),
    )
