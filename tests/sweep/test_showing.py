"""Which test examples are shown of a cell."""

from __future__ import annotations

import numpy as np

from w2sweep.sweep.showing import LETTERS, MOST, shown
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice, Completion


def test_examples_are_spread_over_those_on_which_student_and_supervisor_differ():
    n = 40
    examples = [Example.of(f"text {i}", label=1) for i in range(n)]
    sure = np.full(n, 0.9)
    sure[[5, 31]] = 0.2  # the student is wrong on two, where its supervisor is right
    student = np.stack([1 - sure, sure], 1)
    weak = np.full(n, 0.3)
    weak[[5, 31]] = 0.6
    supervisor = np.stack([1 - weak, weak], 1)
    answers = {"supervisor": supervisor, "student": student, "ceiling": student}
    head = Choice()
    correct = {role: head.correct(said, examples) for role, said in answers.items()}
    found = shown(head, answers, correct, examples)
    assert [s.number for s in found if s.kind == "spoiled"] == [5, 31]
    # Of the 38 others the 1st, 13th, 26th and 38th (of places 0, 12.33, 24.67, 37 the nearest)
    others = [i for i in range(n) if i not in (5, 31)]
    places = [others[i] for i in (0, 12, 25, 37)]
    assert [s.number for s in found if s.kind == "corrected"] == places
    assert len(places) == MOST
    assert found[0].answers == {"supervisor": "0", "student": "1", "ceiling": "1"}
    assert found[0].probabilities == {"supervisor": 0.7, "student": 0.9, "ceiling": 0.9}
    assert found[0].truth == "1"


def test_completions_have_no_probabilities_and_long_texts_no_middles():
    examples = [Example.of("a" * 1000 + "b" * 1000, label="e2e4")]
    answers = {"supervisor": ["d2d4"], "student": [" e2e4"], "ceiling": ["e2e4"]}
    head = Completion()
    correct = {role: head.correct(said, examples) for role, said in answers.items()}
    [found] = shown(head, answers, correct, examples)
    assert (found.kind, found.truth, found.probabilities) == ("corrected", "e2e4", {})
    [text] = found.texts
    assert text == "a" * (LETTERS // 2) + " … " + "b" * (LETTERS // 2)
