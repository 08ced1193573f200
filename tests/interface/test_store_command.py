"""The command that looks at a store: what it finds, what it removes, how it exits."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from arithmetic import Number, Sum, hidden

from w2sweep.engine import inventory, record, working
from w2sweep.engine.leases import claim
from w2sweep.engine.stage import Stage, closure
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


def sweep(name: str, *stages: Stage[Any]) -> None:
    """A sweep in its usual place that names these stages."""
    folder = Path("outputs/sweeps", name)
    folder.mkdir(parents=True)
    names = {stage.name: stage.what for stage in closure(stages)}
    (folder / "sweep.json").write_text(json.dumps({"name": name, "stages": names}))


def aged(folder: Path) -> None:
    """Nobody has touched it for two hours."""
    for path in (path for path in folder.rglob("*") if ".leases" not in path.parts):
        os.utime(path, (time.time() - 7200, time.time() - 7200))


def test_sizes_count_what_sweeps_share_for_each_and_once_in_all(
    store: Store, capsys: pytest.CaptureFixture[str]
):
    sweep("one", Sum((Number(12), Number(13))))
    sweep("two", Number(13))
    assert main(["sizes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    results = {name: its["results"] for name, its in told["sweeps"].items()}
    assert results == {"outputs/sweeps/one": 3, "outputs/sweeps/two": 1, "(no sweep)": 1}
    assert {name: its["results"] for name, its in told["kinds"].items()} == {
        f"{type(Number(1)).__module__}.Number": 3,
        f"{type(Number(1)).__module__}.Sum": 1,
    }
    files = [file for result in record.results(store.root) for file in result.iterdir()]
    assert told["all"]["store"] == {"results": 4, "bytes": sum(f.stat().st_size for f in files)}
    assert main(["sizes", "--sweeps", "outputs/sweeps/two"]) == 0
    assert "(no sweep)" in capsys.readouterr().out


def test_what_no_sweep_names_is_removed_after_asking(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    sweep("one", Sum((Number(12),)), Number(12))
    assert main(["prune"]) == 0  # all of it was written just now
    assert "nothing to remove" in capsys.readouterr().err
    aged(store.root)
    assert main(["prune", "--dry-run"]) == 0
    assert "3 results that no sweep names" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main(["prune"]) == 0
    assert sum(map(store.done, (Number(12), Number(13), Number(14)))) == 3
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["prune"]) == 0
    assert "3 of 3 removed" in capsys.readouterr().err
    assert [store.done(Number(n)) for n in (12, 13, 14)] == [True, False, False]
    assert hidden(store.root) == []
    store.ensure(Number(14))
    assert main(["verify"]) == 0


def test_what_a_worker_has_in_hand_is_no_time_to_prune(
    store: Store, capsys: pytest.CaptureFixture[str]
):
    sweep("one", Number(12))
    aged(store.root)
    lease = claim(store.path(Number(15)).parent, Number(15).key, 600)
    assert lease
    working.adopt(lease)
    with pytest.raises(SystemExit) as exit:
        main(["prune", "--yes"])
    assert exit.value.code == 2
    assert f"{Number(15).name} is being computed and no sweep names it" in capsys.readouterr().err
    held = claim(store.path(Number(13)).parent, Number(13).key, 600)
    assert held
    shutil.rmtree(working.folder_of(lease))
    assert main(["prune", "--yes"]) == 1
    assert store.done(Number(13))


def test_of_what_the_dead_have_left_what_can_be_gone_on_with_stays(
    store: Store, capsys: pytest.CaptureFixture[str]
):
    sweep("one", Number(12), Number(20), Number(21))
    for n, file in ((20, "checkpoint.pt"), (21, "half"), (22, "checkpoint.pt"), (12, "half")):
        lease = claim(store.path(Number(n)).parent, Number(n).key, 600)
        assert lease
        working.adopt(lease)
        (working.folder_of(lease) / file).touch()
        lease.release()
    failed = store.path(Number(23)).parent / ".failed" / f"{Number(23).key}.json"
    failed.parent.mkdir()
    failed.write_text("{}")
    aged(store.root)
    assert main(["prune", "--yes", "--older-than", "60m"]) == 0
    [left] = store.root.glob("*/.working/*")
    assert left.name == f"{Number(20).key}.1"
    assert not failed.exists()


def test_without_a_sweep_nothing_is_pruned(store: Store, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit:
        main(["prune", "--yes"])
    assert exit.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "no sweep in outputs/sweeps, outputs/runs, outputs/paper" in line
