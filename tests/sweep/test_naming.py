"""What the runs of a tracker are called, where cells share stages."""

from __future__ import annotations

from typing import Any

from w2sweep.interface.composing import planned_by
from w2sweep.sweep.naming import _merged, _name, runs_of_stages


def runs(*overrides: str) -> dict[str, dict[str, Any]]:
    """Name -> config, of the runs of all stages that train."""
    found = runs_of_stages(planned_by("config", ["seed=0", *overrides])).values()
    trained = ("student", "supervisor", "ceiling", "pretrain")
    configs = {run["name"]: run["config"] for run in found if run["config"]["role"] in trained}
    assert len(configs) == len([run for run in found if run["config"]["role"] in trained])
    return configs


def test_a_student_of_two_methods_is_one_run_that_names_both():
    """From one rung to the next there is nothing between that bootstrapping could step on."""
    found = runs("task=sentiment", "weak=nano", "strong=micro,mini", "method=naive,bootstrap")
    shared = found["sentiment / student / naive, bootstrap / nano -> micro / seed 0"]
    assert shared["method"] == "naive, bootstrap"
    assert shared["strong"] == "micro"  # on the way to mini it is a step, and nobody's student
    assert shared["rung"] == "micro"
    assert "sentiment / student / naive / nano -> mini / seed 0" in found
    assert "sentiment / student / bootstrap / nano -> mini / seed 0" in found


def test_pretraining_is_named_by_the_tasks_that_read_it():
    found = runs("task=sentiment,preference", "weak=nano", "strong=micro")
    both = found["sentiment, preference / pretrain / nano / seed 0"]
    assert both["family"] == "nlp, reward"
    assert both["compute"] > 0
    assert not {"weak", "strong", "method"} & both.keys()


def test_what_a_sweep_varies_besides_is_said_where_it_matters():
    swept = ("weak=nano", "strong=micro", "recipe.epochs=1,3")
    found = runs("task=sentiment", *swept)
    for epochs in (1, 3):
        pair = f"naive / nano -> micro / seed 0 / recipe.epochs={epochs}"
        assert f"sentiment / student / {pair}" in found
    halves = runs("task=sentiment", "weak=nano", "strong=micro", "ceiling_on=student,supervisor")
    assert "sentiment / student / naive / nano -> micro / seed 0" in halves  # it is the same one
    for half in ("student", "supervisor"):
        assert f"sentiment / ceiling / micro / seed 0 / ceiling_on={half}" in halves


def test_what_cells_do_not_agree_on_is_joined_or_left_out():
    a = {"method": "naive", "compute": 1.0, "variant": "x=1", "seed": 0}
    b = {"method": "bootstrap", "compute": 2.0, "variant": "x=2", "seed": 0}
    assert _merged([a, b, a]) == {"method": "naive, bootstrap", "seed": 0}
    assert _merged([{"seed": 0, "variant": "x=1"}, {"seed": 0}]) == {"seed": 0}


def test_many_tasks_are_counted():
    tasks = ", ".join("abcd")
    facts = {"task": tasks, "role": "pretrain", "rung": "nano", "seed": 0}
    assert _name(facts) == "4 tasks / pretrain / nano / seed 0"
