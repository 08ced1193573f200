"""Ranks: the processes that run one stage together, one a device.

The worker that has the stage's lease starts them, waits, and ends them; it alone commits, and says
what failed. Rank 0 writes the result; what the others write is thrown away. None outlives the
worker.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from w2sweep.engine.devices import check_devices
from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.owners import Owner, end_with
from w2sweep.engine.processes import SPAWN, cause_of_death, sendable, use_known_start_method
from w2sweep.engine.runtime import Rank
from w2sweep.engine.stage import Stage
from w2sweep.engine.working import CHECKPOINTS

GRACE_S = 0.5
"""Between an error and its report: the death of one rank is an error to all others, which may be
the first to speak."""
LOOK_S = 0.2
"""Between two looks of a rank for the worker that started it."""
LEFT_TO_THE_WORKER = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Signals that are often sent to whole groups of processes, as Ctrl-C is. The worker knows what to
do, and ends its ranks."""


def run(job: StoreJob) -> None:
    """Runs the stage of a job, in this process, or spread over `runtime.devices` of them where the
    stage can be.

    Raises what a rank raised, and ChildProcessError where one was killed.
    """
    if job.runtime.devices == 1 or not job.stage.spreads:
        job.stage.run(job)
        return
    for stage in job.stage.inputs:  # what is damaged is found here, once, and not by all ranks
        job.get(stage)
    with tempfile.TemporaryDirectory(prefix="w2sweep-") as scratch, ExitStack() as running:
        team: list[_Member] = []
        for number in range(job.runtime.devices):
            rank = Rank(number, job.runtime.devices, f"{scratch}/meeting")
            out = job.out if number == 0 else _aside(job.out, Path(scratch, str(number)))
            team.append(_Member(job, rank, out))
            running.callback(team[-1].end)
        _finish(team, job)
    job.note(devices=job.runtime.devices)


def _aside(out: Path, folder: Path) -> Path:
    """A folder like `out`, with the same checkpoints to go on from."""
    folder.mkdir()
    for file in out.glob(CHECKPOINTS):
        (folder / file.name).symlink_to(file)
    return folder


# --- in the worker -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Done:
    """What is left of a rank's job for the worker's to know."""

    facts: dict[str, Any]
    delivered: list[tuple[Stage[Any], Path]]


class _Member:
    """A rank, as the worker sees it."""

    def __init__(self, job: StoreJob, rank: Rank, out: Path):
        use_known_start_method()
        context: Any = multiprocessing.get_context(SPAWN)  # a GPU does not survive a fork
        self.rank = rank
        self.outcome: _Done | BaseException | None = None
        self.died = False
        self.pipe, theirs = context.Pipe(duplex=False)
        circumstances = replace(job.circumstances, tracking=None)
        orders = (job.stage, out, circumstances, job.get, rank, Owner.this(), theirs)
        self._process = context.Process(target=_serve, args=orders, daemon=True)
        self._process.start()
        theirs.close()

    def hear(self, job: StoreJob) -> None:
        """Takes what it says: a row for the tracker, or how it ended."""
        try:
            said = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            end = cause_of_death(self._process.exitcode)
            # as if this process had been killed, which is the machine's fault
            self.outcome, self.died = ChildProcessError(f"{self.rank} {end}"), True
            return
        if isinstance(said, _Row):
            job.log(said.values)
        else:
            self.outcome = said if isinstance(said, _Done) else _relinked(said)

    def end(self) -> None:
        """Kills it, whatever it does."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _finish(team: Sequence[_Member], job: StoreJob) -> None:
    """Waits for all of them. The job is then told what rank 0's was."""
    while not _failed(team) and (left := [m for m in team if m.outcome is None]):
        _listen(left, job, None)
    if _failed(team):
        raise _cause(team, job)
    first = team[0].outcome
    assert isinstance(first, _Done)
    job.note(**first.facts)
    job.delivered += first.delivered


def _listen(team: Sequence[_Member], job: StoreJob, timeout_s: float | None) -> None:
    ready = wait([member.pipe for member in team], timeout_s)
    for member in team:
        if member.pipe in ready:
            member.hear(job)


def _failed(team: Sequence[_Member]) -> list[_Member]:
    return [member for member in team if isinstance(member.outcome, BaseException)]


def _cause(team: Sequence[_Member], job: StoreJob) -> BaseException:
    """Why they do not go on: the first error, or the death that was behind it."""
    first, until = _failed(team)[0], time.monotonic() + GRACE_S
    while (left := [m for m in team if m.outcome is None]) and time.monotonic() < until:
        _listen(left, job, max(0.0, until - time.monotonic()))
    dead = [member for member in team if member.died]
    outcome = (dead or [first])[0].outcome
    assert isinstance(outcome, BaseException)
    return outcome


# --- in a rank -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """Of the curves."""

    values: Mapping[str, Any]


class _RankJob(StoreJob):
    """The job of one rank. Rank 0's is the worker's own, seen from another process."""

    def __init__(
        self,
        stage: Stage[Any],
        out: Path,
        circumstances: Circumstances,
        get: Callable[[Stage[Any]], Any],
        rank: Rank,
        pipe: Connection,
    ):
        super().__init__(stage, out, circumstances, get)
        self.rank, self._pipe = rank, pipe

    def log(self, row: Mapping[str, Any]) -> None:
        if self.rank.leads:
            self._pipe.send(_Row(dict(row)))


def _serve(
    stage: Stage[Any],
    out: Path,
    circumstances: Circumstances,
    get: Callable[[Stage[Any]], Any],
    rank: Rank,
    worker: Owner,
    pipe: Connection,
) -> None:
    """What a rank does: the stage, and to say how it ended. Then it waits to be ended, for while
    others still compute they may need to hear from it."""
    for name in LEFT_TO_THE_WORKER:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    end_with(worker, LOOK_S)
    if not rank.leads:
        logging.disable(logging.WARNING)  # rank 0 says the same
    said: _Done | list[BaseException]
    try:
        check_devices(circumstances.runtime.accelerator, rank.of)
        job = _RankJob(stage, out, circumstances, get, rank, pipe)
        stage.run(job)
        said = _Done(job.facts, job.delivered)
    except BaseException as error:
        said = _portable(error)
    pipe.send(said)
    threading.Event().wait()


def _portable(error: BaseException) -> list[BaseException]:
    """An error and those behind it, each as it can be sent; the first tells where it was raised."""
    trace = "".join(traceback.format_exception(error))
    chain: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and len(chain) < 10:
        chain.append(sendable(behind))
        behind = behind.__cause__ or behind.__context__
    chain[0].add_note(trace)
    return chain


def _relinked(chain: list[BaseException]) -> BaseException:
    for error, behind in pairwise(chain):
        error.__cause__ = behind
    return chain[0]
