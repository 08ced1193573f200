"""Processes of one machine: how they end, and what they can tell each other."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
from contextlib import suppress

from w2sweep.engine.failures import is_machines_fault, is_networks_fault

SPAWN = "spawn"
"""How processes are started that share nothing with the one that starts them."""


def use_known_start_method() -> None:
    """Has this process start others by a method that every Python knows. A new process is told the
    default method of its parent, and dies where it does not know that: joblib's workers have a
    method of joblib's own."""
    if multiprocessing.get_start_method() not in multiprocessing.get_all_start_methods():
        multiprocessing.set_start_method(SPAWN, force=True)


def cause_of_death(code: int | None) -> str:
    """What an exit code says, in words that follow a name."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def sendable(error: BaseException) -> BaseException:
    """The error itself, or where it cannot be sent to another process one that is judged alike."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        kind: type[Exception] = RuntimeError
        if isinstance(error, Exception) and is_networks_fault(error):
            kind = ConnectionError
        elif isinstance(error, Exception) and is_machines_fault(error):
            kind = OSError
        return kind(f"{type(error).__name__}: {error}")
