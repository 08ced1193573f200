"""Early stopping: what is kept, readings of one run, and what oracles are called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toys import Toy, cell, job, place, pretrained_store, setting

from w2sweep.building import made
from w2sweep.engine.stage import identity
from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.recipe import Criterion, Recipe
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.stopping import Stopped, Stopping
from w2sweep.results.cell import Result, read
from w2sweep.sweep import comparison
from w2sweep.tasks.example import Example
from w2sweep.values import ConfigError, Impossible

METHOD = Stopping("naive_stopped", CrossEntropy(), epochs=4, evaluations=6)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


def noisy(**changes: object) -> Setting:
    """A setting whose supervisor errs, so that weak labels and truth disagree."""
    return setting(Toy(), **changes)


@pytest.mark.parametrize(("given", "instead"), [(False, "none"), (True, "own_labels")])
def test_a_truth_value_is_refused_with_what_to_write(given: bool, instead: str):
    with pytest.raises(ConfigError) as refused:
        made(Recipe, {"epochs": 1, "batch_size": 1, "early_stop": given}, "recipe")
    assert str(refused.value).startswith(f"recipe: early_stop: found {str(given).lower()}, ")
    assert str(refused.value).endswith(f"early_stop={instead}")


@pytest.mark.parametrize(
    ("early_stop", "was"), [("none", False), ("own_labels", True), ("truth", "truth")]
)
def test_results_of_earlier_recipes_keep_their_keys(early_stop: Criterion, was: object):
    assert identity(Recipe(2, 32, early_stop=early_stop))["early_stop"] == was


def handmade(by: Criterion) -> tuple[Stopped, dict]:
    """A reading of a run of three evaluations, and what it reads.

    Of four examples the weak labels say 1 1 0 0, and the truth is 1 0 1 0.
    """
    student = METHOD.student(noisy())
    assert student.labels is not None
    said = {10: [1, 0, 0, 0], 20: [1, 1, 0, 1], 30: [1, 1, 1, 0]}  # weak 3 3 3, truth 3 1 3
    evaluations = {step: Predictions(answers(step, a)) for step, a in said.items()}
    evaluations[40] = Predictions(answers(40, [1, 1, 0, 0]))  # weak 4, truth 2
    examples = [Example(str(i), "g", ("text",), label) for i, label in enumerate([1, 0, 1, 0])]
    return Stopped(student, by), {
        student: Predictions(answers(50, [0, 0, 0, 0]), evaluations),
        student.labels: Predictions({"validation": one_hot([1, 1, 0, 0])}),
        student.splits: {"validation": examples},
    }


def answers(step: int, validation: list[int]) -> dict[str, np.ndarray]:
    return {"validation": one_hot(validation), "test": np.full((1, 2), step, np.float32)}


def one_hot(classes: list[int]) -> np.ndarray:
    return np.eye(2, dtype=np.float32)[classes]


@pytest.mark.parametrize(("by", "step"), [("own_labels", 40), ("truth", 10)])
def test_a_reading_is_the_first_of_the_best_evaluations(tmp_path: Path, by: Criterion, step: int):
    stage, results = handmade(by)
    with job(tmp_path / "out", stage, results) as made_job:
        stage.run(made_job)
        assert made_job.facts == {"step": step}
    said = stage.read(tmp_path / "out").answers
    assert said["test"].tolist() == [[step, step]]  # type: ignore[union-attr]
    assert said.keys() == {"validation", "test"}


def test_a_reading_by_the_truth_does_not_look_at_the_weak_labels():
    student = METHOD.student(noisy())
    assert student.labels in Stopped(student, "own_labels").inputs
    assert student.labels not in Stopped(student, "truth").inputs


@pytest.mark.parametrize("by", ["own_labels", "truth"])
def test_a_reading_is_what_training_with_that_early_stop_keeps(shelf: Store, by: Criterion):
    """The same run twice, in one of which the learner itself stops early."""
    student = METHOD.student(noisy())
    stopping = replace(student, recipe=replace(student.recipe, early_stop=by))
    reading = Stopped(student, by)
    shelf.ensure(reading, stopping)
    kept = shelf.get(stopping).answers
    for split, said in shelf.get(reading).answers.items():
        np.testing.assert_array_equal(said, kept[split])


def test_a_run_that_stops_early_has_no_last_step_to_read():
    early = noisy(recipe=Recipe(2, 16, early_stop="own_labels"))
    with pytest.raises(Impossible, match=r"set recipe\.early_stop=none"):
        Cell(early, METHOD).compared.values()


def test_readings_change_neither_supervisor_nor_ceiling():
    s = noisy()
    compared = Cell(s, METHOD).compared
    assert compared["supervisor"] == s.supervisor
    assert compared["ceiling"] == s.ceiling
    student = compared["student"]
    assert isinstance(student, Finetune)
    assert (student.recipe.epochs, student.recipe.evaluations) == (4, 6)


def test_a_cell_with_readings_says_how_the_student_did_along_its_training(
    shelf: Store, tmp_path: Path
):
    toy = Cell(noisy(), METHOD)
    assert comparison.run(toy, place(), shelf, tmp_path / "cell")
    result = read(tmp_path / "cell")
    assert isinstance(result, Result)
    curve = result.curve
    assert curve is not None
    assert curve.step == [4, 8, 12, 16, 20, 24]
    assert curve.progress == [step / 24 for step in curve.step]
    assert curve.test_truth[-1] == result.accuracy("student")
    best = int(np.argmax(curve.validation_own))
    assert curve.test_truth[best] == result.accuracy("stopped_on_weak_labels")
    best = int(np.argmax(curve.validation_truth))
    assert curve.test_truth[best] == result.accuracy("stopped_on_truth_oracle")


def test_other_cells_have_no_curve(shelf: Store, tmp_path: Path):
    assert comparison.run(cell(), place(), shelf, tmp_path / "cell")
    result = read(tmp_path / "cell")
    assert isinstance(result, Result)
    assert result.curve is None


def test_oracles_are_called_so():
    s = noisy()
    by_truth = s.finetune("l", labels=s.supervisor, recipe=Recipe(2, 16, early_stop="truth"))
    assert "oracle" in by_truth.what
    assert "oracle" in Stopped(METHOD.student(s), "truth").what
    assert "oracle" not in Stopped(METHOD.student(s), "own_labels").what


def test_a_run_without_evaluations_is_told_as_one_of_an_earlier_version(tmp_path: Path):
    stage, given = handmade("truth")
    given[stage.of] = replace(given[stage.of], evaluations={})
    with (
        job(tmp_path, stage, given) as made_,
        pytest.raises(ConfigError, match="train it again by cache=force"),
    ):
        stage.run(made_)
