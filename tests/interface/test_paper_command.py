"""`w2sweep-paper`: what it runs, what it refuses, and how it exits."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from w2sweep.interface import paper_command
from w2sweep.interface.paper_command import main

CHEAP = ["--only", "overview", "task=sentiment,preference", "seed=0"]


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that are run, none of which does anything."""
    monkeypatch.chdir(tmp_path)
    commands: list[list[str]] = []

    def run(command: list[str]) -> SimpleNamespace:
        commands.append(command[1:])
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_sweeps_are_run_one_by_one_and_the_page_is_written_whatever_becomes_of_them(ran, capsys):
    assert main(CHEAP) == 1
    assert ran == [["-m", "w2sweep", "-cn", "overview", *CHEAP[2:]]]
    said = capsys.readouterr()
    assert "6 cells in overview; " in said.err
    assert said.out == f"page     {paper_command.FOLDER / 'index.html'}\n"
    assert "Not run" in (paper_command.FOLDER / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "overwiev"], "--only: found 'overwiev', expected some of overview"),
        (["--only", "overview", "sweep=mine"], "each sweep of the paper has its own name"),
        (["--only", "overview", "metod=naive"], "metod"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_run(words, message, ran, capsys):
    with pytest.raises(SystemExit) as exited:
        main(words)
    assert exited.value.code == 2
    assert message in capsys.readouterr().err
    assert not ran
