"""What the lab's examples do not depend on is no part of their splits; corpora are all fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from w2sweep.experiment.backbone import Tokenizer
from w2sweep.experiment.splits import Sizes, Splits
from w2sweep.experiment.stages import Text
from w2sweep.lab.chess.mates import Games, MateInOne
from w2sweep.lab.text.tasks import Contrast, Membership, Preference, Sentiment, WorldTask
from w2sweep.lab.text.world import World
from w2sweep.tasks.heads import Choice, Completion, Reward
from w2sweep.tasks.task import Corpus, Task

SIZES = Sizes(supervisor=8, student=8, validation=4, test=4)
WORLD = World(seed=0, adjectives=64, entities=64)
TEXT = [
    Sentiment(name="sentiment", world=WORLD, head=Choice(), pool=50),
    Contrast(name="contrast", world=WORLD, head=Choice(), pool=50),
    Membership(name="membership", world=WORLD, head=Choice(), pool=50),
    Preference(name="preference", world=WORLD, head=Reward(), pool=50),
]
MATES = MateInOne(name="mate_in_one", games=Games(seed=0), head=Completion(), pool=50)


def splits_key(task: Task) -> str:
    return Splits.of(task, SIZES, seed=0).key


def text_key(corpus: Corpus) -> str:
    return Text(corpus, Tokenizer("word", context=24)).key


def in_world(task: WorldTask, **changes: Any) -> WorldTask:
    return replace(task, world=replace(task.world, **changes))


def of_games(**changes: Any) -> MateInOne:
    return replace(MATES, games=replace(MATES.games, **changes))


def is_same(one: Task, other: Task) -> bool:
    return list(one.examples()) == list(other.examples())


@pytest.mark.parametrize("task", TEXT, ids=lambda task: task.name)
def test_text_tasks_share_splits_whatever_is_written_about_their_words(task: WorldTask):
    of_reviews = in_world(task, genres={"review": 1.0})
    other_texts = (in_world(task, tokens=99), in_world(task, leak=0.5), of_reviews)
    for other in (*other_texts, replace(task, name="other")):
        assert splits_key(other) == splits_key(task)
        assert is_same(other, task)


@pytest.mark.parametrize("task", TEXT, ids=lambda task: task.name)
def test_text_tasks_do_not_share_splits_of_other_words(task: WorldTask):
    worlds = (in_world(task, seed=1), in_world(task, adjectives=72), in_world(task, entities=96))
    for other in (*worlds, replace(task, pool=49)):
        assert splits_key(other) != splits_key(task)
    assert len(set(map(splits_key, TEXT))) == len(TEXT)


def test_preferences_do_not_share_splits_of_other_labels():
    for change in ({"margin": 0.5}, {"frankness": 1.0}):
        other = replace(TEXT[3], **change)
        assert splits_key(other) != splits_key(TEXT[3])
        assert not is_same(other, TEXT[3])


def test_worlds_are_all_of_their_fields():
    """The backbones of all text tasks of a world are the same."""
    assert len({text_key(task.corpus) for task in TEXT}) == 1
    assert len({text_key(replace(task, name="other").corpus) for task in TEXT}) == 1
    changes = ({"seed": 1}, {"adjectives": 72}, {"entities": 96}, {"tokens": 9}, {"leak": 0.5})
    for change in (*changes, {"genres": {"review": 1.0}}):
        assert text_key(replace(WORLD, **change)) != text_key(WORLD)


def test_worlds_of_all_genres_keep_the_keys_that_they_had_before_genres_could_be_chosen():
    """Taken from the program as it was then: ladders that are pretrained already are found."""
    assert Text(World(0), Tokenizer("word", context=48)).key == "af7dccbfdb5ea695"
    assert Text(World(0, leak=0.3), Tokenizer("word", context=48)).key == "97dba54175cde76f"


def test_mates_share_splits_whatever_is_written_of_the_games():
    for other in (of_games(tokens=99), of_games(mating=0.5), replace(MATES, head=Completion(3))):
        assert splits_key(other) == splits_key(MATES)
        assert is_same(other, MATES)


def test_mates_do_not_share_splits_of_other_games():
    for other in (of_games(seed=1), of_games(skill=0.5), replace(MATES, pool=49)):
        assert splits_key(other) != splits_key(MATES)
        assert not is_same(other, MATES)


def test_games_are_all_of_their_fields():
    games = MATES.games
    for change in ({"seed": 1}, {"tokens": 9}, {"mating": 0.5}, {"skill": 0.5}):
        assert text_key(replace(games, **change)) != text_key(games)
