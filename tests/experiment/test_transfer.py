"""What the method of transfer trains, and what it begins with."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from safetensors.numpy import load_file

from w2sweep.engine.files import read_json
from w2sweep.experiment.backbone import HubModel, Tokenizer
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.ladder import HubRung, Ladder, Rung
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Sizes
from w2sweep.experiment.stages import Adapt, OwnTokenizer
from w2sweep.experiment.transfer import Transfer
from w2sweep.lab.text.tasks import Sentiment
from w2sweep.lab.text.world import World
from w2sweep.sweep.text_losses import language_models
from w2sweep.tasks.heads import Choice
from w2sweep.tasks.task import TaskTexts
from w2sweep.values import ConfigError, Impossible

WORLD = World(0, adjectives=64, entities=64, tokens=6_000, genres={"article": 1.0})
TOKENIZER = Tokenizer("word", context=24)
DIALOGUES = replace(WORLD, genres={"dialogue": 1.0})


def method(**changes: Any) -> Transfer:
    fields: dict[str, Any] = {"target": DIALOGUES, "tokens": 2_000} | changes
    return Transfer("transfer", CrossEntropy(), **fields)


def in_world(world: World = WORLD) -> Setting:
    task = Sentiment(name="sentiment", world=world, head=Choice(init="zero"), pool=400)
    rungs: dict[str, Rung] = {"s": toys.rung(4, tokens=4_000), "l": toys.rung(8, tokens=4_000)}
    sizes = Sizes(supervisor=32, student=32, validation=8, test=16)
    return toys.setting(task, ladder=Ladder("toys", rungs, TOKENIZER), sizes=sizes)


def test_models_from_scratch_are_the_same_whatever_was_read_in_pretraining():
    one, other = in_world(), in_world(replace(WORLD, genres={"review": 1.0}))
    first, second = method().language_models(one), method().language_models(other)
    assert list(first) == ["ceiling_adapted", "ceiling_scratch", "weak_adapted", "weak_scratch"]
    same = {name for name in first if first[name].key == second[name].key}
    assert same == {"ceiling_scratch", "weak_scratch"}
    assert {model.text.key for model in (*first.values(), *second.values())} == {
        first["weak_adapted"].text.key
    }


def test_pretrained_models_begin_where_pretraining_ended_and_others_at_random():
    s, m = in_world(), method(lr_scale=0.5)
    adapted, scratch = m.adapted(s, "l"), m.scratch(s, "l")
    assert adapted.init == s.pretrained("l")
    assert scratch.init is None
    assert scratch.recipe == replace(adapted.recipe, lr=2 * adapted.recipe.lr)
    assert scratch.recipe.tokens == 2_000
    assert s.pretrained("l") != scratch
    compared = m.compared(s)
    assert [stage.init for stage in compared.values()] == [adapted, scratch]
    assert [stage.labels for stage in compared.values()] == [None, None]  # the ground truth
    assert (m.student(s).init, m.student(s).labels) == (adapted, s.supervisor)


def test_words_of_another_world_are_refused():
    with pytest.raises(Impossible, match="of another world"):
        method(target=replace(DIALOGUES, seed=1)).student(in_world())


def test_more_tokens_than_the_target_has_are_refused():
    with pytest.raises(ConfigError, match="tokens: found 6_001, but the target has 6_000"):
        method(tokens=6_001)


def test_further_ceilings_learn_from_the_half_that_the_ceiling_learns_from():
    s = replace(in_world(), ceiling_on="supervisor")
    models = [s.ceiling, *method().compared(s).values()]
    assert {model.on for model in models} == {"supervisor"}


def test_other_texts_have_the_tokens_of_the_pretrained_model():
    s = toys.setting()
    text = method(target=None).adapted(s, "l").text
    before = s.pretrained("l")
    assert before is not None
    assert text.corpus == TaskTexts(s.task)
    assert text.tokenizer == OwnTokenizer(before, 24)


def test_models_of_the_hub_are_trained_on_and_beside_them_the_same_from_scratch():
    rungs = {name: HubRung(1e-3, f"some/{name}", 1_000, 10) for name in ("small", "large")}
    ladder = Ladder("hub", dict(rungs), Tokenizer("word"))
    s = toys.setting(ladder=ladder, weak="small", strong="large")
    adapted, scratch = method(target=None).adapted(s, "large"), method().scratch(s, "large")
    assert adapted.backbone == HubModel("some/large")
    assert scratch.backbone == HubModel("some/large", scratch=True)
    assert adapted.init is None
    assert adapted.text.tokenizer == OwnTokenizer(HubModel("some/large"), 32)
    assert (adapted.recipe.tokens, adapted.recipe.lr) == (2_000, 1e-3)


def test_a_cell_records_the_losses_of_its_language_models(tmp_path: Path):
    """Run whole on toys: the same held-out text for all, tokens as they were read, and all
    weights are moved by the target."""
    shelf = toys.store(tmp_path)
    cell = Cell(in_world(), method())
    shelf.ensure(*cell.language_models.values())
    models = language_models(cell, shelf)
    # steps of 8 windows of 24 tokens: 4_000 // 192 before, 2_000 // 192 of the target
    assert {m.tokens for m in models.values()} == {10 * 192}
    assert {name: m.before for name, m in models.items()} == {
        "ceiling_adapted": 20 * 192,
        "ceiling_scratch": 0,
        "weak_adapted": 20 * 192,
        "weak_scratch": 0,
    }
    assert {name: m.rung for name, m in models.items()} == {
        "ceiling_adapted": "l",
        "ceiling_scratch": "l",
        "weak_adapted": "s",
        "weak_scratch": "s",
    }
    for name, stage in cell.language_models.items():
        assert models[name].loss == read_json(shelf.get(stage) / "pretrain.json")["heldout_loss"]
    assert models["ceiling_adapted"].loss < models["ceiling_scratch"].loss
    adapted, scratch = (cell.language_models[f"ceiling_{how}"] for how in ("adapted", "scratch"))
    chain: list[Adapt] = [adapted.init, adapted, scratch]  # type: ignore[list-item]
    weights = [load_file(shelf.get(stage) / "model.safetensors") for stage in chain]
    for one, other in pairwise(weights):
        assert one.keys() == other.keys()
        assert not any(np.array_equal(one[name], other[name]) for name in one)
