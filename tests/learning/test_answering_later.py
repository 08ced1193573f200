"""What a model says of the examples that it trained on: at once where a stage reads it, and later
out of the model that was kept, without training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from toys import ToyCompletions, ToyPairs, pretrained_store, setting

from w2sweep.engine.stage import Job, Stage
from w2sweep.engine.store import Store
from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.stages import LEARNED, Finetune
from w2sweep.experiment.tuning import Full, LinearProbe, Lora, Tuning
from w2sweep.experiment.weights import Weights
from w2sweep.learning import finetuning
from w2sweep.tasks.task import Task

SHORT = Recipe(epochs=1, batch_size=16, evaluations=1, max_tokens=32)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


@dataclass(frozen=True)
class Sharper(Labels):
    """A user's own labels, which read all answers of a model."""

    of: Finetune

    @property
    def label(self) -> str:
        return "sharper"

    def run(self, job: Job) -> None:
        said = job.get(self.of).answers
        Predictions({name: np.round(answers) for name, answers in said.items()}).save(job.out)


def ceiling(seed: int, tuning: Tuning | None = None, task: Task | None = None) -> Finetune:
    """Of a seed that no other test has, so that it is not there."""
    return replace(setting(task).finetune("m", tuning=tuning or Full(), recipe=SHORT), seed=seed)


def at_once(shelf: Store, stage: Stage) -> list[str]:
    return sorted(Predictions.load(shelf.path(stage)).answers)


ALL = ["student", "test", "validation"]


@pytest.mark.parametrize(
    ("seed", "tuning", "task"),
    [(71, Full(), None), (72, Lora(rank=2), ToyPairs()), (73, Full(), ToyCompletions())],
)
def test_what_is_answered_later_is_what_would_have_been_answered_at_once(
    shelf: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    tuning: Tuning,
    task: Task | None,
):
    stage = ceiling(seed, tuning, task)
    shelf.ensure(stage)
    assert at_once(shelf, stage) == ["test", "validation"]
    later = shelf.get(stage)
    monkeypatch.setattr(finetuning, "KEPT", 0)  # so that it answers at once
    other = Store(shelf.root, mode="force")
    kept = shelf.path(stage).rename(tmp_path / "kept")
    other.ensure(stage)
    assert at_once(shelf, stage) == ALL
    expected = shelf.get(stage).answers["student"]
    answers = stage.read(shelf.path(stage)).answers
    assert sorted(answers) == ALL
    # the model that was kept is in the place where it lay
    monkeypatch.setattr(finetuning, "fit", None)
    shelf.path(stage).rename(tmp_path / "at_once")
    kept.rename(shelf.path(stage))
    assert sorted(later.answers) == ALL
    assert np.array_equal(later.answers["student"], expected)


def test_who_learns_from_a_model_finds_its_answers_there(shelf: Store):
    """In one sweep: the model answers at once, for the stage that reads it is planned."""
    teacher = ceiling(74)
    student = replace(setting().finetune("l", labels=teacher, recipe=SHORT), seed=74)
    shelf.ensure(student)
    assert at_once(shelf, teacher) == ALL
    assert not (shelf.path(teacher) / LEARNED).exists()
    assert at_once(shelf, student) == ["test", "validation"]


def test_a_later_sweep_learns_from_a_model_that_was_kept(shelf: Store):
    teacher = ceiling(75)
    shelf.ensure(teacher)
    written = {file.name for file in shelf.path(teacher).iterdir()}
    student = replace(setting().finetune("l", labels=teacher, recipe=SHORT), seed=75)
    shelf.ensure(student)
    assert {file.name for file in shelf.path(teacher).iterdir()} == written
    assert at_once(shelf, teacher) == ["test", "validation"]


def test_labels_of_a_users_own_read_all(shelf: Store, monkeypatch: pytest.MonkeyPatch):
    stage = ceiling(78)
    shelf.ensure(stage)
    monkeypatch.setattr(finetuning, "fit", None)  # nothing trains from here on
    shelf.ensure(Sharper(stage))
    assert at_once(shelf, Sharper(stage)) == ALL


def test_who_reads_no_training_split_asks_for_none():
    teacher = ceiling(76)
    student = replace(setting().finetune("l", labels=teacher), seed=76)
    assert student.reads_whole(teacher)
    assert not replace(student, on="student_2").reads_whole(teacher)
    assert not Weights(teacher).reads_whole(teacher)
    assert Sharper(teacher).reads_whole(teacher)


def test_a_probe_answers_at_once(shelf: Store):
    stage = ceiling(77, LinearProbe())
    shelf.ensure(stage)
    assert at_once(shelf, stage) == ALL
