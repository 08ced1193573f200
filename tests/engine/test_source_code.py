"""The source of a user's own code: edits of it are edits of what it computes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
from arithmetic import Number

from w2sweep.engine.source_code import source
from w2sweep.engine.stage import Stage, identity
from w2sweep.tasks.rows import Formatter

MINE = """
import json
from w2sweep.values import value
from own_help import helped

@value
class Mine:
    a: int

    def double(self):
        return helped(self.a)

def formatter(row):
    yield row
"""
HELP = "def helped(a):\n    return 2 * a\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def imported(folder: Path, mine: str = MINE, help: str = HELP) -> ModuleType:
    """The module as a new process finds it."""
    (folder / "own_code.py").write_text(mine)
    (folder / "own_help.py").write_text(help)
    for name in ("own_code", "own_help"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    return importlib.import_module("own_code")


def test_an_edited_class_is_another_one(folder: Path):
    first = identity(imported(folder).Mine(1))
    assert identity(imported(folder).Mine(1)) == first
    assert identity(imported(folder, MINE + "\n# more\n").Mine(1)) != first


def test_so_is_one_whose_helper_in_another_file_is_edited(folder: Path):
    first = identity(imported(folder).Mine(1))
    assert identity(imported(folder, help=HELP.replace("2", "3")).Mine(1)) != first


def test_line_ends_are_no_edit(folder: Path):
    first = source(imported(folder).Mine)
    assert source(imported(folder, MINE.replace("\n", "\r\n")).Mine) == first


def test_an_edited_formatter_is_another_one(folder: Path):
    imported(folder)
    first = identity(Formatter("own_code.formatter"))
    imported(folder, MINE.replace("yield row", "yield from row"))
    assert identity(Formatter("own_code.formatter")) != first


def test_what_is_installed_has_a_version_and_what_is_ours_too():
    assert source(Stage) is None
    assert source(Formatter) is None
    assert source(Number) is not None
