"""Cells: what is written into a cell's folder, and when it need not be written again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from toys import cell, store

from w2sweep.experiment.cell import Cell
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Bootstrap
from w2sweep.sweep import comparison
from w2sweep.sweep.comparison import Label

LABEL = Label("toy", "nlp", "toys", "s", "m", "naive", 0, "")


def test_a_cell_is_written_once(tmp_path: Path):
    toy, shelf, folder = cell(strong="m"), store(tmp_path / "store"), tmp_path / "cell"
    assert not cells.current(toy, LABEL, shelf, folder)
    assert cells.run(toy, LABEL, shelf, folder)
    assert cells.current(toy, LABEL, shelf, folder)

    said = json.loads((folder / "cell.json").read_text())
    assert said["stages"]["student"] == toy.student.name
    assert said["pgr"] is None or said["pgr"] == pytest.approx(
        (said["student_accuracy"] - said["weak_accuracy"])
        / (said["ceiling_accuracy"] - said["weak_accuracy"])
    )

    other = Cell(cell(strong="l").setting, Bootstrap("bootstrap", CrossEntropy()))
    assert not cells.current(other, LABEL, shelf, folder)  # other stages
    assert not cells.current(toy, replace(LABEL, variant="recipe.epochs=3"), shelf, folder)
    assert not cells.current(toy, LABEL, store(tmp_path / "elsewhere"), folder)

    (folder / "cell.json").write_text(json.dumps({**said, "w2sweep": "0.0.1"}))
    assert not cells.current(toy, LABEL, shelf, folder)  # numbers of another version
    (folder / "cell.json").write_text("{")
    assert not cells.current(toy, LABEL, shelf, folder)
    (folder / "cell.json").write_text(json.dumps(said))
    (folder / "correct.safetensors").unlink()
    assert not cells.current(toy, LABEL, shelf, folder)
