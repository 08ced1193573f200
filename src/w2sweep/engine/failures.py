"""Failures of stages: what is raised, and what is kept for other workers and later sweeps."""

from __future__ import annotations

import errno
import os
import traceback
from typing import Any

from w2sweep.engine.stage import Stage


class StageFailed(RuntimeError):
    """A stage raised an error, now or earlier in this sweep. One line: which stage, and why."""

    def __init__(self, what: str, error: str, reason: str, trace: str):
        # with all four as arguments it survives being pickled by a launcher
        super().__init__(what, error, reason, trace)
        self.what, self.error, self.reason, self.trace = what, error, reason, trace

    def __str__(self) -> str:
        return f"{self.what} failed: {self.error}: {self.reason}"


class LeaseLost(RuntimeError):
    """This worker was taken for dead while it computed, and another one took over. Nothing is lost
    but time."""


def failure_of(stage: Stage[Any], error: Exception, note: str = "") -> StageFailed:
    """The failure that `error` is to `stage`; `note` is added to its reason."""
    reason = " ".join(str(error).split()) or "no message"
    trace = "".join(traceback.format_exception(error))
    return StageFailed(full_name(stage), type(error).__name__, reason + note, trace)


def is_machines_fault(error: Exception) -> bool:
    """Whether the stage may well work elsewhere, or later.

    Libraries that are not written in Python have errors of their own for a full disk.
    """
    return isinstance(error, OSError | MemoryError) or os.strerror(errno.ENOSPC) in str(error)


def full_name(stage: Stage[Any]) -> str:
    """What messages call a stage, with its place in the store."""
    return stage.what if stage.what == stage.name else f"{stage.what} ({stage.name})"
