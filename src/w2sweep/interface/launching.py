"""How Hydra's launchers are used: so that the death of one worker costs the others nothing, and
none outlives its launcher.

All that knows the launchers' own ways.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any
from unittest import mock

from hydra.plugins.launcher import Launcher

from w2sweep.engine.owners import Owner, end_with

SUBMITIT = "hydra_plugins.hydra_submitit_launcher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher"
BASIC = "hydra._internal.core_plugins.basic_launcher"
WAIT_S = 0.2
"""Between two looks for a worker that has ended."""


def launch(launcher: Launcher, jobs: Sequence[Sequence[str]], at_once: int) -> None:
    """Runs a job for each of these lists of overrides; at most so many on this machine at once.

    Raises the error of a job that died, after all others have ended.
    """
    kind = type(launcher).__module__
    if kind.startswith(JOBLIB):
        _end_with_this_process(launcher)
    if not kind.startswith(SUBMITIT):
        returned = launcher.launch(jobs, initial_job_idx=0)
    else:
        with _waiting_for_all(), _few_at_once(at_once):
            returned = launcher.launch(jobs, initial_job_idx=0)
    for job in returned:
        _ = job.return_value  # raises what the job raised


def workers(launcher: Launcher, at_once: int) -> int | None:
    """How many jobs a launcher runs on this machine at once, where no more than `at_once` have
    room; None where it is for a cluster to say."""
    kind = type(launcher)
    if kind.__module__.startswith(BASIC):
        return 1
    if kind.__module__.startswith(JOBLIB):
        asked = int(getattr(launcher, "joblib", {}).get("n_jobs", -1))
        return asked if asked > 0 else max(1, cores() + 1 + asked)
    return at_once if kind.__name__ == "LocalLauncher" else None


def cores() -> int:
    """Of this machine, those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end_with_this_process(launcher: Any) -> None:
    """Has joblib's workers, also those that never get a job, end when this process does."""
    launcher.joblib["initializer"] = functools.partial(end_with, Owner.this())


class _Died:
    """What a job returned that died."""

    def __init__(self, error: Exception):
        self.error = error

    @property
    def return_value(self) -> Any:
        raise self.error


@contextmanager
def _waiting_for_all() -> Iterator[None]:
    """The launcher waits for one job of submitit after the other; the first that died would be the
    last that it waits for, while the others run on."""
    from submitit.core.core import Job

    results = Job.results

    def told(self: Any) -> list[Any]:
        try:
            return results(self)
        except Exception as error:
            return [_Died(error)]

    with mock.patch.object(Job, "results", told):
        yield


@contextmanager
def _few_at_once(at_once: int) -> Iterator[None]:
    """Processes that submitit starts on this machine wait for their turn, are not reached by the
    Ctrl-C that is meant for the sweep, and are ended where the block raises."""
    from submitit.local import local

    running: list[subprocess.Popen] = []

    def start(*arguments: Any, **options: Any) -> Any:
        while sum(process.poll() is None for process in running) >= at_once:
            time.sleep(WAIT_S)
        running.append(subprocess.Popen(*arguments, start_new_session=True, **options))
        return running[-1]

    with mock.patch.object(local, "subprocess", SimpleNamespace(Popen=start)):
        try:
            yield
        except BaseException:
            for process in running:
                _kill(process)
            raise


def _kill(process: subprocess.Popen) -> None:
    """Ends a process and all that it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
