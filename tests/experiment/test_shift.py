"""A student's half that is unlike the test: exact counts, and nothing else is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from toys import Toy, ToyCompletions, ToyPairs, setting

from w2sweep.experiment.cell import Cell
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Naive
from w2sweep.experiment.shift import Shift
from w2sweep.experiment.shifting import Shifting
from w2sweep.experiment.splits import Sizes, Splits
from w2sweep.experiment.splitting import split
from w2sweep.tasks.conditions import KnowsWords, Unanswerable
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice
from w2sweep.values import ConfigError, Impossible, named, value

SIZES = Sizes(supervisor=60, student=100, validation=20, test=40, student_sets=2)
STUDENTS = ("student", "student_2")


@value
class Shifty(Toy):
    """Every third word is frequent, every third is rare, and the others are both. Each tenth text
    without an answer is of a group that an example has."""

    name: str = named(default="shifty")

    def examples(self) -> Iterator[Example]:
        for n in range(2400):
            yield Example.of(f"text {n}", label=n % 2, group=f"group {n // 4}")

    def commonness(self, example: Example) -> Any:
        return ("frequent", "rare", None)[int(example.views[0].split()[1]) % 3]

    def unanswerable(self) -> Iterator[Example]:
        for n in range(600):
            group = f"group {n}" if n % 10 == 0 else ()
            yield Example.of(f"nothing {n}", label=0, group=group)


TASK = Shifty()


def shifted(shift: Shift, rows: list[Example] | None = None, seed: int = 0):
    return split(rows or OFFERED, SIZES, seed, Shifting(shift, TASK, seed))


def classes(examples: list[Example]) -> dict[Any, int]:
    return dict(Counter(e.label for e in examples))


OFFERED = list(TASK.examples())
PLAIN = split(OFFERED, SIZES, 0)[0]
ALL = Shift(class_1=0.8, without_answer=0.25, student_words="frequent", test_words="rare")


@pytest.mark.parametrize(
    "shift",
    [
        Shift(class_1=0.9),
        Shift(without_answer=0.3),
        Shift(student_words="rare"),
        Shift(test_words="frequent"),
        ALL,
    ],
    ids=str,
)
def test_other_splits_are_the_same_and_groups_stay_together(shift: Shift):
    splits, manifest = shifted(shift)
    same = {name for name in splits if splits[name] == PLAIN[name]}
    touched = {name for name in splits if shift.touches(name)}
    assert same == splits.keys() - touched
    assert {name: len(its) for name, its in splits.items()} == SIZES.asked
    groups = [{e.group for e in its} for its in splits.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))
    ids = [e.id for its in splits.values() for e in its]
    assert len(ids) == len(set(ids))
    used = set(ids) & {e.id for e in OFFERED}
    assert len(used) + sum(manifest["dropped"].values()) == len(OFFERED)
    assert manifest["shift"]["class_1"] == shift.class_1
    assert shifted(shift, OFFERED[::-1])[0] == splits
    assert shifted(shift, seed=1)[0] != splits


def test_classes_are_out_of_balance_by_exactly_what_is_asked_for():
    for share, ones in ((0.8, 80), (0.505, 50), (0.31, 31)):  # of two halves the even one
        splits, _ = shifted(Shift(class_1=share))
        assert {classes(splits[name])[1] for name in STUDENTS} == {ones}
        assert classes(splits["test"]) == {0: 20, 1: 20}


def test_words_are_those_asked_for():
    splits, _ = shifted(Shift(student_words="frequent", test_words="rare"))
    kinds = {name: {TASK.commonness(e) for e in its} for name, its in splits.items()}
    assert kinds["student"] == kinds["student_2"] == {"frequent"}
    assert kinds["test"] == {"rare"}
    assert kinds["supervisor"] == kinds["validation"] == {"frequent", "rare", None}
    assert {frozenset(classes(its).items()) for its in (splits["student"],)} == {
        frozenset({(0, 50), (1, 50)})
    }


def test_texts_without_an_answer_have_the_labels_of_those_that_they_replace():
    splits, _ = shifted(Shift(without_answer=0.3, class_1=0.8))
    for name in STUDENTS:
        nothing = [e for e in splits[name] if e.views[0].startswith("nothing")]
        assert len(nothing) == 30
        assert classes(nothing) == {0: 6, 1: 24}
        assert classes(splits[name]) == {0: 20, 1: 80}
    first, second = ({e.id for e in splits[name]} for name in STUDENTS)
    assert not first & second


def test_all_at_once():
    splits, _ = shifted(ALL)
    texts = [e for e in splits["student"] if e.views[0].startswith("text")]
    assert classes(texts) == {0: 15, 1: 60}
    assert {TASK.commonness(e) for e in texts} == {"frequent"}


def test_too_few_examples_are_said():
    few, rare = Shift(class_1=0.99, student_words="rare"), Shift(test_words="rare")
    with pytest.raises(ConfigError, match=r"'student' can have \d+ examples of class 1 with rare"):
        split(OFFERED, replace(SIZES, student=200), 0, Shifting(few, TASK, 0))
    with pytest.raises(ConfigError, match=r"'test' can have \d+ examples with rare words, but 600"):
        split(OFFERED, replace(SIZES, test=600), 0, Shifting(rare, TASK, 0))
    answers = [replace(e, question=e.group) for e in OFFERED]
    with pytest.raises(ConfigError, match="as many are right as wrong"):
        shifted(Shift(class_1=0.6), answers)


def test_without_a_shift_stages_keep_their_keys():
    s = setting(TASK)
    assert Splits.of(TASK, s.sizes, 0, Shift()) is s.splits
    assert s.splits == Splits(TASK, s.sizes, 0)
    keys = {Splits.of(TASK, s.sizes, 0, shift).key for shift in (Shift(), ALL, Shift(class_1=0.5))}
    assert len(keys) == 3


def cell(task: Toy, shift: Shift) -> Cell:
    return Cell(setting(task, shift=shift), Naive("naive", CrossEntropy()))


def test_what_is_impossible_is_said_before_anything_runs():
    assert isinstance(TASK, KnowsWords)
    assert isinstance(TASK, Unanswerable)
    assert cell(TASK, ALL).setting.splits.shift == ALL
    for task in (ToyPairs(), ToyCompletions(), Toy(head=Choice(classes=3, init="zero"))):
        with pytest.raises(Impossible, match=r"shift\.class_1.*use a task of"):
            cell(task, Shift(class_1=0.8))
    with pytest.raises(Impossible, match="nobody knows texts without an answer of task toy:"):
        cell(Toy(), Shift(without_answer=0.1))
    with pytest.raises(Impossible, match="nobody knows how frequent the words of task toy are"):
        cell(Toy(), Shift(student_words="rare"))
