"""Files appear whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from w2sweep.engine import files
from w2sweep.engine.files import read_json, replacing, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_takes_the_place_of_the_old_one_when_it_is_whole(tmp_path: Path):
    file = tmp_path / "a.json"
    write_text(file, "old")
    with replacing(file) as new:
        new.write_text("new")
        assert file.read_text() == "old"
        assert new.suffix == ".json"  # some writers go by it
        assert new.name.startswith(".")  # and readers pass over what is hidden
    assert file.read_text() == "new"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException):
    file = tmp_path / "a.txt"
    write_text(file, "old")

    def write_half() -> None:
        with replacing(file) as new:
            new.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert file.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_an_error_while_it_takes_its_place_leaves_nothing(tmp_path: Path):
    (tmp_path / "a").mkdir()  # which no file can replace
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path / "a", "whole")
    assert names(tmp_path) == ["a"]


def test_two_writers_do_not_meet(tmp_path: Path):
    file = tmp_path / "a"
    with replacing(file) as first, replacing(file) as second:
        first.write_text("first")
        second.write_text("second")
    assert file.read_text() == "first"  # which was done last
    assert names(tmp_path) == ["a"]


def test_processes_may_write_one_file_at_once(tmp_path: Path):
    file = tmp_path / "a.json"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_often, args=(file, letter)) for letter in "ab"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if file.exists():
            assert len(set(read_json(file))) == 1
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert names(tmp_path) == ["a.json"]


def _write_often(file: Path, letter: str) -> None:
    os.getpid = lambda: 1  # as in two containers, whose processes have the same numbers
    for _ in range(200):
        write_json(file, letter * 10_000)


def test_json_is_read_as_it_was_written(tmp_path: Path):
    content = {"name": "Zürich", "rows": [1, 2.5, None, True]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    assert "Zürich" in (tmp_path / "a.json").read_text("utf-8")


def test_what_the_dead_have_half_written_is_swept_up_and_nothing_else(tmp_path: Path):
    def write_and_die() -> None:
        for name in ("cell.json", "text"):
            with files.replacing(tmp_path / name) as new:
                new.write_text("half")
                (tmp_path / f"{files.half_written('report')}{name[:4]}").mkdir()
                if name == "text":
                    os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=write_and_die)
    process.start()
    process.join()
    with files.replacing(tmp_path / "mine.json") as mine:
        mine.write_text("half")
        for name in (".clock", ".k.lease.1", ".k.12", ".report", ".a.0123abcd.json"):
            (tmp_path / name).touch()
        kept = sorted(p.name for p in tmp_path.iterdir() if f"-{process.pid}-" not in p.name)
        assert len(list(tmp_path.iterdir())) == len(kept) + 3
        files.sweep_up(tmp_path)
        assert sorted(p.name for p in tmp_path.iterdir()) == kept
    files.sweep_up(tmp_path / "nowhere")
