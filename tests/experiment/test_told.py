"""Students that are told their supervisor's labels, and errors on examples of one kind. Nothing
trains here."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from toys import Toy, ToyCompletions, ToyPairs, setting, store

from w2sweep.engine.stage import Job
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Naive
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.splits import Sizes, answered
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.supervision import Erring, Errors, Simulated, lowest
from w2sweep.experiment.target import Target
from w2sweep.experiment.told import NaiveTold, Told
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice
from w2sweep.tasks.remark import Remark
from w2sweep.values import ConfigError, Impossible, named, value

TOLD = NaiveTold("told", CrossEntropy())
REMARK = Remark(" . we {} it", ("hate", "love"))


@value
class Remarked(Toy):
    """A toy with a remark, and texts of many lengths."""

    family: ClassVar = "nlp"
    remark: Remark | None = named(default=REMARK)

    def examples(self) -> Iterator[Example]:
        for i in range(600):
            yield Example.of(f"{i} is {'long ' * (i % 40)}", label=i % 2)


SIZES = Sizes(supervisor=100, student=200, validation=100, test=100)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finetuned model answers at random, the weak rung and the strong one in ways of their own,
    without reading more than the splits."""

    def run(self: Finetune, job: Job) -> None:
        splits, rng = job.get(self.splits), np.random.default_rng(len(self.label) + ord(self.label))
        answers: dict[str, Any] = {}
        for name in answered(splits):
            of_class_1 = rng.random(len(splits[name]))
            answers[name] = np.stack([1 - of_class_1, of_class_1], 1).astype(np.float32)
        Predictions(answers).save(job.out)

    monkeypatch.setattr(Finetune, "run", run)
    monkeypatch.setattr(Finetune, "inputs", property(lambda self: [self.splits]))


@pytest.mark.usefixtures("models")
def test_each_text_tells_what_the_supervisor_says_and_nothing_else_changes(tmp_path: Path):
    s, shelf = setting(Remarked(), sizes=SIZES), store(tmp_path)
    told = TOLD.student(s).splits
    assert isinstance(told, Told)
    shelf.ensure(told)
    plain, found, said = shelf.get(s.splits), shelf.get(told), shelf.get(s.supervisor).answers
    assert list(found) == ["student", "validation", "test"]
    for name, examples in found.items():
        words = np.array(["hate", "love"])[np.asarray(said[name]).argmax(1)]
        expected = [f"{e.views[0]} . we {w} it" for e, w in zip(plain[name], words, strict=True)]
        texts = [text for e in examples for text in e.views]
        assert texts == expected
        for own, before in zip(examples, plain[name], strict=True):
            assert (own.id, own.label) == (before.id, before.label)
        assert set(words) == {"hate", "love"}


def test_student_and_one_ceiling_are_told_and_differ_in_nothing_else_from_those_that_are_not():
    s = setting(Remarked(), sizes=SIZES)
    cell = Cell(s, TOLD)
    student, ceiling = cell.student, cell.compared["ceiling_told"]
    assert isinstance(student, Finetune)
    assert isinstance(ceiling, Finetune)
    assert (
        student.splits
        == ceiling.splits
        == Told(s.splits, s.supervisor, Choice(init="zero"), REMARK)
    )
    naive = Naive("naive", CrossEntropy()).student(s)
    assert isinstance(naive, Finetune)
    assert (student.labels, student.lr, student.init) == (naive.labels, naive.lr, naive.init)
    assert ceiling.labels is None
    assert cell.compared["ceiling"] == s.ceiling
    assert student.what == "student l <- s, toy"


@pytest.mark.parametrize("task", [Toy(), ToyPairs(), ToyCompletions()])
def test_a_task_without_a_remark_tells_nothing(task: Toy):
    with pytest.raises(Impossible, match=r"task .* has no task.remark"):
        Cell(setting(task), TOLD)


def test_of_other_tasks_nobody_is_told():
    s = setting(Remarked())
    with pytest.raises(Impossible, match="the student reads texts that tell what s says"):
        Cell(s, TOLD, (Target(Toy(name="other"), s.sizes),))


def test_nobody_is_told_of_the_supervisors_own_half():
    remarked = Remarked(remark=Remark(" {}", ("a", "b")))
    with pytest.raises(Impossible, match="use ceiling_on=student"):
        Cell(setting(remarked, ceiling_on="supervisor"), TOLD)


def test_a_remark_names_each_class():
    three = Remarked(remark=Remark(" {}", ("a", "b", "c")))
    with pytest.raises(Impossible, match="found 3 names, but task toy has 2 classes"):
        Cell(setting(three), TOLD)
    with pytest.raises(ConfigError, match="names: found 'a', 'a', expected a name of its own"):
        Remark(" {}", ("a", "a"))
    with pytest.raises(ConfigError, match="names: found nothing, expected a name of its own"):
        Remark(" {}", ())
    with pytest.raises(ConfigError, match=r"expected a sentence with \{\} in it"):
        Remark(" label", ("a", "b"))


def test_a_remark_is_added_as_it_stands():
    paper = Remark(" I think this is {}. What do you think?", ("incorrect", "correct"))
    assert paper.behind("2 {} 3?", 1) == "2 {} 3? I think this is correct. What do you think?"


def erring(tmp_path: Path, errors: Errors, rate: float | None) -> dict[str, tuple[Any, ...]]:
    """Each split: examples, which of them are answered wrongly [N], what the strong model says of
    the true class [N] and how sure it is [N], how many errors the weak one has."""
    s = setting(Remarked(), sizes=SIZES, supervision=Simulated(errors, rate))
    shelf, judge = store(tmp_path), s.finetune("l", on="supervisor")
    shelf.ensure(s.supervisor, judge, s.weak_model)
    splits, said = shelf.get(s.splits), shelf.get(s.supervisor).answers
    found = {}
    for name, examples in ((name, splits[name]) for name in answered(splits)):
        judged = np.asarray(shelf.get(judge).answers[name])
        labels = [int(e.label) for e in examples]
        truth = judged[np.arange(len(judged)), labels]
        own = int((~s.task.head.correct(shelf.get(s.weak_model).answers[name], examples)).sum())
        wrong = ~s.task.head.correct(said[name], examples)
        found[name] = (examples, wrong, truth, judged.max(1), own)
    return found


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("rate", [0.2, None])
@pytest.mark.parametrize("errors", ["longest", "shortest", "unconfident", "confident"])
def test_errors_are_on_the_first_examples_of_an_order(tmp_path: Path, errors: Errors, rate):
    for examples, wrong, truth, sure, own in erring(tmp_path, errors, rate).values():
        chars = np.array([len(e.views[0]) for e in examples])
        rank = {"longest": -chars, "shortest": chars, "unconfident": sure, "confident": -truth}
        assert wrong.sum() == (own if rate is None else round(rate * len(examples)))
        assert rank[errors][wrong].max() <= rank[errors][~wrong].min()


def test_who_decides_on_the_errors_has_not_trained_on_the_examples():
    s = setting(Remarked(), supervision=Simulated("unconfident", 0.2))
    assert isinstance(s.supervisor, Erring)
    assert s.supervisor.judge == s.finetune("l", on="supervisor")
    longest = setting(Remarked(), supervision=Simulated("longest", 0.2)).supervisor
    assert isinstance(longest, Erring)
    assert longest.judge is None
    assert "judge" in Erring.added


def test_ties_are_broken_by_ids_and_the_fewer_are_a_part_of_the_more():
    scores, ids = np.array([1.0, 0.0, 1.0, 1.0, 2.0]), list("abcde")
    picked = [lowest(scores, ids, n, seed=0) for n in range(6)]
    assert [p.sum() for p in picked] == [0, 1, 2, 3, 4, 5]
    assert picked[1].tolist() == [False, True, False, False, False]
    assert all((a <= b).all() for a, b in pairwise(picked))
    backwards = lowest(scores[::-1], ids[::-1], 2, seed=0)
    assert (backwards[::-1] == picked[2]).all()
    seeds = {tuple(lowest(scores, ids, 2, seed)) for seed in range(20)}
    assert len(seeds) == 3  # any of the three that are level
