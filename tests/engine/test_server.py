"""The server that workers are forked from: begun before there is work, and ended when there is
none."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from commands import eventually

from w2sweep.engine import server
from w2sweep.engine.pool import Pool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is none elsewhere")

LINGERING = """
import os, time
from pathlib import Path

Path({place!r}, "begun").write_text(os.environ.get("MKL_NUM_THREADS", "nobody said"))
while not Path({place!r}, "enough").exists():
    time.sleep(0.05)
"""


@pytest.fixture(autouse=True)
def _left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    server.end()
    yield
    server.end()


@pytest.fixture
def lingering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a module, `lingering`, whose import writes `begun` and ends when there is
    `enough`."""
    (tmp_path / "lingering.py").write_text(LINGERING.format(place=str(tmp_path)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    return tmp_path


def pid() -> int:
    found: Any = forkserver
    return found._forkserver._forkserver_pid


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_are_forked_from_the_server_that_was_begun_for_them():
    server.begin([], 3)
    first = pid()
    with Pool(1, threads=3) as pool:
        pool.give("parent", os.getppid)
        assert [ended.value for ended in pool.wait(60)] == [first]
    server.begin([], 3)
    assert pid() == first
    with Pool(1, threads=2) as pool:  # whose libraries would compute with other threads
        pool.give("parent", os.getppid)
        assert [ended.value for ended in pool.wait(60)] == [pid()]
    assert pid() != first
    assert not lives(first)


def test_what_it_imports_is_told_of_threads_and_this_process_is_not(lingering: Path):
    server.begin(["lingering"], 5)
    (lingering / "enough").touch()
    assert eventually(lambda: (lingering / "begun").exists())
    assert eventually(lambda: (lingering / "begun").read_text() == "5")
    assert "MKL_NUM_THREADS" not in os.environ


def test_it_is_ended_in_the_middle_of_its_imports(lingering: Path):
    with server.ended_after():
        server.begin(["lingering"], 1)
        process = pid()
        assert eventually(lambda: (lingering / "begun").exists())
        assert lives(process)
    assert not lives(process)
    server.end()  # once more does nothing
    with Pool(1, threads=1) as pool:  # and another one may follow
        pool.give("parent", os.getppid)
        assert [ended.value for ended in pool.wait(60)] == [pid()]


def test_ctrl_c_does_not_reach_its_imports(lingering: Path, capfd: pytest.CaptureFixture[str]):
    server.begin(["lingering"], 1)
    process = pid()
    assert eventually(lambda: (lingering / "begun").exists())
    os.kill(process, signal.SIGINT)
    (lingering / "enough").touch()
    with Pool(1, threads=1, preload=["lingering"]) as pool:
        pool.give("parent", os.getppid)
        assert [ended.value for ended in pool.wait(60)] == [process]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert capfd.readouterr().err == ""
