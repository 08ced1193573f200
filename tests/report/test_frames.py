"""`w2sweep.load`: a sweep as pandas tables."""

from __future__ import annotations

import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from commands import add_pretending_tasks, w2sweep
from fake_sweep import cell, fail, fake_sweep
from pandas.testing import assert_frame_equal

from w2sweep import ConfigError, load

GRID = (
    "task=pretend,pretend_completions weak=nano strong=nano,mini method=naive,bootstrap_all "
    "seed=0,1 recipe.epochs=2 runtime.together=1"
)


@pytest.fixture(scope="module")
def pretended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep whose stages only pretended to train."""
    folder = tmp_path_factory.mktemp("pretended")
    add_pretending_tasks(folder)
    w2sweep(folder, "sweep=x", *GRID.split())
    return folder / "outputs" / "sweeps" / "x"


@pytest.fixture
def loaded(pretended: Path) -> Any:
    return load(pretended)


def test_cells_are_those_of_cells_csv(pretended: Path, loaded: Any):
    written = pd.read_csv(pretended / "report" / "cells.csv")
    common = loaded.cells[list(written.columns)]
    assert len(common) == len(written) == 16
    assert_frame_equal(pd.read_csv(StringIO(common.to_csv(index=False))), written)
    assert loaded.cells["recipe.epochs"].tolist() == [2] * 16
    assert repr(loaded) == "<sweep x: 8 finished, 8 skipped>"


def test_curves_have_a_row_for_each_logged_step_of_each_stage(pretended: Path, loaded: Any):
    curves = loaded.curves
    # 2 tasks, 2 seeds: 4 each of the supervisor nano, the ceiling mini, the students nano > mini
    # and nano > micro > tiny > mini, and of what the latter is made of: nano > micro and
    # nano > micro > tiny
    count = curves["role"].value_counts().to_dict()
    assert count == {"supervisor": 4, "ceiling": 4, "student": 8, "input": 8}
    assert curves.loc[curves["role"] == "input", "rung"].value_counts().to_dict() == {
        "micro": 4,
        "tiny": 4,
    }
    assert not curves.duplicated(["stage", "role"]).any()
    assert len(list(pretended.parents[1].glob("store/*/*/curves.jsonl"))) == len(curves)
    assert set(curves["seed"]) == {0, 1}
    assert (curves["loss"] == 0.5).all()
    student = curves[(curves["role"] == "student") & (curves["method"] == "bootstrap_all")]
    assert set(student["rung"]) == {"mini"}
    assert student["what"].str.startswith("student mini <- tiny").all()


def test_predictions_are_what_accuracies_were_counted_from(loaded: Any):
    said = loaded.predictions()
    accuracies = said.groupby(["dir", "role"])["right"].mean().unstack()
    finished = loaded.cells.query("status == 'finished'").set_index("dir").sort_index()
    for role, name in {"supervisor": "weak", "student": "student", "ceiling": "ceiling"}.items():
        expected = finished[f"{name}_accuracy"].to_numpy()
        np.testing.assert_allclose(accuracies[role].sort_index(), expected)
    classes = said[said["task"] == "pretend"]
    assert ((classes["answer"] == classes["label"]) == classes["right"]).all()
    assert np.allclose(classes["p_0"] + classes["p_1"], 1)
    completed = said[said["task"] == "pretend_completions"]
    assert ((completed["answer"] == completed["label"].str.strip()) == completed["right"]).all()


def test_predictions_are_chosen(loaded: Any):
    said = loaded.predictions(
        task="pretend", method="naive", strong="mini", seed=[1], role="student", text=True
    )
    assert set(said["role"]) == {"student"}
    assert set(said["weak"]) == {"nano"}
    assert set(said["seed"]) == {1}
    assert said["text"].str.startswith("example ").all()
    assert not said.duplicated(["dir", "id"]).any()


@pytest.mark.parametrize(
    ("chosen", "told"),
    [({"strong": "huge"}, "no finished cell with strong='huge'"), ({"seeds": 0}, "found seeds=")],
)
def test_what_no_cell_has_is_told(loaded: Any, chosen: dict, told: str):
    with pytest.raises(ConfigError, match=told):
        loaded.predictions(**chosen)


def test_a_sweep_that_moved_is_read_from_the_store_beside_it(pretended: Path, tmp_path: Path):
    outputs = tmp_path / "outputs"
    shutil.copytree(pretended, outputs / "sweeps" / "x")
    shutil.copytree(pretended.parents[1] / "store", outputs / "store")
    before = pretended.parents[1] / "store"
    hidden = before.rename(before.with_name("hidden"))
    try:
        assert len(load(outputs / "sweeps" / "x").curves) == 24
        assert len(load(pretended, store=hidden).curves) == 24
        with pytest.raises(ConfigError, match=r"no store in .*: say store=FOLDER"):
            _ = load(pretended).curves
    finally:
        hidden.rename(before)


def test_what_failed_and_what_is_missing_are_rows_too(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "x", tasks={"sentiment": "nlp"}, seeds=1)
    fail(cell(sweep, weak="nano", strong="small", method="naive"), "out of luck")
    gone = cell(sweep, weak="nano", strong="mini", method="naive")
    shutil.rmtree(gone)
    cells = load(str(sweep)).cells.set_index("dir")
    assert cells["status"].value_counts().to_dict() == {
        "skipped": 20,
        "finished": 10,
        "failed": 1,
        "pending": 1,
    }
    assert cells.loc[gone.name, "status"] == "pending"
    assert cells.query("status == 'failed'")["reason"].tolist() == ["out of luck"]
    assert cells["pgr"].dtype == float


def test_what_is_no_sweep_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # its store is named from there
    with pytest.raises(ConfigError, match=r"no folder .*expected a sweep"):
        load(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="is no sweep"):
        load(tmp_path)
    (tmp_path / "sweep.json").write_text('{"name": "x", "cells": [{"dir": "a", "digest": "1"}]}')
    with pytest.raises(ConfigError, match=r"no finished cell .*1 without a result yet"):
        load(tmp_path)
    sweep = fake_sweep(tmp_path / "x", tasks={"sentiment": "nlp"}, seeds=1)
    with pytest.raises(ConfigError, match="no store in"):
        load(sweep).predictions()
