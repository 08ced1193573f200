"""The server that workers are forked from, on Linux.

It imports what workers need, once: a new worker is there in milliseconds, and shares its memory
with the others. The server itself computes nothing, so that neither threads nor a GPU have to
survive a fork. Elsewhere libraries of the system do not survive one, and there is no server.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from typing import Any

THERE = sys.platform == "linux"
"""Whether this system has one."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""The variables by which libraries are told how many threads to compute with, when they are
imported."""


@dataclass(frozen=True)
class _Task:
    """What a server was begun with."""

    preload: tuple[str, ...]
    threads: int


_AT: list[_Task] = []
"""Of the server that this process has begun; none: it has begun none."""


def begin(preload: Sequence[str], threads: int) -> None:
    """Has a server import modules, which are to compute with so many threads, while this process
    goes on. Where there is one with the same ones already, there is nothing to be done; one with
    others is ended. On systems without such servers nothing happens."""
    if not THERE:
        return
    task = _Task(tuple(preload), threads)
    if [task] != _AT:
        end()
    with threads_told(threads), _out_of_reach_of_ctrl_c():
        forkserver.set_forkserver_preload([*preload])
        forkserver.ensure_running()
    _AT[:] = [task]


def end() -> None:
    """Ends the server that was begun, if one was, also while it imports. Of workers that live it
    would not be known any more how they end."""
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    if _AT and server._forkserver_pid is not None:
        os.kill(server._forkserver_pid, signal.SIGKILL)
        server._stop()  # which alone would wait until everything is imported
    _AT.clear()


@contextmanager
def ended_after() -> Iterator[None]:
    """However the block is left, no server is left behind."""
    try:
        yield
    finally:
        end()


@contextmanager
def threads_told(threads: int) -> Iterator[None]:
    """Tells processes that are started in the block how many threads to compute with, where nobody
    has told them."""
    told = [name for name in THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(told, str(threads)))
    try:
        yield
    finally:
        for name in told:
            os.environ.pop(name, None)


@contextmanager
def _out_of_reach_of_ctrl_c() -> Iterator[None]:
    """Ctrl-C is meant for this process, and never comes to one that is started in the block."""
    resource_tracker.ensure_running()  # which the server needs, and whose start lifts such blocks
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
