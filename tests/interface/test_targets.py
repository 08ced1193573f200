"""`evaluate_on`: names of other tasks on the command line, and what a cell then says of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import cells, w2sweep
from test_seams import TINY, TRAINING_ONCE

from w2sweep.interface.composing import requested
from w2sweep.values import ConfigError


def test_other_tasks_are_composed_as_the_cells_own():
    own = ["task=sentiment", "seed=3", "task.world.leak=0.1", "evaluate_on=[contrast,membership]"]
    [asked] = requested(own)
    assert [target.task.name for target in asked.evaluate_on] == ["contrast", "membership"]
    worlds = [target.task.world for target in asked.evaluate_on]  # type: ignore[attr-defined]
    assert worlds == [asked.task.world] * 2  # type: ignore[attr-defined]
    assert worlds[0].seed == 3


def test_other_tasks_have_the_splits_of_their_own_cells():
    [asked] = requested(["task=sentiment", "evaluate_on=[contrast]", "sizes.test=100"])
    [there] = requested(["task=contrast", "sizes.test=100"])
    [target] = asked.evaluate_on
    assert target.splits(0).key == there.setting.splits.key


def test_no_other_task_changes_nothing():
    [asked], [plain] = requested(["evaluate_on=[contrast]"]), requested([])
    own = {role: stage.key for role, stage in asked.cell.compared.items()}
    assert own == {role: stage.key for role, stage in plain.cell.compared.items()}
    assert plain.evaluate_on == ()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("evaluate_on=[contrst]", "no task 'contrst'.*Did you mean contrast?"),
        ("evaluate_on=null", r"found None, expected a list of tasks"),
        ("evaluate_on=contrast", r"expected a list of tasks, such as evaluate_on=\[contrast\]"),
    ],
)
def test_what_is_no_list_of_tasks_is_refused(word: str, told: str):
    with pytest.raises(ConfigError, match=told):
        requested([word])


def test_an_override_that_another_task_does_not_know_says_whose_it_is():
    with pytest.raises(ConfigError, match=r"hold for task=sciq too: task.world: unknown key"):
        requested(["task.world.leak=0.1", "evaluate_on=[sciq]"])


def test_a_command_evaluates_on_another_task(tmp_path: Path):
    w2sweep(tmp_path, *TINY, "evaluate_on=[contrast]", "sweep=other", python=TRAINING_ONCE)
    [cell] = cells(tmp_path, "other")
    other = cell["elsewhere"]["contrast"]
    assert set(other["accuracy"]) == {"supervisor", "student", "ceiling"}
    assert other["n_test"] + other["left_out"] == 32
