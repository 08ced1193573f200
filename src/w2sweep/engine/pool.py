"""A pool of worker processes that lives as long as its context.

Each worker runs one call at a time, and the pool knows which. So the death of a worker costs its
own call and nothing else, and it is known what the worker was at and how it died: the executors of
`concurrent.futures` and joblib end all workers when one dies, and do not say which call it was.

On Linux workers are forked from a server that has imported what they need (see `server`).
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from w2sweep.engine import server
from w2sweep.engine.owners import Owner, end_with
from w2sweep.engine.processes import SPAWN, cause_of_death, sendable, use_known_start_method

STOPPING_S = 3.0
"""How long workers may take to give back what they hold, before they are killed."""


@dataclass(frozen=True)
class Ended:
    """A call that is over."""

    task: Any
    """The `task` that `Pool.give` was given with it."""
    value: Any = None
    """What it returned."""
    error: BaseException | None = None
    """What it raised."""
    death: str | None = None
    """How its worker died, as in `was killed by SIGKILL`; None: it lives."""


class Pool:
    """Worker processes. Use it as a context, at whose end all of them are ended.

    Args:
        workers: how many there are at most; one is started when it is given something.
        threads: how many threads each of them computes with.
        begin: is called by each worker before anything else.
        preload: modules that workers need and that take long to import.
    """

    def __init__(
        self,
        workers: int,
        threads: int,
        begin: Callable[[], object] | None = None,
        preload: Sequence[str] = (),
    ):
        self._begin, self._preload, self._threads = begin, preload, threads
        self._workers: list[_Worker | None] = [None] * workers
        self._variables = server.threads_told(threads)

    def __enter__(self) -> Pool:
        use_known_start_method()
        method = "forkserver" if server.THERE else SPAWN
        self._context: Any = multiprocessing.get_context(method)
        server.begin(self._preload, self._threads)
        self._variables.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        there = [worker for worker in self._workers if worker]
        for worker in there:
            worker.stop()
        for worker in there:
            worker.end()
        self._variables.__exit__(None, None, None)

    @property
    def size(self) -> int:
        """How many workers it may have."""
        return len(self._workers)

    @property
    def idle(self) -> int:
        """How many calls it has room for."""
        return self.size - self.busy

    @property
    def busy(self) -> int:
        """How many calls it is at."""
        return sum(worker is not None and worker.busy for worker in self._workers)

    def give(self, task: Any, call: Callable[..., Any], *arguments: Any) -> None:
        """Has an idle worker, of which there must be one, run a call. `task` is whatever the caller
        wants to know the call by when it is over."""
        free = [i for i, worker in enumerate(self._workers) if not worker or not worker.busy]
        living = [i for i in free if self._workers[i]]
        i = (living or free)[0]
        worker = self._workers[i]
        if worker is None:
            worker = self._workers[i] = _Worker(self._context, self._begin)
        worker.give(task, call, arguments)

    def wait(self, timeout_s: float | None) -> list[Ended]:
        """The calls that are over, as soon as there are some; none when the time is over."""
        by_pipe = {worker.pipe: i for i, worker in enumerate(self._workers) if worker}
        found = []
        for pipe in wait(list(by_pipe), timeout_s):
            i = by_pipe[pipe]  # type: ignore[index]
            worker = self._workers[i]
            assert worker is not None
            ended = worker.hear()
            if ended.death is not None:
                self._workers[i] = None  # the next call starts another one
            if ended.task is not None:  # else it died while it had nothing to do
                found.append(ended)
        return found


class _Worker:
    """A process, as the pool sees it."""

    def __init__(self, context: Any, begin: Callable[[], object] | None):
        self.task: Any = None
        self.pipe, theirs = context.Pipe()
        orders = (theirs, Owner.this(), dict(os.environ), begin)
        self._process = context.Process(target=_serve, args=orders)
        self._process.start()
        theirs.close()

    @property
    def busy(self) -> bool:
        return self.task is not None

    def give(self, task: Any, call: Callable[..., Any], arguments: Sequence[Any]) -> None:
        self.task = task
        with suppress(OSError):  # it is dead, which `hear` will tell
            self.pipe.send((call, arguments))

    def hear(self) -> Ended:
        """Waits until its call is over, or it is dead."""
        task, self.task = self.task, None
        try:
            value, error = self.pipe.recv()
        except (EOFError, OSError):
            return Ended(task, death=self.end())
        return Ended(task, value, error)

    def stop(self) -> None:
        """Tells it to end."""
        with suppress(OSError):
            self.pipe.send(None)
        if self.busy:
            self._process.terminate()

    def end(self) -> str:
        """Waits for its end, but not for long. Returns how it ended."""
        self._process.join(STOPPING_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self.pipe.close()
        return cause_of_death(self._process.exitcode)


def _serve(
    pipe: Connection,
    launcher: Owner,
    environment: Mapping[str, str],
    begin: Callable[[], object] | None,
) -> None:
    """What a worker does. Ctrl-C is meant for the launcher, which ends its workers."""
    os.environ.clear()  # the server may be older than what was set in it
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    end_with(launcher)
    gc.freeze()  # what the server imported is not looked through, and so stays shared
    with suppress(KeyboardInterrupt, EOFError, BrokenPipeError):
        error = _failure(begin) if begin else None
        while (orders := pipe.recv()) is not None:
            pipe.send(_answer(*orders) if error is None else (None, error))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _failure(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except Exception as error:
        return sendable(error)
    return None


def _answer(call: Callable[..., Any], arguments: Sequence[Any]) -> tuple[Any, BaseException | None]:
    try:
        return call(*arguments), None
    except Exception as error:
        return None, sendable(error)
