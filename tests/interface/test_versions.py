"""Every command tells which version of the package it is of."""

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
