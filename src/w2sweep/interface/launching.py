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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any
from unittest import mock

from hydra.plugins.launcher import Launcher

from w2sweep.building import made
from w2sweep.engine import gpus, server
from w2sweep.engine.owners import Owner, end_with
from w2sweep.engine.runtime import Runtime
from w2sweep.values import value

SUBMITIT = "hydra_plugins.hydra_submitit_launcher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher"
LOCAL = "hydra_plugins.w2sweep.StagesLocal"
BASIC = "hydra._internal.core_plugins.basic_launcher"
WAIT_S = 0.2
"""Between two looks for a worker that has ended."""


@value
class LocalOptions:
    """The settings of `hydra/launcher=stages_local`."""

    n_jobs: int | None = None
    """Workers; None: as many as have cores of their own; below 0 as joblib counts."""
    preload: tuple[str, ...] = ()
    """Modules that are imported once, before workers are forked. (On Linux alone.)"""


def make_ready(launcher: Mapping[str, Any], threads: int) -> None:
    """Has imported what workers need, by a launcher that is configured so, while this process goes
    on; where they are of this machine, and it has a core for that."""
    if launcher.get("_target_") == LOCAL and cores() > 1:
        options = {key: held for key, held in launcher.items() if key != "_target_"}
        server.begin(local_options(options).preload, threads)


def launch(launcher: Launcher, jobs: Sequence[Sequence[str]], runtime: Runtime) -> None:
    """Runs a job for each of these lists of overrides; on this machine at most as many at once as
    have cores of their own.

    Raises the error of a job that died, after all others have ended.
    """
    kind = type(launcher).__module__
    if kind.startswith(JOBLIB):
        _prepare_workers(launcher, runtime)
    if not kind.startswith(SUBMITIT):
        returned = launcher.launch(jobs, initial_job_idx=0)
    else:
        with _waiting_for_all(), _few_at_once(room(runtime)):
            returned = launcher.launch(jobs, initial_job_idx=0)
    for job in returned:
        _ = job.return_value  # raises what the job raised


def workers(launcher: Launcher, at_once: int) -> int | None:
    """How many jobs a launcher runs on this machine at once, where no more than `at_once` have
    room; None where it is for a cluster to say."""
    kind = type(launcher)
    if getattr(launcher, "here", False):
        return asked_for(local_options(getattr(launcher, "options", {})).n_jobs, at_once)
    if kind.__module__.startswith(BASIC):
        return 1
    if kind.__module__.startswith(JOBLIB):
        return asked_for(int(getattr(launcher, "joblib", {}).get("n_jobs", -1)), at_once)
    return at_once if kind.__name__ == "LocalLauncher" else None


def local_options(given: Mapping[str, Any]) -> LocalOptions:
    """The settings of `hydra/launcher=stages_local`. Raises ConfigError where one is wrong."""
    plain = {key: tuple(held) if key == "preload" else held for key, held in given.items()}
    return made(LocalOptions, plain, "hydra.launcher")


def asked_for(n_jobs: int | None, at_once: int) -> int:
    """How many workers that is, where `at_once` have room. As joblib counts: -1 means all cores, -2
    all but one."""
    if n_jobs is None:
        return at_once
    return n_jobs if n_jobs > 0 else max(1, cores() + 1 + n_jobs)


def room(runtime: Runtime) -> int:
    """How many workers this machine has cores for."""
    return max(1, cores() // runtime.cores)


def cores() -> int:
    """Of this machine, those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _prepare_workers(launcher: Any, runtime: Runtime) -> None:
    """Has each of joblib's workers, also those that never get a job, begin with `_begin`."""
    launcher.joblib["initializer"] = functools.partial(_begin, Owner.this(), runtime)


def _begin(launcher: Owner, runtime: Runtime) -> None:
    """A worker ends when its launcher does, and takes its GPUs before anything is imported."""
    end_with(launcher)
    gpus.take(runtime.accelerator, runtime.devices)


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

    def start(*arguments: Any, env: Mapping[str, str], **options: Any) -> Any:
        while sum(process.poll() is None for process in running) >= at_once:
            time.sleep(WAIT_S)
        options = {"env": _seeing_all_gpus(env), "start_new_session": True, **options}
        running.append(subprocess.Popen(*arguments, **options))
        return running[-1]

    with mock.patch.object(local, "subprocess", SimpleNamespace(Popen=start)):
        try:
            yield
        except BaseException:
            for process in running:
                _kill(process)
            raise


def _seeing_all_gpus(environment: Mapping[str, str]) -> dict[str, str]:
    """submitit hides the GPUs from its jobs on this machine, or shows all jobs the first ones; ours
    take one of their own."""
    seen = {**environment, gpus.VARIABLE: os.environ.get(gpus.VARIABLE)}
    return {name: held for name, held in seen.items() if held is not None}


def _kill(process: subprocess.Popen) -> None:
    """Ends a process and all that it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
