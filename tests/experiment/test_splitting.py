"""The splitter's promises, on any set of examples that hypothesis thinks of."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2sweep.experiment.splits import Sizes
from w2sweep.experiment.splitting import split
from w2sweep.tasks.example import Example, Skipped
from w2sweep.values import ConfigError

SPLITS = ("supervisor", "student", "validation", "test")


def point(
    n: int,
    label: int | str,
    group: str | tuple[str, ...] = (),
    question: str = "",
    text: str = "text",
) -> Example:
    return Example.of(f"{text} {n}", label=label, group=group, question=question)


@st.composite
def single_points(draw: st.DrawFn) -> list[Example]:
    """Groups of single points: enough of each class for every split to get some."""
    points = [point(n, n % 2, group=f"alone {n}") for n in range(40)]
    more = draw(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30)), max_size=150))
    return points + [point(40 + n, label, group=f"group {g}") for n, (label, g) in enumerate(more)]


@st.composite
def questions(draw: st.DrawFn) -> list[Example]:
    """Passages with questions of two to four points each, one or two of them right."""
    points: list[Example] = []
    for q in range(draw(st.integers(12, 40))):
        group, n = f"passage {draw(st.integers(0, 30))} {q % 8}", draw(st.integers(2, 4))
        points += [point(4 * q + k, k % 2, group, f"question {q}") for k in range(n)]
    return points


sizes = st.builds(
    Sizes,
    supervisor=st.integers(4, 60),
    student=st.integers(4, 60),
    validation=st.integers(4, 20),
    test=st.integers(4, 30),
)
examples = st.one_of(single_points(), questions())


@given(examples, sizes, st.integers(0, 5))
def test_splits_keep_all_their_promises(points: list[Example], asked: Sizes, seed: int):
    splits, manifest = split(points, asked, seed)
    groups = [{e.group for e in splits[name]} for name in SPLITS]
    assert sum(len(g) for g in groups) == len(set().union(*groups))
    for name in SPLITS:
        classes = Counter(e.label for e in splits[name])
        assert 0 < classes.total() <= asked.asked[name]
        assert max(classes.values()) <= 0.55 * classes.total()
        assert manifest["splits"][name]["ids"] == [e.id for e in splits[name]]
    assert len(set(Counter(e.label for e in splits["test"]).values())) == 1
    used = sum(len(s) for s in splits.values())
    assert used + sum(manifest["dropped"].values()) == len(points)


@given(questions(), sizes, st.integers(0, 5))
def test_right_and_wrong_answers_stay_even_in_every_question(
    points: list[Example], asked: Sizes, seed: int
):
    for kept in split(points, asked, seed)[0].values():
        for question in {e.question for e in kept}:
            counts = Counter(e.label for e in kept if e.question == question)
            assert counts[0] == counts[1] == sum(e.question == question for e in points) // 2


@given(examples, sizes, st.integers(0, 5), st.randoms())
def test_only_the_seed_and_the_set_of_rows_matter(
    points: list[Example], asked: Sizes, seed: int, order: random.Random
):
    shuffled = order.sample(points, len(points))
    assert split(points, asked, seed) == split(shuffled, asked, seed)


@settings(max_examples=25)
@given(single_points(), sizes)
def test_duplicates_never_change_the_splits(points: list[Example], asked: Sizes):
    again = [
        Example.of(e.views[0].upper() + " !", label=e.label, group=f"other {e.id}") for e in points
    ]
    splits, manifest = split(points + again, asked, 0)
    texts = [e.views[0].casefold().strip(" !") for s in splits.values() for e in s]
    assert len(texts) == len(set(texts))
    assert manifest["dropped"]["near-exact duplicates"] == len(points)


SMALL = Sizes(supervisor=20, student=20, validation=6, test=10)


def test_a_class_within_55_percent_is_kept_in_training_but_not_in_test():
    points = [point(n, int(n < 53)) for n in range(100)]
    splits, manifest = split(
        points, Sizes(supervisor=300, student=300, validation=100, test=200), seed=0
    )
    assert Counter(e.label for e in splits["supervisor"]) == {
        1: 18,
        0: 16,
    }  # a third of the rows, 53 % of one class
    assert len(set(Counter(e.label for e in splits["test"]).values())) == 1
    assert manifest["dropped"].keys() == {"cut to balance the classes"}


def test_what_is_cut_to_size_is_balanced_as_well():
    """All points are within 55 %, but four of seven would not be."""
    points = [point(n, int(n < 53)) for n in range(100)]
    splits, _ = split(points, Sizes(supervisor=7, student=7, validation=7, test=7), seed=0)
    assert [len(s) for s in splits.values()] == [6, 6, 6, 6]


def test_a_class_over_55_percent_is_cut_to_perfect_balance():
    splits, _ = split(
        [point(n, int(n < 800)) for n in range(1000)],
        Sizes(supervisor=900, student=900, validation=200, test=400),
        0,
    )
    assert all(len(set(Counter(e.label for e in s).values())) == 1 for s in splits.values())
    assert (
        390 <= sum(len(s) for s in splits.values()) <= 400
    )  # all but a few of the 200 of the rare class, and as many


def test_scarce_rows_are_shared_in_proportion_to_what_was_asked_for():
    splits, _ = split(
        [point(n, n % 2) for n in range(560)],
        Sizes(supervisor=2000, student=2000, validation=600, test=1000),
        0,
    )
    assert [len(splits[name]) for name in SPLITS] == pytest.approx([200, 200, 60, 100], abs=4)


def test_forty_large_groups_of_one_class_each_fill_every_split():
    points = [point(n, (n % 40) % 2, group=f"cluster {n % 40}") for n in range(16_000)]
    for seed in range(4):
        asked = Sizes(supervisor=2000, student=2000, validation=300, test=1000)
        splits, _ = split(points, asked, seed)
        assert all(len(splits[name]) == asked.asked[name] for name in SPLITS)


def test_examples_that_share_any_of_their_groups_stay_together():
    chain = [
        Example.of(f"pair {n}", label=n % 2, group=(f"scenario {n}", f"scenario {n + 1}"))
        for n in range(10)
    ]
    others = [point(n, n % 2) for n in range(50)]
    splits, manifest = split(chain + others, SMALL, seed=0)
    having = [kept for kept in splits.values() if not set(chain).isdisjoint(kept)]
    assert len(having) == 1
    assert manifest["offered"]["groups"] == 51


def test_small_splits_have_as_large_groups_as_large_ones():
    sizes = [1, 1, 1, 1, 2, 5, 10]
    points = [
        point(100 * g + k, k % 2, f"group {g}")
        for g in range(2000)
        for k in range(2 * sizes[g % 7])
    ]
    asked = Sizes(supervisor=5000, student=5000, validation=400, test=1500)
    splits, _ = split(points, asked, seed=0)
    average = [len(s) / len({e.group for e in s}) for s in splits.values()]
    assert average == pytest.approx([sum(average) / 4] * 4, rel=0.15)


def test_completions_need_no_balance():
    splits, manifest = split([point(n, " Qh7#") for n in range(100)], SMALL, seed=0)
    assert [len(splits[name]) for name in SPLITS] == [20, 20, 6, 10]
    assert manifest["splits"]["test"]["classes"] == {}


def test_the_manifest_counts_all_that_is_left_out():
    rows: list[Any] = [point(n, n % 2) for n in range(50)]
    rows += [
        point(0, 0),
        Example.of("TEXT  1.", label=1),
        Example.of("Text 2", label=1),
        point(99, 0, text="x" * 100),
    ]
    rows += [Skipped("unlabelled")] * 3
    _, manifest = split(
        rows, Sizes(supervisor=20, student=20, validation=6, test=10, max_chars=90), seed=0
    )
    assert manifest["offered"]["n"] == 54
    expected = {
        "unlabelled": 3,
        "exact duplicates": 1,
        "near-exact duplicates": 1,
        "duplicates with contradicting labels": 2,
        "longer than 90 characters": 1,
    }
    assert manifest["dropped"].items() >= expected.items()


def test_two_views_in_the_other_order_are_the_same_pair():
    pairs = [Example.of(f"good {n}", f"bad {n}", label=0) for n in range(40)]
    pairs += [Example.of(f"bad {n}", f"good {n}", label=1) for n in range(40)]
    _, manifest = split(pairs, SMALL, seed=0)
    assert manifest["dropped"]["near-exact duplicates"] == 40


def test_before_a_completion_case_counts():
    positions = [Example.of(f"K a1 Q b{n} k c8", label=" Qb8") for n in range(1, 30)]
    positions += [Example.of(f"k a1 q b{n} K c8", label=" qb8") for n in range(1, 30)]
    assert "near-exact duplicates" not in split(positions, SMALL, seed=0)[1]["dropped"]


def test_different_seeds_give_different_splits():
    points = [point(n, n % 2) for n in range(200)]
    assert split(points, SMALL, 0)[0]["test"] != split(points, SMALL, 1)[0]["test"]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "no labelled examples"),
        (
            [point(n, 1) for n in range(50)],
            "all 50 examples have the label 1, but two classes are needed",
        ),
        ([point(n, n % 2, group="one") for n in range(50)], "form 1 groups"),
        (
            [point(n, int(n == 0)) for n in range(50)],
            r"split '\w+' is empty: its groups have \d+ of class 0, 0 of class 1",
        ),
    ],
)
def test_impossible_splits_are_refused_in_one_line(points: list[Example], message: str):
    with pytest.raises(ConfigError, match=message) as error:
        split(points, SMALL, seed=0)
    assert "\n" not in str(error.value)


def test_of_many_wrong_answers_as_many_are_kept_as_there_are_right_ones():
    points = [
        point(4 * q + k, int(k == 2), f"passage {q}", "who?") for q in range(20) for k in range(4)
    ]
    points += [point(100 + k, 0, "passage 21", "nobody?") for k in range(3)]
    splits, manifest = split(points, SMALL, seed=0)
    for kept in splits.values():
        assert set(Counter(e.group for e in kept).values()) == {2}
    assert manifest["dropped"]["more wrong answers than right ones, or the reverse"] == 2 * 20 + 3


def test_answers_that_contradict_each_other_are_found_before_questions_are_cut():
    """Of the question that comes twice, one keeps its wrong answer and the other its right one."""
    plain = [point(4 * q + k, int(k == 2), f"p {q}", f"q {q}") for q in range(20) for k in range(4)]
    answers = [f"who? {name}" for name in ("Al", "Bo", "Cy", "Di")]
    one = [
        Example.of(a, label=int(n == 0), group="one", question="x") for n, a in enumerate(answers)
    ]
    two = [
        Example.of(a, label=int(n == 1), group="two", question="y") for n, a in enumerate(answers)
    ]
    splits, manifest = split([*plain, *one, *two], SMALL, seed=0)
    kept = {e.views[0] for examples in splits.values() for e in examples}
    assert not kept & {"who? Al", "who? Bo"}
    assert manifest["dropped"]["duplicates with contradicting labels"] == 4


def test_contradicting_single_points_are_left_out_as_before():
    points = [point(n, n % 2) for n in range(60)] + [Example.of("TEXT 7", label=0)]
    splits, manifest = split(points, SMALL, seed=0)
    assert "text 7" not in {e.views[0] for examples in splits.values() for e in examples}
    assert manifest["dropped"]["duplicates with contradicting labels"] == 2
