"""Failures of stages: what is raised, and what is kept for other workers and later sweeps."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from w2sweep.engine.files import read_json
from w2sweep.engine.record import WrongRecord
from w2sweep.engine.stage import Stage

FAILED = ".failed"
"""Where, beside the results of a class, the failures of its stages are."""
Handler = Callable[[int, FrameType | None], Any]
"""Of a signal."""


class StageFailed(RuntimeError):
    """A stage raised an error, now or earlier in this sweep. One line: which stage, and why."""

    def __init__(self, what: str, error: str, reason: str, trace: str):
        # with all four as arguments it survives being pickled by a launcher
        super().__init__(what, error, reason, trace)
        self.what, self.error, self.reason, self.trace = what, error, reason, trace

    def __str__(self) -> str:
        return f"{self.what} failed: {self.error}: {self.reason}"


class MachineFailed(StageFailed):
    """It failed by no fault of its own: the disk is full, or the memory. Nothing is remembered of
    it, and it goes on from its checkpoint elsewhere, or later."""


class Missing(LookupError):
    """A result is not in the store, and this store may not compute it."""

    def __str__(self) -> str:
        return str(self.args[0])


class Damaged(WrongRecord):
    """A result is not what was written. It was removed, so that `Store.ensure` computes it
    again."""


class LeaseLost(RuntimeError):
    """This worker was taken for dead while it computed, and another one took over. Nothing is lost
    but time."""


class Interrupted(BaseException):
    """What a signal's handler raised while a stage ran: the end of a job's time, a pre-emption. The
    stage has done nothing wrong, and goes on from its checkpoint elsewhere, or later."""

    def __init__(self, error: Exception):
        super().__init__(error)
        self.error = error


def failure_of(
    stage: Stage[Any],
    error: Exception,
    note: str = "",
    kind: type[StageFailed] = StageFailed,
) -> StageFailed:
    """The failure that `error` is to `stage`; `note` is added to its reason."""
    reason = " ".join(str(error).split()) or "no message"
    trace = "".join(traceback.format_exception(error))
    return kind(full_name(stage), type(error).__name__, reason + note, trace)


MACHINES = (
    os.strerror(errno.ENOSPC),  # libraries that are not written in Python
    os.strerror(errno.EDQUOT),
    "can't allocate memory",  # torch, on a CPU
    "out of memory",
    "ALLOC_FAILED",
    "ECC error",
    "device(s) is/are busy or unavailable",
)
"""What errors say that are no fault of the stage, whatever their type is."""


def is_machines_fault(error: Exception) -> bool:
    """Whether the stage may well work elsewhere, or later: then its checkpoint is kept, and nothing
    is remembered of the error."""
    if isinstance(error, OSError | MemoryError | WrongRecord):
        return True
    out_of_memory = (
        type(error).__name__ == "OutOfMemoryError"
    )  # of torch, which nobody imports for it
    return out_of_memory or any(words in str(error) for words in MACHINES)


NETWORKS = ("huggingface_hub", "httpx", "httpcore", "requests", "urllib3", "urllib", "http")
"""Packages whose errors tell that something elsewhere was not reached, or not there."""


def is_networks_fault(error: BaseException) -> bool:
    """Whether something elsewhere did not answer. Asked again it would as little, so that this
    holds for the rest of the sweep; but the stage has done nothing wrong."""
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
        return True
    if type(error).__module__.partition(".")[0] in NETWORKS:
        return True
    before = error.__cause__ or error.__context__
    return before is not None and is_networks_fault(before)


@contextmanager
def interruptions_apart() -> Iterator[None]:
    """Raises Interrupted, from an error that the handler of a signal raises in the block.

    A launcher's handler tells by an ordinary exception that a job's time is over, in the middle of
    whatever is running: it would look like an error of the stage's own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled elsewhere
        return
    handlers = {signum: signal.getsignal(signum) for signum in signal.valid_signals()}
    ours = {signum: _apart(handler) for signum, handler in handlers.items() if callable(handler)}
    for signum, handler in ours.items():
        signal.signal(signum, handler)
    try:
        yield
    finally:
        for signum, handler in ours.items():
            if signal.getsignal(signum) is handler:
                signal.signal(signum, handlers[signum])


def _apart(handler: Handler) -> Handler:
    def wrapped(signum: int, frame: FrameType | None) -> Any:
        try:
            return handler(signum, frame)
        except Exception as error:
            raise Interrupted(error) from error

    return wrapped


def failure_file(root: Path, stage: Stage[Any]) -> Path:
    """Where a store at `root` keeps the failure of a stage."""
    return root / stage.name.rpartition("/")[0] / FAILED / f"{stage.key}.json"


def failures_in(folder: Path, since: float) -> Iterator[tuple[str, StageFailed]]:
    """Name, and why, of what has failed since then of a type of stage, whose folder in a store
    this is."""
    for file in sorted((folder / FAILED).glob("[!.]*.json")):
        with suppress(OSError, ValueError, TypeError):
            if file.stat().st_mtime >= since:
                yield f"{folder.name}/{file.stem}", StageFailed(**read_json(file))


def full_name(stage: Stage[Any]) -> str:
    """What messages call a stage, with its place in the store."""
    return stage.what if stage.what == stage.name else f"{stage.what} ({stage.name})"
