"""Splits as a store hands them out: what a process has read once it does not read again, and no
reader sees of that."""

from __future__ import annotations

from pathlib import Path

import pytest
from toys import setting, store

from w2sweep.engine.failures import Damaged
from w2sweep.engine.store import Store
from w2sweep.experiment.splits import Splits


@pytest.fixture
def splits() -> Splits:
    return setting().splits


@pytest.fixture
def shelf(tmp_path: Path, splits: Splits) -> Store:
    made = store(tmp_path / "store")
    made.ensure(splits)
    return made


def test_a_file_is_read_again_only_when_it_has_changed(shelf: Store, splits: Splits):
    first, second = shelf.get(splits), shelf.get(splits)
    assert first == second
    assert all(a is b for a, b in zip(first["test"], second["test"], strict=True))
    file = shelf.path(splits) / "test.jsonl"
    lines = file.read_text("utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[1:]), "utf-8")
    assert splits.read(shelf.path(splits))["test"] == first["test"][1:]


def test_who_changes_what_he_was_given_changes_it_for_nobody_else(shelf: Store, splits: Splits):
    expected = shelf.get(splits)
    shelf.get(splits)["test"].clear()
    shelf.get(splits).clear()
    assert shelf.get(splits) == expected


def test_damage_and_loss_are_noticed_of_what_was_read_before(shelf: Store, splits: Splits):
    expected = shelf.get(splits)
    file = shelf.path(splits) / "test.jsonl"
    file.write_text("{}\n", "utf-8")
    with pytest.raises(Damaged):
        shelf.get(splits)
    shelf.ensure(splits)
    assert shelf.get(splits) == expected
    file.unlink()
    with pytest.raises(Damaged):
        shelf.get(splits)


def test_the_same_splits_of_two_stores_are_read_by_themselves(
    shelf: Store, splits: Splits, tmp_path: Path
):
    other = store(tmp_path / "other")
    other.ensure(splits)
    assert shelf.get(splits) == other.get(splits)
    assert shelf.get(splits)["test"][0] is not other.get(splits)["test"][0]
