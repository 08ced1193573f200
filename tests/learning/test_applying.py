"""Models applied to another task: what they answer is what they would answer anywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from toys import Toy, ToyCompletions, ToyPairs, place, pretrained_store, run, setting, store

from w2sweep.engine.stage import Stage
from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Naive
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.splits import Sizes
from w2sweep.experiment.target import Target
from w2sweep.experiment.tuning import LinearProbe
from w2sweep.experiment.weights import Applied, Weights
from w2sweep.results.cell import Result, read
from w2sweep.sweep import comparison
from w2sweep.sweep.carrying import elsewhere, unseen
from w2sweep.tasks.example import Example
from w2sweep.tasks.task import Task
from w2sweep.values import ConfigError, Impossible, named, value

SIZES = Sizes(supervisor=64, student=64, validation=20, test=48)
NAIVE = Naive("naive", CrossEntropy())


@value
class Opposite(Toy):
    """Whether the noun is a bad thing."""

    name: str = named(default="opposite")

    def example(self, rng, i, label):
        made = super().example(rng, i, label)
        return replace(made, label=1 - label)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


@pytest.mark.parametrize("task", [Toy(), ToyPairs(), ToyCompletions()], ids=lambda t: t.name)
def test_on_the_task_it_was_finetuned_on_a_model_answers_as_before(
    task: Task, tmp_path: Path, shelf: Store
):
    s = setting(task)
    weights = Weights(s.finetune("s", on="supervisor"))
    shelf.ensure(weights)
    applied = Applied(weights, s.splits)
    run(applied, tmp_path / "applied", shelf)
    found, before = applied.read(tmp_path / "applied"), shelf.get(weights.of)
    assert list(found.answers) == ["test"]
    if isinstance(before.answers["test"], list):
        assert found.answers["test"] == before.answers["test"]
    else:
        assert largest_difference(found, before) < 1e-5


def test_a_probe_is_applied_with_its_backbone(tmp_path: Path, shelf: Store):
    s = setting(tuning=LinearProbe())
    weights = Weights(s.finetune("s", on="supervisor"))
    shelf.ensure(weights)
    applied = Applied(weights, s.splits)
    run(applied, tmp_path / "applied", shelf)
    found, before = applied.read(tmp_path / "applied"), shelf.get(weights.of)
    assert largest_difference(found, before) < 1e-5


def largest_difference(a: Predictions, b: Predictions) -> float:
    return float(abs(np.asarray(a.answers["test"]) - np.asarray(b.answers["test"])).max())


def test_a_cell_says_how_its_models_do_on_another_task(tmp_path: Path):
    toy = Cell(setting(), NAIVE, (Target(Opposite(), SIZES),))
    shelf, folder = store(tmp_path / "store"), tmp_path / "cell"
    assert comparison.run(toy, place(), shelf, folder)
    started = [line["stage"] for line in shelf.journal() if line["event"] == "start"]
    finetuned = [name for name in started if name.startswith("Finetune/")]
    assert len(finetuned) == len(set(finetuned)) == 3  # supervisor, student and ceiling, each once
    said = read(folder)
    assert isinstance(said, Result)
    other = said.elsewhere["opposite"]
    known = {
        e.id for name, its in shelf.get(toy.setting.splits).items() for e in its if name != "test"
    }
    [target] = toy.evaluate_on
    seen = [e.id in known for e in shelf.get(target.splits(0))["test"]]
    assert other.left_out == sum(seen) > 0  # the two tasks have the same texts
    assert other.n_test == said.paired_on("opposite").shape[1] == 48 - sum(seen)
    assert other.accuracy["ceiling"] == said.correct["opposite/ceiling"].mean()
    # Who knows good things well takes bad ones for the opposite of what the other task asks.
    assert said.accuracy("ceiling") > 0.9
    assert other.accuracy["ceiling"] < 0.1
    assert comparison.current(toy, place(), shelf, folder)
    assert not comparison.current(Cell(toy.setting, NAIVE), place(), shelf, folder)


def test_a_task_that_was_all_trained_on_is_refused(tmp_path: Path):
    examples = [Example.of("a text", label=0)]
    splits = {"student": examples, "test": [Example.of("another", label=0)]}
    assert unseen(splits, [*examples, *splits["test"]]).tolist() == [False, True]
    toy = Cell(setting(), NAIVE, (Target(Opposite(), SIZES),))
    [stages] = toy.elsewhere.values()
    given: dict[Stage, object] = {toy.setting.splits: splits}
    for stage in stages.values():
        given |= {
            stage.splits: {"test": examples},
            stage: Predictions({"test": np.eye(2, dtype=np.float32)[:1]}),
        }
    with pytest.raises(ConfigError, match="all 1 test examples of opposite"):
        elsewhere(toy, SimpleNamespace(get=given.__getitem__))  # type: ignore[arg-type]


def test_tasks_of_another_head_are_refused():
    with pytest.raises(Impossible, match="toy_pairs is answered by a Reward of 2 classes"):
        Cell(setting(), NAIVE, (Target(ToyPairs(), SIZES),))


def test_the_students_own_stages_do_not_depend_on_other_tasks():
    alone, with_other = Cell(setting(), NAIVE), Cell(setting(), NAIVE, (Target(Opposite(), SIZES),))
    assert alone.student.key == with_other.student.key
