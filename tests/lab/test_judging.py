"""The lab judges replies that it did not write."""

from __future__ import annotations

import numpy as np
import pytest

from w2sweep.lab.text.tasks import Preference
from w2sweep.lab.text.world import World
from w2sweep.tasks.heads import Reward
from w2sweep.tasks.replying import Replying

TASK = Preference(
    name="preference", world=World(seed=0, tokens=1000), head=Reward(init="zero"), pool=400
)
WEIGHTS = list(TASK.respects.values())
LEXICON = TASK.world.lexicon


def word(kind: str, meaning: int) -> str:
    """An adjective of a polarity, or an entity that lives or does not."""
    words = getattr(LEXICON, kind)
    means = words.meaning if kind == "adjective" else LEXICON.alive[words.meaning]
    return str(LEXICON.words[words.ids[np.flatnonzero(means == meaning)[0]]])


def test_its_judgement_is_that_of_the_labels():
    assert isinstance(TASK, Replying)
    for e in TASK.examples():
        parts = [view.split(" bot : ") for view in e.views]
        marks = [TASK.judged(f"{question} bot :", [reply])[0] for question, reply in parts]
        first, second = [float((2.0 * m - 1) @ WEIGHTS) for m in marks]
        assert e.label == int(second > first)
        assert first != second


ALIVE, DEAD = word("entity", 1), word("entity", 0)
KIND, RUDE = word("adjective", 1), word("adjective", 0)


@pytest.mark.parametrize(
    ("reply", "marks"),
    [
        (f"{ALIVE} sleep . it is {KIND}", [1, 1, 1]),
        (f"{ALIVE} sleep . it is {RUDE}", [0, 1, 1]),
        (f"{DEAD} sleep . it is {KIND}", [1, 0, 0]),
        (f"{DEAD} rust . it is {KIND}", [1, 0, 1]),
        (f"{ALIVE} rust . it is {KIND}", [1, 1, 0]),
        # what no reply of the task looks like earns what it says, and no more
        (f"{KIND} sleep . it is {KIND}", [1, 0, 0]),
        (f"{ALIVE} sleep . so is {KIND}", [0, 1, 1]),
        (f"{ALIVE} {KIND} {KIND} {KIND} {KIND} {KIND}", [0, 1, 0]),
        (f"{ALIVE} sleep . it is {KIND} {KIND}", [0, 1, 1]),
        (f"{ALIVE}", [0, 1, 0]),
        ("", [0, 0, 0]),
    ],
)
def test_marks_are_earned(reply, marks):
    assert TASK.judged("user : who run ? bot :", [reply]).astype(int).tolist() == [marks]


def test_replies_have_held_out_words_and_all_marks():
    rng = np.random.default_rng(0)
    held_out = list(TASK.examples())[:60]
    known = {view.split()[-1] for e in held_out for view in e.views}
    question = TASK.questions(rng, 1)[0]
    replies = TASK.replies(rng, question, 600, held_out)
    assert {reply.split()[-1] for reply in replies} == known
    assert {len(reply.split()) for reply in replies} == {TASK.reply_words}
    assert abs(TASK.judged(question, replies).mean(0) - 0.5).max() < 0.07
    again = np.random.default_rng(0)
    assert TASK.replies(again, TASK.questions(again, 1)[0], 600, held_out) == replies
