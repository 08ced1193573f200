"""What the lab knows of its texts: how frequent their words are, and which have no answer."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest

from w2sweep.lab.text.tasks import Contrast, Membership, Preference, Sentiment, WorldTask
from w2sweep.lab.text.world import World
from w2sweep.tasks.conditions import Unanswerable
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice, Reward

WORLD = World(seed=0, tokens=1000)
LEXICON = WORLD.lexicon
ADJECTIVES = LEXICON.words[LEXICON.adjective.ids].tolist()
ENTITIES = LEXICON.words[LEXICON.entity.ids].tolist()
ZERO = Choice(init="zero")
OPINIONS = [Sentiment(name="s", world=WORLD, head=ZERO), Contrast(name="c", world=WORLD, head=ZERO)]
MEMBERSHIP = Membership(name="m", world=WORLD, head=ZERO)
PREFERENCE = Preference(name="p", world=WORLD, head=Reward(init="zero"), pool=800)


@pytest.mark.parametrize("task", [*OPINIONS, MEMBERSHIP, PREFERENCE], ids=lambda t: t.name)
def test_words_are_frequent_by_how_often_they_are_written(task: WorldTask):
    # the lexicon has them in the order of their frequencies
    order = ENTITIES if task is MEMBERSHIP else ADJECTIVES
    found = []
    for e in islice(task.examples(), 400):
        assert isinstance(e, Example)
        ranks = {order.index(w) < 640 for v in e.views for w in v.split() if w in order}
        assert ranks
        expected = None if len(ranks) > 1 else "frequent" if ranks == {True} else "rare"
        assert task.commonness(e) == expected
        found.append(expected)
    assert {"frequent", "rare"} <= set(found)


@pytest.mark.parametrize("task", OPINIONS, ids=lambda t: t.name)
def test_opinions_without_an_answer_have_no_adjective(task: WorldTask):
    assert isinstance(task, Unanswerable)
    texts = [e.views[0] for e in task.unanswerable()]
    assert len(set(texts)) > 2000
    assert not set(" ".join(texts).split()) & {*ADJECTIVES, "like", "love", "hate"}


def test_membership_without_an_answer_has_nothing_of_entities():
    nouns = LEXICON.words[LEXICON.nouns.ravel()].tolist()
    words = set(" ".join(e.views[0] for e in MEMBERSHIP.unanswerable()).split())
    assert not words & {*ENTITIES, *nouns}
    assert words & set(ADJECTIVES)


def test_preferences_without_an_answer_are_ties_of_words_of_one_cluster():
    ties = list(PREFERENCE.unanswerable())
    assert len(ties) > 600
    groups = {e.group for e in PREFERENCE.examples()}
    assert len({e.group for e in ties} & groups) > 0.95 * len(groups)
    for e in ties[:300]:
        (question, first), (_, second) = (view.split(" bot : ") for view in e.views)
        marks = PREFERENCE.judged(f"{question} bot :", [first, second])
        assert (marks[0] == marks[1]).all()  # the weights are such that no other sums are equal


def test_they_are_the_same_each_time_and_the_examples_stay():
    for task in (replace(OPINIONS[0], pool=300), replace(MEMBERSHIP, pool=300), PREFERENCE):
        before = list(task.examples())
        assert list(task.unanswerable()) == list(task.unanswerable())
        assert list(task.examples()) == before
