"""One cell: its stages made sure of, and how its models compare."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2sweep.engine.failures import Damaged, StageFailed
from w2sweep.engine.stage import Stage, closure
from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.ladder import Ladder, Rung
from w2sweep.experiment.stages import Finetune
from w2sweep.results import metrics
from w2sweep.results.cell import (
    ROLES,
    STUDENT,
    SUPERVISOR,
    Compared,
    Failed,
    Place,
    Result,
    RungFacts,
    clear,
    read,
)
from w2sweep.sweep import along, carrying
from w2sweep.sweep.choosing import best_of
from w2sweep.sweep.costing import cost
from w2sweep.sweep.diagnosing import diagnosed, reliabilities
from w2sweep.sweep.grading import by_difficulty
from w2sweep.sweep.learned import learned
from w2sweep.sweep.showing import shown
from w2sweep.sweep.text_losses import earlier_of, language_models
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Answers
from w2sweep.tasks.task import Task
from w2sweep.version import __version__


def run(cell: Cell, place: Place, store: Store, folder: Path) -> bool:
    """Makes sure of the cell's stages, and writes its result or its failure into `folder`. Returns
    whether there is a result."""
    clear(folder)
    try:
        _ensured(cell, place, store).write(folder)
    except Exception as error:
        Failed(**asdict(place), **_failure(error)).write(folder)
        return False
    return True


def answer(cell: Cell, place: Place, store: Store, folder: Path) -> bool:
    """Writes the cell's result into `folder`, of stages that are all there. Returns False, and runs
    nothing, where one of them turns out to be damaged or the cell has failed."""
    clear(folder)
    try:
        compare(cell, place, store).write(folder)
    except Exception:  # whatever it is, `run` will tell
        return False
    return True


def fail(
    cell: Cell,
    place: Place,
    store: Store,
    folder: Path,
    failed: Mapping[str, StageFailed] | None = None,
) -> bool:
    """Writes the cell's failure into `folder`, if one of its stages has failed, and counts. Returns
    whether it did.

    `failed` are failures by the names of their stages, beside those that the store remembers.
    """
    for stage in closure(tuple(needed(cell)), known=store.done):
        if failure := (failed or {}).get(stage.name) or store.failure(stage):
            clear(folder)
            Failed(**asdict(place), **_failure(failure)).write(folder)
            return True
    return False


def _ensured(cell: Cell, place: Place, store: Store) -> Result:
    while True:  # a store gives up by itself on what is damaged again and again
        store.ensure(*needed(cell))
        try:
            return compare(cell, place, store)
        except Damaged:
            continue


def needed(cell: Cell) -> list[Stage[Any]]:
    """All that `compare` reads: also inputs of stages that are there may be gone, or damaged."""
    begun = [earlier for of in cell.language_models.values() for earlier in earlier_of(of)]
    read: list[Stage[Any]] = [*cell.stages, *begun, cell.setting.splits]
    read += [stage.candidates for stage in cell.scored.values()]
    read += [target.splits(cell.setting.seed) for target in cell.evaluate_on]
    graded = cell.method.graded(cell.setting)
    further = (_labels(cell), graded.difficulty if graded else None)
    return [*read, *(stage for stage in further if stage is not None)]


def _labels(cell: Cell) -> Labels | None:
    """The stage whose answers the student is trained on."""
    return cell.student.labels if isinstance(cell.student, Finetune) else None


def current(cell: Cell, place: Place, store: Store, folder: Path) -> bool:
    """Whether the folder has already what `run` would write there, by this version of the
    program."""
    try:
        found = read(folder)
    except Exception:  # whatever is wrong with the files, they are to be written again
        return False
    if not isinstance(found, Result):
        return False
    later = (found.shown, found.cost)  # cells of before have none
    told = bool(found.diagnostics) and None not in later
    origin = (found.store, found.w2sweep) == (str(store.root), __version__)
    placed = {key: getattr(found, key) for key in asdict(place)}
    alike = placed == asdict(place) and found.kind == cell.method.kind
    return told and origin and alike and _of_the_same_stages(found, cell)


def _of_the_same_stages(found: Result, cell: Cell) -> bool:
    compared = {role: model.stage for role, model in found.models.items()}
    applied = {target: its.stages for target, its in found.elsewhere.items()}
    read_text = {name: model.stage for name, model in found.language_models.items()}
    scored = found.best_of.stages if found.best_of else {}
    elsewhere = {target: _names(stages) for target, stages in cell.elsewhere.items()}
    language = _names(cell.language_models)
    expected = (_names(cell.compared), elsewhere, language, _names(cell.scored))
    return (compared, applied, read_text, scored) == expected


def _names(stages: Mapping[str, Stage[Any]]) -> dict[str, str]:
    return {role: stage.name for role, stage in stages.items()}


def compare(cell: Cell, place: Place, store: Store) -> Result:
    """How the cell's models, whose answers are all in the store, do on the test split."""
    s, head = cell.setting, cell.setting.task.head
    splits = store.get(s.splits)
    examples = splits["test"]
    answers = {role: store.get(of).answers["test"] for role, of in cell.compared.items()}
    correct = {role: head.correct(said, examples) for role, said in answers.items()}
    models = _models(cell, answers, correct)
    recovered = metrics.pgr(*(models[role].accuracy for role in ROLES))
    agrees = head.agree(answers[STUDENT], answers[SUPERVISOR])
    agreed = metrics.agreement(agrees, correct[SUPERVISOR])
    marks = _marks(s.task, examples, answers[STUDENT])
    carried, right_elsewhere = carrying.elsewhere(cell, store)
    return Result(
        **asdict(place),
        rungs=_facts(s.ladder),
        models=models,
        pgr=recovered.value,
        pgr_undefined=recovered.undefined,
        agreement=agreed.overall,
        agreement_weak_right=agreed.weak_right,
        agreement_weak_wrong=agreed.weak_wrong,
        n_test=len(examples),
        chance=1 / head.classes if head.classes else None,
        marks=marks | _marks_of_labels(cell, splits, store),
        diagnostics=diagnosed(head, answers, correct, examples),
        reliability=reliabilities(answers, correct),
        by_difficulty=by_difficulty(cell, correct, store),
        curve=along.curve(cell, splits, store),
        learning=learned(cell, splits, store),
        shown=shown(head, answers, correct, examples),
        language_models=language_models(cell, store),
        cost=cost(cell, splits, store),
        kind=cell.method.kind,
        true_labels=cell.method.true_labels(s),
        best_of=best_of(cell, store),
        store=str(store.root),
        w2sweep=__version__,
        elsewhere=carried,
        correct={name: r.astype(np.uint8) for name, r in (correct | right_elsewhere).items()},
    )


def _models(
    cell: Cell, answers: Mapping[str, Answers], correct: Mapping[str, NDArray[np.bool_]]
) -> dict[str, Compared]:
    """By role, from its answers to the N test examples, and whether they are right [N]."""
    models = {}
    for role, stage in cell.compared.items():
        models[role] = Compared(
            stage=stage.name,
            accuracy=metrics.accuracy(correct[role]),
            only=_only(cell.setting.task.head.hard(answers[role])),
        )
    return models


def _facts(ladder: Ladder) -> dict[str, RungFacts]:
    return {name: _fact(rung) for name, rung in ladder.rungs.items()}


def _fact(rung: Rung) -> RungFacts:
    parameters = rung.parameters if rung.parameters != rung.size else None
    return RungFacts(
        size=rung.size, compute=rung.compute, counted=rung.counted, parameters=parameters
    )


def _only(answers: NDArray[Any]) -> str | None:
    """The answer that is given to all examples, where there is only one."""
    return str(answers[0]) if (answers == answers[0]).all() else None


def _marks(task: Task, examples: Sequence[Example], answers: Answers) -> dict[str, float]:
    """The task's own marks of completions, each averaged over the examples that have it."""
    if not isinstance(answers, list):
        return {}
    marks = [task.judge(e, said) for e, said in zip(examples, answers, strict=True)]
    names = sorted(set().union(*marks))
    return {name: _mean(marks, name) for name in names}


def _mean(marks: Sequence[Mapping[str, float]], name: str) -> float:
    return float(np.mean([mark[name] for mark in marks if name in mark]))


def _marks_of_labels(
    cell: Cell, splits: Mapping[str, Sequence[Example]], store: Store
) -> dict[str, float]:
    """The marks of the completions that the student is trained on: illegal moves are labels too."""
    stage, labels = cell.student, _labels(cell)
    if not isinstance(stage, Finetune) or labels is None:
        return {}
    answers = store.get(labels).answers[stage.on]
    marks = _marks(cell.setting.task, splits[stage.on], answers)
    return {f"weak_labels_{name}": mark for name, mark in marks.items()}


def _failure(error: Exception) -> dict[str, Any]:
    if isinstance(error, StageFailed):
        reason = f"{error.what}: {error.reason}"
        return {"reason": reason, "error": error.error, "traceback": error.trace}
    reason = " ".join(str(error).split()) or "no message"
    trace = "".join(traceback.format_exception(error))
    return {"reason": reason, "error": type(error).__name__, "traceback": trace}
