"""Results of stages, addressed by what they were computed from; any number of workers may share one store."""

from __future__ import annotations

import dataclasses
import difflib
import errno
import functools
import json
import logging
import os
import re
import shutil
import socket
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from w2sweep.engine.files import read_json, write_json
from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.leases import Lease, claim, filesystem_time
from w2sweep.engine.stage import Stage, closure, identity

T = TypeVar("T")
Mode = Literal["retry", "cached", "force", "read-only"]
log = logging.getLogger(__name__)


class StageFailed(RuntimeError):
    """A stage raised an error, now or earlier in this sweep. One line: which stage, and why."""

    def __init__(self, what: str, error: str, reason: str, trace: str):
        super().__init__(
            what, error, reason, trace
        )  # all of them, so that it survives being pickled by a launcher
        self.what, self.error, self.reason, self.trace = what, error, reason, trace

    def __str__(self) -> str:
        return f"{self.what} failed: {self.error}: {self.reason}"


class Missing(LookupError):
    """A result is not in the store, and this store may not compute it."""

    def __str__(self) -> str:
        return str(self.args[0])


class WrongRecord(RuntimeError):
    """A folder of the store does not hold what its name says."""


class LeaseLost(RuntimeError):
    """This worker was taken for dead while it computed, and another one took over. Nothing is lost but time."""


class Store:
    """Directories `root/<stage class>/<key>/`. Each appears whole, by one rename, or not at all.

    While worker number n on a stage computes, it writes into `root/<stage class>/.<key>.<n>/`; `journal.jsonl` tells
    who started, finished and failed what, and when.

    Args:
        root: where the results are.
        circumstances: how and for whom stages are run (devices, logging, ...).
        mode: what to do about a stage that failed or is there already. `retry`: compute again what failed before
            `since`; what failed since then fails at once, so that twenty cells do not train one failing supervisor
            twenty times. `cached`: whatever failed, fails. `force`: compute again also what was finished before
            `since`. `read-only`: compute nothing.
        since: when this sweep started, by the file system's clock (the `since` of another store on this root);
            None: now.
        lease_s: seconds without a sign of life after which a worker on another machine is taken for dead.
        poll_s: the longest time between two looks at what other workers do.
    """

    def __init__(
        self,
        root: Path | str,
        circumstances: Circumstances | None = None,
        mode: Mode = "retry",
        since: float | None = None,
        lease_s: float = 600.0,
        poll_s: float = 2.0,
    ):
        if mode not in get_args(Mode):
            raise ValueError(f"no cache mode {mode!r}: choose one of {', '.join(get_args(Mode))}")
        self.root, self.mode = Path(root).absolute(), mode
        self.circumstances = circumstances or Circumstances()
        self.lease_s, self.poll_s = lease_s, poll_s
        self.since = self._now() if since is None else since

    def _now(self) -> float:
        if (
            self.mode == "read-only"
        ):  # nothing may be touched, and nothing is compared with the start either
            return time.time()
        self.root.mkdir(parents=True, exist_ok=True)
        return filesystem_time(self.root)

    def path(self, stage: Stage[Any]) -> Path:
        """Where its result is, or will be."""
        return self.root / stage.name

    def done(self, stage: Stage[Any]) -> bool:
        """Whether its result is there (in mode `force`: and not older than this sweep)."""
        if self.mode != "force":
            return self.path(stage).is_dir()
        try:
            return (self.path(stage) / "stage.json").stat().st_mtime >= self.since
        except FileNotFoundError:
            return False

    def get(self, stage: Stage[T]) -> T:
        """Its result.

        Raises:
            Missing: it was not computed yet.
            WrongRecord: the record beside the result tells of another stage, or one of the two is damaged.
        """
        self._check(stage)
        try:
            return stage.read(self.path(stage))
        except Exception as error:
            raise self._wrong(stage, f"cannot be read ({error})") from error

    def _check(self, stage: Stage[Any]) -> None:
        if not self.path(stage).is_dir():
            raise Missing(
                f"no result of {stage} at {self.path(stage)}: compute it first, with Store.ensure"
            )
        try:
            found = read_json(self.path(stage) / "stage.json")["stage"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise self._wrong(stage, f"has no readable stage.json ({error})") from error
        if found != (expected := identity(stage)):
            old, new = (
                json.dumps(x, indent=1, sort_keys=True).splitlines() for x in (expected, found)
            )
            _, _, *lines = (
                x
                for x in difflib.unified_diff(old, new, lineterm="", n=0)
                if not x.startswith("@@")
            )
            raise self._wrong(
                stage,
                "holds another result (- expected, + found)",
                "".join(f"\n{x}" for x in lines),
            )

    def _wrong(self, stage: Stage[Any], what: str, more: str = "") -> WrongRecord:
        return WrongRecord(
            f"{self.path(stage)}, the result of {stage}, {what}: delete it to compute it again{more}"
        )

    def ensure(self, *stages: Stage[Any]) -> None:
        """Runs what is missing of these stages and of what they read, sharing the work with any other worker.

        A lease is held while computing, never while waiting, so workers cannot deadlock; a worker waits only when all
        it still needs is in other hands.

        Raises:
            StageFailed: one of them failed, here or in another worker.
            Missing: something is missing in a store that is read-only.
        """
        pause = 0.05
        wanted = frozenset(s.name for s in closure(stages))
        while todo := closure(stages, known=self.done):
            self._refuse(todo)
            pending = {s.key for s in todo}
            ready = [s for s in todo if pending.isdisjoint(i.key for i in s.inputs)]
            if any(self._try(s, wanted) for s in ready):
                pause = 0.05
            else:
                time.sleep(pause)
                pause = min(1.5 * pause, self.poll_s)

    def _refuse(self, todo: list[Stage[Any]]) -> None:
        if self.mode == "read-only":
            names = ", ".join(_full_name(s) for s in todo)
            raise Missing(
                f"{self.root} is read-only and lacks {len(todo)} results ({names}): use cache mode retry"
            )
        for stage in todo:
            if failure := self._failure(stage):
                raise failure

    def _failure(self, stage: Stage[Any]) -> StageFailed | None:
        """Its recorded failure, if that still counts."""
        file = self._failure_file(stage)
        try:
            if self.mode != "cached" and file.stat().st_mtime < self.since:
                return None
            return StageFailed(**read_json(file))
        except FileNotFoundError:
            return None

    def _failure_file(self, stage: Stage[Any]) -> Path:
        return self.root / f"{stage.name}.failed.json"

    def _try(self, stage: Stage[Any], wanted: frozenset[str]) -> bool:
        """Computes it unless another worker does; whether there is something new to look at."""
        lease = claim(self.path(stage).parent, stage.key, self.lease_s)
        if lease is None:
            return False
        with lease:
            if not self.done(stage) and not self._failure(
                stage
            ):  # it may have happened between our look and our claim
                try:
                    self._compute(stage, lease, wanted)
                except LeaseLost as lost:
                    log.warning("%s", lost)
        return True

    def _compute(self, stage: Stage[Any], lease: Lease, wanted: frozenset[str]) -> None:
        work = lease.folder / f".{lease.key}.{lease.number}"
        tell = functools.partial(self._journal, stage, lease)
        try:
            if self._adopt(work, lease):
                tell("adopted")
            tell("start")
            for_all = dataclasses.replace(
                self.circumstances, planned=self.circumstances.planned | wanted
            )
            with StoreJob(stage, work, for_all, self.get) as job:
                stage.run(job)
            self._commit(job, lease)
        except Exception as error:
            raise self._give_up(stage, lease, work, error) from error
        except BaseException:  # Ctrl-C
            _strip(work)
            tell("interrupted")
            raise
        self._tidy(stage, lease)
        tell("commit")

    def _give_up(self, stage: Stage[Any], lease: Lease, work: Path, error: Exception) -> Exception:
        """What to raise for `error`, after saying so to other workers and to later sweeps."""
        tell = functools.partial(self._journal, stage, lease)
        if self.done(stage) or not lease.held:  # whatever we met, it was the other worker's doing
            shutil.rmtree(work, ignore_errors=True)
            tell("lost")
            return LeaseLost(
                f"{stage}: another worker took over, after {self.lease_s:g} s without a sign of this one"
            )
        failure = _failure_of(stage, error, self._room() if _machines_fault(error) else "")
        if _machines_fault(error):
            _strip(work)
            tell("interrupted", reason=failure.reason)
        else:
            shutil.rmtree(work, ignore_errors=True)
            self._record_failure(stage, failure)
            tell("failed", reason=failure.reason)
        return failure

    def _room(self) -> str:
        """What to add to a message that may not say itself that the disk is full."""
        free = shutil.disk_usage(self.root).free
        return f" (there are {free // 2**20} MB left for {self.root})" if free < 2**26 else ""

    def _adopt(self, work: Path, lease: Lease) -> bool:
        """Makes `work`, with the latest checkpoint that earlier owners left; whether there was one."""
        for dead in _works(lease.folder, lease.key, before=lease.number):
            if not work.exists() and any(dead.glob("checkpoint*")):
                with suppress(
                    FileNotFoundError
                ):  # its owner only slept, and now removed or committed it
                    dead.rename(work)
            else:
                shutil.rmtree(dead, ignore_errors=True)
        adopted = work.exists()
        work.mkdir(exist_ok=True)
        _strip(work)
        work.mkdir(exist_ok=True)
        return adopted

    def _commit(self, job: StoreJob, lease: Lease) -> None:
        """The results appear: first those of the stages that read this one, for nobody computes
        them before it is there; last its own."""
        for stage, folder in job.delivered.items():
            self._record_of(stage, folder, job, lease)
        self._record_of(job.stage, job.out, job, lease)
        _sync(job.out)
        if not lease.held:
            raise LeaseLost
        for stage, folder in job.delivered.items():
            self.path(stage).parent.mkdir(parents=True, exist_ok=True)
            if self.done(stage):  # of a worker that was killed right here
                shutil.rmtree(folder)
            else:
                self._put(stage, folder, replaced=job.out)
        self._put(job.stage, job.out, replaced=job.out)

    def _put(self, stage: Stage[Any], folder: Path, replaced: Path) -> None:
        path = self.path(stage)
        if path.exists() and not self.done(stage):  # mode `force`
            path.rename(replaced / f".replaced.{stage.key}")
        folder.rename(path)  # fails if the folder was adopted, or if another result is there

    def _tidy(self, stage: Stage[Any], lease: Lease) -> None:
        """Removes what served only until the commit: were it removed before, a kill in between would cost it all."""
        path = self.path(stage)
        with suppress(
            OSError
        ):  # somebody looks at it over the network; the result is there, and that counts
            _sync_folder(path.parent)
            leftovers = [*path.glob("checkpoint*"), *path.glob(".replaced.*")]
            for temporary in (*leftovers, path / "progress.json"):
                _remove(temporary)
            self._failure_file(stage).unlink(missing_ok=True)
            lease.tidy()

    def _record_of(self, stage: Stage[Any], folder: Path, job: StoreJob, lease: Lease) -> None:
        """Writes `stage.json`: all that the result was computed from, and how."""
        record = {
            "what": stage.what,
            "stage": identity(stage),
            "inputs": {s.name: identity(s) for s in closure(tuple(stage.inputs))},
            "computed": job.facts,
            "lease": lease.number,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": lease.since,
            "seconds": time.time() - lease.since,
        }
        write_json(folder / "stage.json", record)

    def _record_failure(self, stage: Stage[Any], failure: StageFailed) -> None:
        with suppress(OSError):  # it is raised all the same
            write_json(self._failure_file(stage), vars(failure))

    def _journal(self, stage: Stage[Any], lease: Lease, event: str, **more: Any) -> None:
        line = {
            "event": event,
            "stage": stage.name,
            "what": stage.what,
            "lease": lease.number,
            "pid": os.getpid(),
        }
        line |= {
            "host": socket.gethostname(),
            "time": time.time(),
            "seconds": time.time() - lease.since,
            **more,
        }
        with suppress(OSError):  # a full disk must not undo a commit
            descriptor = os.open(
                self.root / "journal.jsonl", os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o666
            )
            try:
                os.write(
                    descriptor, (json.dumps(line) + "\n").encode()
                )  # in one call, so that lines do not mix
            finally:
                os.close(descriptor)

    def journal(self) -> list[dict[str, Any]]:
        """All that happened, oldest first.

        Each line has event (start, commit, failed, interrupted, adopted, lost), stage (its name), what, lease, pid,
        host, time, seconds (since the claim) and, where there is one, reason. A start with nothing after it was killed,
        or still runs.
        """
        file = self.root / "journal.jsonl"
        lines = file.read_text("utf-8").splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]


def _full_name(stage: Stage[Any]) -> str:
    return stage.what if stage.what == stage.name else f"{stage.what} ({stage.name})"


def _failure_of(stage: Stage[Any], error: Exception, note: str) -> StageFailed:
    name = type(error).__name__
    reason = " ".join(str(error).split()) or "no message"
    return StageFailed(
        _full_name(stage), name, reason + note, "".join(traceback.format_exception(error))
    )


def _machines_fault(error: Exception) -> bool:
    """Whether it may well work elsewhere, or later. Libraries that are not written in Python have errors of their own
    for a full disk."""
    return isinstance(error, OSError | MemoryError) or os.strerror(errno.ENOSPC) in str(error)


def _works(folder: Path, key: str, before: int) -> list[Path]:
    """Where workers with a number below `before` computed `key`, the last one first."""
    work = re.compile(rf"\.{key}\.(\d+)")
    found = {int(m[1]): p for p in folder.iterdir() if (m := work.fullmatch(p.name))}
    return [found[n] for n in sorted(found, reverse=True) if n < before]


def _strip(work: Path) -> None:
    """Keeps the checkpoints of an interrupted worker, and nothing else."""
    for entry in list(work.iterdir()) if work.is_dir() else []:
        if not entry.match("checkpoint*"):
            _remove(entry)
    with suppress(OSError):  # there are checkpoints
        work.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Everything below `folder` is on the disk, so that a result which is there after a power cut is whole."""
    for directory, _, files in os.walk(folder):
        for file in files:
            with Path(directory, file).open("rb") as f:
                os.fsync(f.fileno())
        _sync_folder(Path(directory))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
