"""Easy to hard from end to end, with models that pretend to train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pretend import Pretend
from toys import place, rung, setting, store

from w2sweep.engine.files import read_json
from w2sweep.experiment.backbone import Tokenizer
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.easy_to_hard import EasyToHard
from w2sweep.experiment.ladder import Ladder
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.results.by_difficulty import counted
from w2sweep.results.cell import Result, read
from w2sweep.sweep import comparison

RUNGS = {"s": rung(8), "m": rung(64), "l": rung(160)}


def test_a_cell_tells_accuracies_by_difficulty(tmp_path: Path):
    s = setting(Pretend(), ladder=Ladder("toys", dict(RUNGS), Tokenizer("word", 24)))
    cell = Cell(s, EasyToHard("hard_weak", CrossEntropy(), "hard", "weak"))
    shelf = store(tmp_path / "store")
    assert comparison.run(cell, place(method="hard_weak"), shelf, tmp_path / "cell")
    said = read(tmp_path / "cell")
    assert isinstance(said, Result)
    by = said.by_difficulty
    assert by is not None
    assert (by.trained_on, by.labels, by.beyond) == ("hard", "weak", True)
    assert by.bins == ["s", "m", "l", "none"]
    assert sum(by.n) == said.n_test
    for role in said.models:
        assert sum(by.right[role]) / said.n_test == said.accuracy(role)
    # the supervisor is the first of the rungs that judge
    assert by.right["supervisor"][:2] == [by.n[0], 0]
    assert read_json(tmp_path / "cell" / "cell.json")["by_difficulty"]["n"] == by.n
    assert comparison.current(cell, place(method="hard_weak"), shelf, tmp_path / "cell")


def test_what_is_counted():
    correct = {"student": np.array([1, 0, 1, 1, 0]), "ceiling": np.array([1, 1, 1, 1, 1])}
    n, right = counted([0, 0, 2, 2, 2], correct, ["easy", "middle", "hard"])
    assert n == [2, 0, 3]
    assert right == {"student": [1, 0, 2], "ceiling": [2, 0, 3]}
