"""Predictions: answers stored whole, metrics as functions of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from w2sweep.experiment.predictions import Predictions
from w2sweep.tasks.example import Example


def examples(*labels: int | str) -> list[Example]:
    return [Example(str(i), str(i), ("text",), label) for i, label in enumerate(labels)]


def test_the_most_likely_class_is_the_answer():
    p = Predictions({"test": np.array([[0.4, 0.6], [0.9, 0.1], [0.3, 0.7]], dtype=np.float32)})
    assert p.correct("test", examples(1, 1, 1)).tolist() == [True, False, True]


def test_completions_are_compared_without_surrounding_blanks():
    p = Predictions({"test": [" Qxc1+", "Qxc1 ", "", "Nf6"]})
    assert p.correct("test", examples(" Qxc1+", " Qxc1", " Nf6", " Nf6")).tolist() == [
        True,
        True,
        False,
        True,
    ]
    assert p.agrees(Predictions({"test": ["Qxc1+", "Qxc1+", "", "Nf6"]}), "test").tolist() == [
        True,
        False,
        True,
        True,
    ]


def test_what_is_saved_is_what_is_loaded(tmp_path: Path):
    p = Predictions({"test": np.array([[0.25, 0.75]], dtype=np.float32), "student": ["e4", "♞f6"]})
    p.save(tmp_path)
    loaded = Predictions.load(tmp_path)
    assert loaded.answers["student"] == ["e4", "♞f6"]
    np.testing.assert_array_equal(loaded.answers["test"], p.answers["test"])
