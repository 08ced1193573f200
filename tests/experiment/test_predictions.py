"""Predictions: answers stored whole. What they mean is the head's to say."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from w2sweep.experiment.predictions import Predictions, load_evaluations, save_evaluations
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice, Completion


def examples(*labels: int | str) -> list[Example]:
    return [Example(str(i), str(i), ("text",), label) for i, label in enumerate(labels)]


def test_the_most_likely_class_is_the_answer():
    said = np.array([[0.4, 0.6], [0.9, 0.1], [0.3, 0.7]], dtype=np.float32)
    assert Choice().hard(said).tolist() == [1, 0, 1]
    assert Choice().correct(said, examples(1, 1, 1)).tolist() == [True, False, True]


def test_completions_are_compared_without_surrounding_blanks():
    head, said = Completion(), [" Qxc1+", "Qxc1 ", "", "Nf6"]
    truth = examples(" Qxc1+", " Qxc1", " Nf6", " Nf6")
    assert head.correct(said, truth).tolist() == [True, True, False, True]
    others = ["Qxc1+", "Qxc1+", "", "Nf6"]
    assert head.agree(said, others).tolist() == [True, False, True, True]


def test_what_is_saved_is_what_is_loaded(tmp_path: Path):
    said = np.array([[0.25, 0.75]], dtype=np.float32)
    Predictions({"test": said, "student": ["e4", "♞f6"]}).save(tmp_path)
    loaded = Predictions.load(tmp_path)
    assert loaded.answers["student"] == ["e4", "♞f6"]
    np.testing.assert_array_equal(loaded.answers["test"], said)


def test_evaluations_come_back_in_the_order_of_their_steps(tmp_path: Path):
    said = np.array([[0.25, 0.75]], dtype=np.float32)
    evaluations = {10: {"test": said, "validation": ["e4"]}, 9: {"test": 1 - said}}
    save_evaluations(evaluations, tmp_path)
    loaded = load_evaluations(tmp_path)
    assert list(loaded) == [9, 10]
    np.testing.assert_array_equal(loaded[10].answers["test"], said)
    assert loaded[10].answers["validation"] == ["e4"]
    assert loaded[9].answers.keys() == {"test"}
