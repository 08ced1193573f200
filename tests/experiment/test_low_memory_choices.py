"""Choices of precision and optimizer: what is refused, and which keys they are part of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from toys import Toy, cell, setting

from w2sweep.engine.stage import identity
from w2sweep.experiment import cell as cells
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.prompting import Prompting
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.tuning import Full, LinearProbe, Lora, Tuning
from w2sweep.tasks.wording import Wording
from w2sweep.values import ConfigError, Impossible

RECIPE = Recipe(epochs=1, batch_size=8)


def asking() -> Setting:
    """A setting whose task is asked with a wording."""
    return setting(Toy(wording=Wording("{text} is", words=(" poor", " fine"))))


def test_at_their_defaults_new_choices_are_in_no_identity():
    """So that results of before there were any keep their keys."""
    assert "optimizer" not in identity(RECIPE)
    assert "base" not in identity(Lora())
    assert "base" not in identity(LinearProbe())
    probe = setting(tuning=LinearProbe()).ceiling.features
    assert "base" not in identity(probe)
    asked = Prompting("zero_shot", CrossEntropy(), shots=0, shows="weak").student(asking())
    assert "base" not in identity(asked)
    low = replace(asked, base="bf16")
    assert low.key != asked.key


@pytest.mark.parametrize(
    ("tuning", "recipe"),
    [
        (Lora(base="bf16"), {}),
        (LinearProbe(base="bf16"), {}),
        (Full(), {"precision": "bf16-true"}),
        (Full(), {"optimizer": "adafactor"}),
    ],
)
def test_what_changes_results_changes_keys(tuning: Tuning, recipe: dict[str, Any]):
    before = setting(tuning=type(tuning)(), recipe=RECIPE)
    after = setting(tuning=tuning, recipe=replace(RECIPE, **recipe))
    assert before.ceiling.key != after.ceiling.key
    assert before.splits.key == after.splits.key
    of_probe = before.ceiling.features
    if of_probe:
        assert of_probe.key != after.ceiling.features.key  # type: ignore[union-attr]


def test_a_backbone_that_does_not_learn_has_a_knob_of_its_own():
    for tuning in (Lora(), LinearProbe()):
        with pytest.raises(Impossible, match=r"bf16-true .*use tuning.base=bf16 recipe.precision"):
            cell(tuning=tuning, recipe=replace(RECIPE, precision="bf16-true"))


def test_adafactor_has_no_betas():
    with pytest.raises(ConfigError, match=r"betas: found \[0.9, 0.999\].* leave betas=\[0.9, 0.98"):
        replace(RECIPE, optimizer="adafactor", betas=(0.9, 0.999))


def test_a_library_that_is_missing_is_asked_for_before_anything_runs(monkeypatch):
    monkeypatch.setattr(cells, "_has_8bit", lambda: False)
    with pytest.raises(ConfigError, match=r"adamw_8bit.* pip install 'w2sweep\[8bit\]'"):
        cell(recipe=replace(RECIPE, optimizer="adamw_8bit"))
