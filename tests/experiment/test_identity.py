"""What is part of which key: pairs of configurations that share stages, and pairs that must not.

Nothing trains here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from toys import Toy, ToyCorpus, rung, setting

from w2sweep.engine.stage import Stage
from w2sweep.experiment.backbone import Tokenizer
from w2sweep.experiment.ladder import HubRung, Ladder, Rung
from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy
from w2sweep.experiment.methods import Naive
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Sizes
from w2sweep.experiment.supervision import Weak
from w2sweep.experiment.tuning import Full, LinearProbe
from w2sweep.tasks.heads import Choice

Of = Callable[[Setting], Stage[Any]]


def splits(s: Setting) -> Stage:
    return s.splits


def pretraining(s: Setting) -> Stage:
    stage = s.pretrained(s.strong)
    assert stage is not None
    return stage


def text(s: Setting) -> Stage:
    return s.pretrained(s.strong).text  # type: ignore[union-attr]


def features(s: Setting) -> Stage:
    stage = replace(s, tuning=LinearProbe()).ceiling.features
    assert stage is not None
    return stage


def probe(s: Setting) -> Stage:
    return replace(s, tuning=LinearProbe()).ceiling


def supervisor(s: Setting) -> Stage:
    return s.supervisor


def ceiling(s: Setting) -> Stage:
    return s.ceiling


def student(s: Setting) -> Stage:
    return Naive("naive", CrossEntropy()).student(s)


EVERY = (text, pretraining, splits, features, probe, supervisor, ceiling, student)
"""Each is called with a setting."""


def shared(one: Setting, other: Setting) -> set[Of]:
    """The stages that two settings have in common."""
    return {of for of in EVERY if of(one).key == of(other).key}


def homegrown(**changes: Any) -> Setting:
    """A setting whose rungs all have these changes."""
    before = setting()
    rungs = {name: replace(r, **changes) for name, r in before.ladder.rungs.items()}
    return replace(before, ladder=replace(before.ladder, rungs=rungs))


READERS = {pretraining, features, probe, supervisor, ceiling, student}
"""What depends on a pretrained rung."""
FINETUNED = {supervisor, ceiling, student}


def task(**changes: Any) -> Setting:
    return setting(replace(Toy(), **changes))


RENAMED: dict[str, Rung] = dict(
    zip(("tiny", "mid", "large"), (rung(8), rung(12), rung(24)), strict=True)
)
OTHER_SIZES = Sizes(supervisor=96, student=96, validation=32, test=65)


@pytest.mark.parametrize(
    ("other", "differ"),
    [
        pytest.param(homegrown(lr=1e-3), FINETUNED, id="rate of finetuning"),
        pytest.param(homegrown(pretrain_lr=1e-3), READERS, id="rate of pretraining"),
        pytest.param(homegrown(pretrain_warmup=7), READERS, id="warm-up of pretraining"),
        pytest.param(homegrown(precision="bf16-mixed"), READERS, id="precision of pretraining"),
        pytest.param(homegrown(tokens=1_000), READERS, id="tokens of pretraining"),
        pytest.param(task(name="other"), set(), id="name of the task"),
        pytest.param(
            task(head=Choice()), {features, probe, *FINETUNED}, id="where the head starts"
        ),
        pytest.param(
            setting(
                ladder=Ladder("others", RENAMED, Tokenizer("word", context=24)),
                weak="tiny",
                strong="large",
            ),
            set(),
            id="names of the ladder and its rungs",
        ),
        pytest.param(
            setting(ladder=Ladder("toys", setting().ladder.rungs, Tokenizer("word", context=32))),
            {text, *READERS},
            id="context",
        ),
        pytest.param(
            setting(ladder=replace(setting().ladder, pretrain_seed=1)), READERS, id="pretrain_seed"
        ),
        pytest.param(
            setting(ladder=replace(setting().ladder, corpus=ToyCorpus(documents_=9))),
            {text, *READERS},
            id="corpus",
        ),
        pytest.param(setting(sizes=OTHER_SIZES), {splits, features, probe, *FINETUNED}, id="sizes"),
        pytest.param(setting(seed=1), set(EVERY) - {text, pretraining}, id="seed"),
        pytest.param(setting(tuning=Full(lr_scale=2.0)), FINETUNED, id="rate of the tuning"),
        pytest.param(setting(weak="m"), {supervisor, student}, id="the weak rung"),
        pytest.param(setting(strong="m"), set(EVERY) - {text, splits, supervisor}, id="the strong"),
        pytest.param(setting(supervision=Weak(noise=0.1)), {supervisor, student}, id="noise"),
        pytest.param(setting(ceiling_on="supervisor"), {ceiling, probe}, id="the ceiling's half"),
    ],
)
def test_a_change_of_the_setting_reaches_the_stages_that_depend_on_it_and_no_others(
    other: Setting, differ: set[Of]
):
    assert set(EVERY) - shared(setting(), other) == differ


def confident(**changes: Any) -> Naive:
    return Naive("confidence", ConfidenceLoss(**changes))


@pytest.mark.parametrize("change", [{"warmup": 1.0}, {"alpha_max": 0.9}, {"threshold": "prior"}])
def test_a_choice_about_the_confidence_loss_is_the_students_alone(change: dict[str, Any]):
    s = setting()
    one, other = confident().student(s), confident(**change).student(s)
    assert one.key != other.key
    assert one.inputs == other.inputs
    assert {s.supervisor, s.pretrained("l")} <= set(one.inputs)


def test_what_a_method_is_called_is_in_no_key():
    s = setting()
    names = ("naive", "plain")
    one, other = (Naive(name, CrossEntropy()).student(s) for name in names)
    assert one == other
    assert one.key == other.key


def hub(**changes: Any) -> Setting:
    plain = HubRung(lr=1e-4, model="gpt2", params=10, pretrain_tokens=100)
    return setting(ladder=Ladder("hub", {"s": plain, "l": replace(plain, **changes)}))


HUB = (splits, features, probe, ceiling, student)


@pytest.mark.parametrize(
    ("change", "differ"),
    [
        pytest.param({"params": 11}, set(), id="parameters"),
        pytest.param({"pretrain_tokens": 101}, set(), id="tokens"),
        pytest.param({"lr": 1e-3}, {ceiling, student}, id="rate of finetuning"),
        pytest.param({"revision": "v2"}, set(HUB) - {splits}, id="revision"),
        pytest.param({"model": "gpt2-xl"}, set(HUB) - {splits}, id="model"),
        pytest.param({"scratch": True}, set(HUB) - {splits}, id="scratch"),
    ],
)
def test_facts_about_a_model_of_the_hub_are_in_no_key(change: dict[str, Any], differ: set[Of]):
    one, other = hub(), hub(**change)
    assert {of for of in HUB if of(one).key != of(other).key} == differ


def test_what_differs_in_name_alone_is_equal():
    """So that what is found once in a set or a dict has one key, and the other way round."""
    assert task(name="other").splits == setting().splits
    assert hub(params=11).ceiling == hub().ceiling
    assert hub(lr=1e-3).ceiling != hub().ceiling
