"""The command that looks at a store: what it finds, what it removes, how it exits."""

from __future__ import annotations

from pathlib import Path

import pytest
from arithmetic import Number, Sum, hidden

from w2sweep.engine import inventory
from w2sweep.engine.store import Store
from w2sweep.interface.store_command import main


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in its usual place, with four results; of its files only the first byte is compared
    when they are read."""
    monkeypatch.setattr(inventory, "LARGE", 1)
    monkeypatch.setattr(inventory, "BEGINNING", 1)
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "outputs" / "store")
    store.ensure(Sum((Number(12), Number(13))), Number(14))
    return store


def test_a_whole_store_is_told_in_a_line(store: Store, capsys: pytest.CaptureFixture[str]):
    assert main(["verify"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "w2sweep-store: outputs/store: 4 results, 0 damaged\n"


def test_what_a_sweep_does_not_look_at_is_found_and_removed(
    store: Store, capsys: pytest.CaptureFixture[str]
):
    (store.path(Number(12)) / "n").write_text("19")
    assert store.get(Number(12)) == 19  # of a large file, the end is read here only
    assert main(["verify", str(store.root)]) == 1
    said = capsys.readouterr()
    [line] = said.out.splitlines()
    assert line == (
        f"{store.path(Number(12))} ({Number(12)}) is damaged: "
        "n is not what was written (its checksum is another)"
    )
    assert said.err.endswith("4 results, 1 damaged\n")

    assert main(["verify", "--remove"]) == 0
    assert not store.done(Number(12))
    assert store.done(Number(13))
    assert hidden(store.root) == []
    store.ensure(Number(12))
    assert main(["verify"]) == 0


def test_a_result_under_another_name_is_found(store: Store, capsys: pytest.CaptureFixture[str]):
    store.path(Number(12)).rename(store.path(Number(12)).with_name("0123456789abcdef"))
    assert main(["verify"]) == 1
    assert "holds another result" in capsys.readouterr().out


def test_one_result_can_be_looked_at(store: Store, capsys: pytest.CaptureFixture[str]):
    assert main(["verify", str(store.path(Number(13)))]) == 0
    assert "1 results, 0 damaged" in capsys.readouterr().err


def test_what_is_no_store_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SystemExit) as exit:
            main(["verify", str(folder)])
        assert exit.value.code == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"w2sweep-store: {folder} is no store: expected ")
