"""What a recipe does with few examples: smaller batches, then more epochs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from toys import rung, setting, store

from w2sweep.engine.stage import identity
from w2sweep.experiment.backbone import Tokenizer
from w2sweep.experiment.flops import work
from w2sweep.experiment.ladder import Ladder, Rung
from w2sweep.experiment.recipe import Recipe

RECIPE = Recipe(epochs=2, batch_size=32, fewest_steps=200)


@pytest.mark.parametrize(
    ("examples", "batch", "epochs"),
    [
        (10_000, 32, 2),  # 2 x 312 steps are enough
        (3_200, 32, 2),  # just enough
        (2_500, 25, 2),  # 2 x 2500 / 200
        (800, 8, 2),
        (799, 8, 3),  # 99 batches an epoch
        (400, 8, 4),  # no smaller batch: 50 an epoch
        (5, 8, 200),  # one batch of all of them
    ],
)
def test_steps_are_made_of_smaller_batches_and_then_of_more_epochs(
    examples: int, batch: int, epochs: int
):
    fitted = RECIPE.for_examples(examples)
    assert (fitted.batch_size, fitted.epochs) == (batch, epochs)
    assert fitted.epochs * max(1, examples // fitted.batch_size) >= 200
    assert fitted.for_examples(examples) == fitted


def test_a_smaller_batch_of_ones_own_stays():
    fitted = replace(RECIPE, batch_size=4).for_examples(400)
    assert (fitted.batch_size, fitted.epochs) == (4, 2)
    assert replace(RECIPE, fewest_steps=0).for_examples(5) == replace(RECIPE, fewest_steps=0)


def test_a_recipe_without_it_is_the_one_that_it_was():
    assert "fewest_steps" not in str(identity(replace(RECIPE, fewest_steps=0)))
    assert "fewest_steps" in str(identity(RECIPE))


def test_a_finetuning_takes_the_steps_and_the_plan_knows_it(tmp_path: Path):
    """Of 96 examples, 20 steps at least: 12 batches of 8 an epoch, twice."""
    few = Recipe(epochs=1, batch_size=96, fewest_steps=20, max_tokens=32, evaluations=2)
    random: dict[str, Rung] = {"s": rung(8, tokens=0), "l": rung(12, tokens=0)}
    ladder = Ladder("toys", random, Tokenizer("word", context=24))
    stage = setting(recipe=few, ladder=ladder).weak_model
    shelf = store(tmp_path)
    shelf.ensure(stage)
    rows = (shelf.path(stage) / "curves.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["step"] == 24
    spelled_out = replace(few, epochs=2, batch_size=8, fewest_steps=0)
    assert work(stage) == work(setting(recipe=spelled_out, ladder=ladder).weak_model)
