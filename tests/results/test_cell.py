"""Records of cells: what is written down is read again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_sweep import TWO_RUNGS, finished
from safetensors.numpy import save_file
from toys import place

from w2sweep.engine.files import read_json, write_json
from w2sweep.results.cell import CORRECT, Failed, Result, SkippedCell, clear, read
from w2sweep.results.sweep_folder import read_sweep
from w2sweep.values import ConfigError

VARIANT = {"recipe.betas": "[0.9,0.98]", "sizes.test": "50", "~loss.hard": ""}
ANSWERS = {
    "supervisor": np.array([1, 1, 0, 0], np.uint8),
    "student": np.array([1, 1, 1, 0], np.uint8),
    "ceiling": np.array([1, 1, 1, 1], np.uint8),
    "zero_shot": np.array([0, 0, 0, 1], np.uint8),
}


def result(**at: object) -> Result:
    return finished(place(weak="nano", strong="small", **at), TWO_RUNGS, ANSWERS)


def test_a_result_is_read_as_it_was_written(tmp_path: Path):
    written = result(variant=VARIANT)
    written.write(tmp_path)
    found = read(tmp_path)
    assert isinstance(found, Result)
    assert replace(found, correct={}) == replace(written, correct={})
    np.testing.assert_equal(found.correct, ANSWERS)
    assert found.paired.tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


def test_models_and_variants_are_written_by_name(tmp_path: Path):
    result(variant=VARIANT).write(tmp_path)
    said = read_json(tmp_path / "cell.json")
    assert said["variant"] == VARIANT
    assert said["models"]["zero_shot"] == {
        "stage": "Finetune/zero_shot",
        "accuracy": 0.25,
        "only": None,
    }
    assert "correct" not in said


def test_what_did_not_finish_is_read_as_it_was_written(tmp_path: Path):
    skipped = SkippedCell(**vars(place(variant=VARIANT)), skipped="weak is not below strong")
    failed = Failed(**vars(place()), reason="out of memory", error="MemoryError", traceback="...")
    for written in (skipped, failed):
        clear(tmp_path)
        assert read(tmp_path) is None
        written.write(tmp_path)
        assert read(tmp_path) == written


def test_a_cell_is_named_by_all_that_tells_it_from_others():
    title = "toy: l <- s on toys, naive, seed 0, recipe.betas=[0.9,0.98], sizes.test=50, ~loss.hard"
    assert place(variant=VARIANT).title == title


def test_seeds_are_averaged_and_variants_are_not():
    assert place(seed=0).group == place(seed=1).group
    assert place(variant=VARIANT).group != place().group
    assert place(digest="a").group != place(digest="b").group
    assert place(digest="a").group.label == place(digest="b").group.label


@pytest.mark.parametrize("wrong", [np.ones(3, np.uint8), None])
def test_files_that_do_not_belong_together_are_refused(wrong: np.ndarray | None, tmp_path: Path):
    result().write(tmp_path)
    others = {role: answers for role, answers in ANSWERS.items() if role != "zero_shot"}
    save_file(others if wrong is None else others | {"zero_shot": wrong}, tmp_path / CORRECT)
    with pytest.raises(ValueError, match=r"has shapes .*, expected \(4,\) for each"):
        read(tmp_path)


def test_a_field_of_a_later_version_is_no_error(tmp_path: Path):
    result().write(tmp_path)
    write_json(tmp_path / "cell.json", read_json(tmp_path / "cell.json") | {"new": 1})
    assert isinstance(read(tmp_path), Result)


def test_cells_of_a_sweep_come_in_its_order_and_damaged_ones_with_what_is_wrong(tmp_path: Path):
    for folder in ("a", "b", "later"):
        clear(tmp_path / folder)
        result().write(tmp_path / folder)
    cells = [{"dir": folder} for folder in ("b", "a", "missing")]
    write_json(tmp_path / "sweep.json", {"name": "mine", "cells": cells, "stages": {"x": "y"}})
    write_json(tmp_path / "a" / "cell.json", {"task": "toy", "variant": "an=old,version=of"})
    sweep = read_sweep(tmp_path)
    assert (sweep.name, sweep.stages) == ("mine", 1)
    assert list(sweep.cells) == ["b", "a", "missing"]
    assert list(sweep.earlier) == ["later"]
    assert (len(sweep.results), sweep.pending) == (1, ["missing"])
    [damaged] = sweep.failures
    assert damaged.title == "a"
    assert "remove the folder and run the sweep again" in damaged.reason


def test_a_planned_cell_of_another_configuration_is_of_an_earlier_run(tmp_path: Path):
    for folder, digest in {"same": "a", "other": "b", "unknown": ""}.items():
        clear(tmp_path / folder)
        result(digest=digest).write(tmp_path / folder)
    cells = [{"dir": folder, "digest": "a"} for folder in ("same", "other", "unknown")]
    write_json(tmp_path / "sweep.json", {"cells": cells})
    sweep = read_sweep(tmp_path)
    assert (list(sweep.cells), list(sweep.earlier)) == (["same", "unknown"], ["other"])


def test_a_sweep_without_a_result_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="is no sweep"):
        read_sweep(tmp_path)
