"""What workers import is imported while cells are planned, and nothing is left of that where no
worker is needed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from commands import QUIET, cells, complaint, eventually, of_sweep, started, w2sweep

from w2sweep.engine import server
from w2sweep.interface import command, launching

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no server elsewhere")

LOCAL = ("hydra/launcher=stages_local", "hydra.launcher.n_jobs=2")
GRID = ("task=pretend", "seed=0,1")
LINGERING = """
import time
from pathlib import Path

Path("begun").touch()
while True:
    time.sleep(1)
"""
TOLD = """
from multiprocessing.forkserver import _forkserver
from pathlib import Path

from w2sweep.engine.pool import Pool
from w2sweep.interface import command, launching


def told(call, what):
    def instead(*arguments):
        with Path("servers").open("a") as file:
            file.write(f"{what} {_forkserver._forkserver_pid}\\n")
        return call(*arguments)
    return instead


launching.cores = lambda: 2
command.Cells.planned = told(command.Cells.planned, "planning")
Pool.give = told(Pool.give, "working")
command.main()
"""
"""A command that writes which server there is when it plans, and whenever a worker gets work."""


@pytest.fixture
def lingering(folder: Path) -> str:
    """The launcher's option to import a module that never comes to an end."""
    (folder / "lingering.py").write_text(LINGERING)
    return "hydra.launcher.preload=[lingering]"


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Sequence[str], int]]:
    """The servers that commands in this process begin, which do not exist."""
    found: list[tuple[Sequence[str], int]] = []
    monkeypatch.setattr(server, "begin", lambda *asked: found.append(asked))
    monkeypatch.setattr(launching, "cores", lambda: 2)
    return found


def test_workers_come_from_a_server_that_was_there_when_cells_were_planned(folder: Path):
    w2sweep(folder, *GRID, *LOCAL, "hydra.launcher.preload=[]", "sweep=early", python=TOLD)
    told = [line.split() for line in (folder / "servers").read_text().splitlines()]
    [at_first, *_], processes = zip(*told, strict=True)
    assert (at_first, told[-1][0]) == ("planning", "working")
    assert len(set(processes) - {"None"}) == len(set(processes)) == 1
    assert len(cells(folder, "early")) == 2


def test_cells_that_are_there_do_not_wait_for_a_server(folder: Path, lingering: str):
    w2sweep(folder, *GRID, *LOCAL, "hydra.launcher.preload=[]", "sweep=first")
    for _ in range(2):  # the second one has its report already
        done = w2sweep(folder, *GRID, *LOCAL, lingering, "sweep=second")
        assert "0 cells to run, 2 answered" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_still_imports_ends_with_the_command(
    folder: Path, lingering: str, end: signal.Signals
):
    words = (*GRID, *LOCAL, lingering, "sweep=ended")
    with started(folder, *words) as sweep:
        assert eventually((folder / "begun").exists)
        reach = os.killpg if end == signal.SIGINT else os.kill  # a terminal tells all processes
        reach(sweep.pid, end)
        said = sweep.communicate(timeout=60)[1]
    # Python ends itself by SIGINT where it met code in a string, such as a dataclass is made by; a
    # shell calls both 130.
    assert sweep.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in said
    assert eventually(lambda: not of_sweep(folder), seconds=30)


@pytest.mark.parametrize("words", [("plan=json", *LOCAL), ("--cfg=job", *LOCAL), ("plan=json",)])
def test_what_runs_nothing_begins_no_server(
    folder: Path, begun: list[Any], words: Sequence[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "argv", ["w2sweep", *QUIET, *GRID, *words])
    command.main()
    assert begun == []


@pytest.mark.parametrize(("cache", "servers"), [("read-only", 0), ("retry", 1)])
def test_a_store_that_is_only_read_needs_no_server(
    folder: Path,
    begun: list[Any],
    cache: str,
    servers: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    words = (*GRID, *LOCAL, "sizes.test=-1", f"cache={cache}")
    assert complaint(monkeypatch, capsys, *words)[0] == 2
    assert len(begun) == servers


def test_a_wrong_cell_leaves_no_server(
    folder: Path,
    lingering: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    begun: list[int] = []

    def begin(*asked: Any) -> None:
        real(*asked)
        begun.append(forkserver._forkserver._forkserver_pid)  # type: ignore[attr-defined]

    real = server.begin
    monkeypatch.setattr(server, "begin", begin)
    monkeypatch.setattr(launching, "cores", lambda: 2)
    code, said = complaint(monkeypatch, capsys, *GRID, *LOCAL, lingering, "sizes.test=-1")
    assert (code, len(said.splitlines())) == (2, 1)
    [process] = begun
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_machine_with_one_core_has_none_to_spare(
    folder: Path, begun: list[Any], monkeypatch: pytest.MonkeyPatch
):
    launcher = {"_target_": launching.LOCAL, "preload": ["math"], "n_jobs": None}
    launching.make_ready(launcher, 3)
    assert begun == [(("math",), 3)]
    monkeypatch.setattr(launching, "cores", lambda: 1)
    launching.make_ready(launcher, 3)
    assert len(begun) == 1
