"""Examples that give away their weak label, right or wrong. Nothing trains here."""

from __future__ import annotations

from pathlib import Path

import pytest
from toys import ToyCompletions, ToyPairs, setting, store

from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Naive, TrivialImitation
from w2sweep.experiment.splits import answered
from w2sweep.experiment.stages import Told
from w2sweep.experiment.supervision import Simulated
from w2sweep.values import Impossible

METHOD = TrivialImitation("told", CrossEntropy())
WRONG_A_QUARTER = Simulated("random", 0.25)


def test_each_text_names_the_weak_label_of_its_own_example(tmp_path: Path):
    s = setting(supervision=WRONG_A_QUARTER)
    told = METHOD.student(s).splits
    assert isinstance(told, Told)
    shelf = store(tmp_path)
    shelf.ensure(told, s.splits)
    plain, labels = shelf.get(s.splits), shelf.get(s.supervisor).answers
    for name in answered(plain):
        for before, after, said in zip(
            plain[name], shelf.get(told)[name], labels[name], strict=True
        ):
            sentence = f"I think this is {said.argmax()}. What do you think?"
            assert after.views == (f"{before.views[0]} {sentence}",)
            assert (after.id, after.label) == (before.id, before.label)
    wrong = [
        e.views[0].endswith(f"is {1 - int(e.label)}. What do you think?")
        for e in shelf.get(told)["test"]
    ]
    assert sum(wrong) == round(0.25 * len(wrong))


def test_the_further_ceiling_reads_what_the_student_reads_and_learns_the_truth():
    s = setting()
    student, naive = METHOD.student(s), Naive("naive", CrossEntropy()).student(s)
    ceiling = METHOD.compared(s)["ceiling_told"]
    assert (student.labels, ceiling.labels) == (s.supervisor, None)
    assert student.splits == ceiling.splits != naive.splits
    assert s.supervisor in student.splits.inputs


@pytest.mark.parametrize("task", [ToyPairs(), ToyCompletions()])
def test_labels_without_a_name_cannot_be_told(task):
    with pytest.raises(Impossible, match="have no names to tell a student"):
        METHOD.student(setting(task))
