"""What every command answers: its version; and what the shell completes."""

from __future__ import annotations

import importlib
import sys
import tomllib

import pytest
from conftest import REPOSITORY

from w2sweep import __version__

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.mark.parametrize("command", PROJECT["scripts"])
def test_a_command_tells_the_version(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    module, _, function = PROJECT["scripts"][command].partition(":")
    monkeypatch.setattr(sys, "argv", [command, "--version"])
    main = getattr(importlib.import_module(module), function)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"w2sweep {__version__}\n"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("task=senti", "task=sentiment"), ("ladder=gp", "ladder=gpt2"), ("see", "seed=")],
)
def test_the_shell_completes(
    typed: str,
    completed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    from w2sweep.interface.command import main

    monkeypatch.setenv("COMP_LINE", f"w2sweep {typed}")
    monkeypatch.setattr(sys, "argv", ["w2sweep", "-sc", "query=bash"])
    main()
    assert capsys.readouterr().out.split() == [completed]
