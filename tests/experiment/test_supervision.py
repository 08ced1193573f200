"""Supervisors that err as asked: how often, on which examples, and at whose cost.

Nothing trains here.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import Toy, ToyCompletions, ToyPairs, setting, store

from w2sweep.engine.stage import Job, closure, identity
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Bootstrap, Naive, Scratch
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.splits import Sizes, Splits, answered
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.supervision import (
    Erring,
    Errors,
    Simulated,
    Weak,
    last_word,
    mistaken,
    suggested,
)
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Answers, Choice, Head
from w2sweep.values import ConfigError, Impossible, named, value

NAIVE = Naive("naive", CrossEntropy())
SIZES = Sizes(supervisor=100, student=800, validation=200, test=800)


@value
class Words(Toy):
    """Texts in two forms, each about a word that is good or bad; some words are frequent, and
    none is in two splits."""

    family: ClassVar = "nlp"

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        for i in range(3000):
            word = int(400 * rng.random() ** 2)
            form = "it is" if rng.random() < 0.5 else "the thing was"
            yield Example.of(f"{form} {i} w{word}", label=word % 2, group=f"group {word}")


@value
class Pairs(ToyPairs):
    """Two such texts, of which the better one is about a good word."""

    def examples(self) -> Iterator[Example]:
        for i, e in enumerate(Words().examples()):
            if e.label == 1:
                views = (e.views[0], f"this is {i} bad")
                yield Example.of(
                    *views[:: 1 - 2 * (i % 2)], label=i % 2, group=e.views[0].split()[-1]
                )


@value
class Forms(Words):
    """The same, with three classes."""

    name: str = named(default="forms")
    head: Head = named(default=Choice(classes=3))


def simulated(
    tmp_path: Path, errors: Errors, rate: float, seed: int = 0, cue: str | None = "^it is"
) -> dict[str, tuple[list[Example], np.ndarray, Answers]]:
    """Each split: its N examples, whether they are answered wrongly [N], and the answers."""
    s = setting(Words(), sizes=SIZES, seed=seed, supervision=Simulated(errors, rate, cue))
    shelf = store(tmp_path / "store")
    shelf.ensure(s.supervisor)
    splits, said = shelf.get(s.splits), shelf.get(s.supervisor).answers
    found = {}
    for name in answered(splits):
        examples = splits[name]
        found[name] = (examples, ~s.task.head.correct(said[name], examples), said[name])
    return found


@pytest.mark.parametrize("errors", ["random", "words", "rule"])
def test_each_split_has_the_rate_of_errors(tmp_path: Path, errors: Errors):
    found = simulated(tmp_path, errors, 0.15)
    assert list(found) == ["student", "validation", "test"]
    for examples, wrong, answers in found.values():
        asked = round(0.15 * len(examples))
        assert asked - (errors == "words") * len(examples) // 100 <= wrong.sum() <= asked
        assert isinstance(answers, np.ndarray)
        assert answers.dtype == np.float32
        assert (np.sort(answers, axis=1) == [0, 1]).all()


def test_random_errors_do_not_depend_on_words(tmp_path: Path):
    examples, wrong, _ = simulated(tmp_path, "random", 0.3)["student"]
    by_word = shares(examples, wrong)
    # of a sum over words of n (share - rate)^2, were they independent
    expected = 0.3 * 0.7 * len(by_word)
    spread = sum(len(w) * (np.mean(w) - 0.3) ** 2 for w in by_word.values())
    assert 0.4 * expected < spread < 2 * expected
    assert len({np.mean(w) for w in by_word.values()} - {0.0, 1.0}) > 3


def test_errors_on_words_are_all_or_nothing_of_a_word(tmp_path: Path):
    for examples, wrong, _ in simulated(tmp_path, "words", 0.3).values():
        by_word = shares(examples, wrong)
        assert {np.mean(w) for w in by_word.values()} == {0.0, 1.0}
        classes = {int(w[1:]) % 2 for w, errors in by_word.items() if errors[0]}
        assert len(examples) < 300 or classes == {0, 1}


def test_a_rule_errs_where_its_cue_is_and_says_class_1(tmp_path: Path):
    for examples, wrong, answers in simulated(tmp_path, "rule", 0.15).values():
        erring = [e for e, w in zip(examples, wrong, strict=True) if w]
        assert all(e.views[0].startswith("it is") and e.label == 0 for e in erring)
        assert (Choice().hard(answers)[wrong] == 1).all()


def test_a_rate_beyond_what_the_cue_can_do_is_an_error_in_one_line(tmp_path: Path):
    cause = (
        r"errors=rule can make \d+ of the \d+ examples of split 'student' wrong, "
        r"but the rate asks for \d+: lower"
    )
    with pytest.raises(Exception, match=cause) as error:
        simulated(tmp_path, "rule", 0.4)
    assert "\n" not in str(error.value)


def test_seeds_differ_and_the_order_of_examples_does_not_matter(tmp_path: Path):
    keys = [f"example {i}" for i in range(200)]
    wrong = mistaken(keys, 50, seed=0)
    assert (mistaken(keys[::-1], 50, seed=0)[::-1] == wrong).all()
    assert 0 < (mistaken(keys, 50, seed=1) & wrong).sum() < 30


@given(st.lists(st.sampled_from(["a", "bb", "c c", "d", None])), st.data())
def test_whole_keys_are_wrong_up_to_the_number_asked_for(
    keys: list[str | None], data: st.DataObject
):
    able = len(keys) - keys.count(None)
    n = data.draw(st.integers(0, len(keys)))
    wrong = mistaken(keys, n, seed=0)
    drawn = {k for k, w in zip(keys, wrong, strict=True) if w}
    assert list(wrong) == [k in drawn for k in keys]
    assert None not in drawn
    assert wrong.sum() <= n
    left = [keys.count(k) for k in set(keys) - drawn - {None}]
    assert all(size > n - wrong.sum() for size in left)  # nothing more would fit
    assert n < able or wrong.sum() == able


@given(st.integers(0, 60), st.integers(0, 60))
def test_more_errors_are_the_same_ones_and_others(a: int, b: int):
    keys = [str(i) for i in range(60)]
    fewer, more = mistaken(keys, min(a, b), seed=3), mistaken(keys, max(a, b), seed=3)
    assert fewer.sum() == min(a, b)
    assert (fewer <= more).all()


def test_of_two_texts_a_cue_speaks_for_the_one_that_has_it():
    assert [suggested("^it", views) for views in (("it is",), ("is it",))] == [1, None]
    pairs = [("it a", "b"), ("a", "it b"), ("it a", "it b"), ("a", "b")]
    assert [suggested("^it", views) for views in pairs] == [0, 1, None, None]


def test_the_word_of_two_texts_is_the_better_ones_in_either_order():
    assert last_word(Example.of("it is Fine.", label=0)) == "fine"
    assert (
        last_word(Example.of("a b", "c d", label=1))
        == last_word(Example.of("c d", "a b", label=0))
        == "d"
    )


def test_pairs_can_be_judged_wrongly_too(tmp_path: Path):
    sizes = Sizes(supervisor=100, student=400, validation=200, test=400)
    for errors in ("words", "rule"):
        s = setting(Pairs(), sizes=sizes, supervision=Simulated(errors, 0.25, r"^this .* bad$"))
        shelf = store(tmp_path)
        shelf.ensure(s.supervisor)
        examples, said = shelf.get(s.splits)["test"], shelf.get(s.supervisor).answers["test"]
        wrong = ~s.task.head.correct(said, examples)
        assert 0.24 * len(examples) <= wrong.sum() <= 0.25 * len(examples)


@pytest.fixture
def weak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finetuned model gives the truth .7, and a tenth of the time .2, without reading more than
    the splits."""

    def run(self: Finetune, job: Job) -> None:
        splits, rng = job.get(self.splits), np.random.default_rng(0)
        answers = {}
        for name in answered(splits):
            sure = np.where(rng.random(len(splits[name])) < 0.9, 0.7, 0.2)
            labels = np.array([e.label for e in splits[name]])
            right = labels[:, None] == [0, 1]
            said = np.where(right, sure[:, None], 1 - sure[:, None])
            answers[name] = said.astype(np.float32)
        Predictions(answers).save(job.out)

    monkeypatch.setattr(Finetune, "run", run)
    monkeypatch.setattr(Finetune, "inputs", property(lambda self: [self.splits]))


@pytest.mark.usefixtures("weak")
def test_noise_turns_a_share_of_the_weak_answers_and_leaves_the_others(tmp_path: Path):
    s = setting(Words(), sizes=SIZES, supervision=Weak(noise=0.25))
    shelf = store(tmp_path)
    shelf.ensure(s.supervisor)
    clean, noisy = shelf.get(s.weak_model), shelf.get(s.supervisor)
    for name in clean.answers:
        before, after = np.asarray(clean.answers[name]), np.asarray(noisy.answers[name])
        turned = (before != after).any(1)
        assert turned.sum() == round(0.25 * len(before))
        assert (after[turned] == before[turned][:, ::-1]).all()


@pytest.mark.usefixtures("weak")
@pytest.mark.parametrize("errors", ["random", "words"])
def test_errors_can_be_as_many_as_the_weak_rungs_own(tmp_path: Path, errors: Errors):
    s = setting(Words(), sizes=SIZES, supervision=Simulated(errors, None))
    assert isinstance(s.supervisor, Erring)
    assert s.weak_model in s.supervisor.inputs
    shelf = store(tmp_path)
    shelf.ensure(s.supervisor)
    splits, own, erring = shelf.get(s.splits), shelf.get(s.weak_model), shelf.get(s.supervisor)
    for name in answered(splits):
        asked, found = (count_wrong(x.answers[name], splits[name]) for x in (own, erring))
        slack = len(splits[name]) // 100 if errors == "words" else 0
        assert asked > 0
        assert asked - slack <= found <= asked


def count_wrong(answers: Answers, examples: list[Example]) -> int:
    return int((~Choice().correct(answers, examples)).sum())


def test_without_noise_the_graph_is_what_it_was():
    student = NAIVE.student(setting())
    assert student.labels == setting().weak_model
    assert student == NAIVE.student(setting(supervision=Weak(noise=0.0)))
    stages = closure((student,))
    assert "supervision" not in json.dumps([identity(s) for s in stages])
    assert {type(s).__name__ for s in stages} == {"Splits", "Text", "Adapt", "Finetune"}


def test_any_method_learns_from_a_simulated_supervisor_which_needs_no_model():
    s = setting(supervision=Simulated("random", 0.2))
    naive, scratch = NAIVE.student(s), Scratch("scratch", CrossEntropy()).student(s)
    last = Bootstrap("up", CrossEntropy()).student(s)
    assert isinstance(last, Finetune)
    first = last.labels
    assert isinstance(first, Finetune)
    assert naive.labels == scratch.labels == first.labels == s.supervisor
    assert naive.what == "student l <- truth with random errors (0.2), toy"
    assert [type(stage) for stage in closure((s.supervisor,))] == [Splits, Erring]
    assert (
        s.supervisor
        == setting(weak="m", supervision=Simulated("random", 0.2, cue="^it")).supervisor
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Simulated("random", 0.2), Simulated("words", 0.2)),
        (Simulated("random", 0.2), Simulated("random", 0.1)),
        (Simulated("random", 0.2), Simulated("random", None)),
        (Simulated("rule", 0.2, "a"), Simulated("rule", 0.2, "b")),
        (Weak(0.1), Weak(0.2)),
    ],
)
def test_what_supervises_is_part_of_the_students_key(one, other):
    assert (
        NAIVE.student(setting(supervision=one)).key != NAIVE.student(setting(supervision=other)).key
    )


def test_errors_need_two_classes():
    with pytest.raises(
        Impossible, match=r"simulated supervision errs .* but task toy_completions has completions"
    ):
        Cell(setting(ToyCompletions(), supervision=Simulated("random", 0.1)), NAIVE)
    with pytest.raises(
        Impossible,
        match="noise errs by saying the other of two classes, but task forms has 3 classes",
    ):
        Cell(setting(Forms(), supervision=Weak(0.1)), NAIVE)
    Cell(setting(ToyCompletions(), supervision=Weak()), NAIVE)


def test_a_cue_is_a_regular_expression():
    with pytest.raises(
        ConfigError, match=r"cue: found '\(a', expected a regular expression \(missing \)"
    ):
        Simulated("rule", 0.1, "(a")
    with pytest.raises(ConfigError, match="errors=rule needs a cue"):
        Simulated("rule", 0.1)


def shares(examples: list[Example], wrong: np.ndarray) -> dict[str, list[bool]]:
    """Word -> whether each example that ends in it is wrong."""
    by_word: dict[str, list[bool]] = defaultdict(list)
    for e, w in zip(examples, wrong, strict=True):
        by_word[e.views[0].split()[-1]].append(bool(w))
    return by_word
