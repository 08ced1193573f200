"""Working folders: what an owner of a lease takes over from earlier ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from w2sweep.engine import working
from w2sweep.engine.leases import Lease, claim


def owner(root: Path, *files: str) -> Lease:
    """Takes the lease over from whoever has it, and leaves these files in its folder."""
    for lease in root.glob(".leases/k/k.*"):
        os.utime(lease, (0, 0))
    lease = claim(root, "k", lease_s=60)
    assert lease
    for file in files:
        working.folder_of(lease).mkdir(parents=True, exist_ok=True)
        (working.folder_of(lease) / file).touch()
    return lease


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def folders(root: Path) -> list[str]:
    return names(root / ".working")


def test_the_folder_has_the_checkpoints_of_an_earlier_owner_and_nothing_else(tmp_path: Path):
    owner(tmp_path, "checkpoint.pt", "half", ".deliver.x")
    lease = owner(tmp_path)
    assert working.adopt(lease)
    assert names(working.folder_of(lease)) == ["checkpoint.pt"]
    assert folders(tmp_path) == ["k.2"]


def test_what_was_left_without_a_checkpoint_is_removed(tmp_path: Path):
    owner(tmp_path, "half")
    lease = owner(tmp_path)
    assert not working.adopt(lease)
    assert names(working.folder_of(lease)) == []
    assert folders(tmp_path) == ["k.2"]


def test_what_earlier_owners_left_can_be_discarded(tmp_path: Path):
    owner(tmp_path, "half")
    owner(tmp_path, "checkpoint.pt")
    working.discard(owner(tmp_path))
    assert folders(tmp_path) == []


@pytest.mark.parametrize("files", [("half",), ("checkpoint.pt", "half")])
def test_a_folder_of_which_files_are_removed_cannot_be_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: tuple[str, ...]
):
    """Its owner only slept, and wakes up just then."""
    sleeper = owner(tmp_path, *files)
    tries: list[str] = []

    def commit(*args: object) -> None:
        with pytest.raises(FileNotFoundError):
            working.folder_of(sleeper).rename(tmp_path / "k")
        tries.append("commit")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *args, **options: commit())
        patched.setattr(working, "remove", commit)
        working.adopt(owner(tmp_path))
    assert tries
    assert not (tmp_path / "k").exists()


def test_an_owner_may_commit_just_before_its_folder_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    gone = working.folder_of(owner(tmp_path))
    monkeypatch.setattr(working, "_earlier", lambda lease: [gone])
    lease = owner(tmp_path)
    assert not working.adopt(lease)
    assert names(working.folder_of(lease)) == []
