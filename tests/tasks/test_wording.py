"""Wordings: prompts are filled, pairs are asked both ways, and what cannot be asked is refused."""

from __future__ import annotations

import re

import pytest

from w2sweep.tasks.example import Example
from w2sweep.tasks.own_file import OwnFile
from w2sweep.tasks.wording import Wording
from w2sweep.values import ConfigError

YES_NO = Wording("Q: {text}\nA:", (" no", " yes"))
PAIRS = Wording("1: {first} 2: {second} better:", (" 1", " 2"))
APART = Wording("{text} is", (" poor", " fine"))
PAIR = Example.of("one", "two", label=1)


def test_slots_are_filled_and_what_stands_in_texts_is_left_alone():
    assert YES_NO.filled(["a {text} {first} \\1 {x}"]) == "Q: a {text} {first} \\1 {x}\nA:"
    assert PAIRS.filled(["{second}", "b"]) == "1: {second} 2: b better:"


def test_an_example_of_one_text_is_asked_once():
    example = Example.of("sun", label=1)
    assert YES_NO.asked(example) == [("sun",)]
    assert YES_NO.shown(example, 0) == (("sun",), " no")
    assert YES_NO.shown(example, 1) == (("sun",), " yes")


def test_a_pair_is_asked_in_both_orders_or_each_view_by_itself():
    assert PAIRS.asked(PAIR) == [("one", "two"), ("two", "one")]
    assert PAIRS.shown(PAIR, 1) == (("one", "two"), " 2")
    assert APART.asked(PAIR) == [("one",), ("two",)]
    assert APART.shown(PAIR, 0) == (("one",), " fine")  # the first view is the better one
    assert APART.shown(PAIR, 1) == (("one",), " poor")


@pytest.mark.parametrize(
    ("template", "words", "told"),
    [
        ("no slot", (" 0", " 1"), "found the slots none, expected {text} once"),
        ("{text} {text}", (" 0", " 1"), "found the slots {text} {text}"),
        ("{second} {first}", (" 0", " 1"), "found the slots {second} {first}"),
        ("{text}", (" 1",), "words: found ' 1', expected a different word for each class"),
        ("{text}", ("1", " 1"), "words: found '1', ' 1'"),
        ("{text}", (" ", " 1"), "words: found ' ', ' 1'"),
    ],
)
def test_what_asks_nothing_is_refused(template, words, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        Wording(template, words)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("text,label\na,bad\nb,good\n", (" bad", " good")),
        ("prompt,chosen,rejected\nq,a,b\n", (" A", " B")),
        ("prompt,completion\nq,a\n", None),
    ],
)
def test_a_file_of_ones_own_is_asked_for_the_names_of_its_classes(tmp_path, rows, words):
    (tmp_path / "own.csv").write_text(rows)
    task = OwnFile("own", str(tmp_path / "own.csv"), "csv", classes=("bad", "good"))
    asked = task.asked
    assert (asked.words if asked else None) == words
    other = OwnFile("own", task.path, "csv", classes=("bad", "good"), wording=YES_NO)
    assert other.asked == YES_NO
