"""Results of stages, addressed by what they were computed from. Any number of workers may share
one store."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from w2sweep.engine import ranks, record, working
from w2sweep.engine.failures import (
    FAILED,
    Interrupted,
    LeaseLost,
    MachineFailed,
    StageFailed,
    failure_of,
    full_name,
    interruptions_apart,
    is_machines_fault,
    is_networks_fault,
)
from w2sweep.engine.files import read_json, sweep_up, write_json
from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.journal import Journal
from w2sweep.engine.leases import Lease, abandoned, claim, filesystem_time, held
from w2sweep.engine.record import WrongRecord
from w2sweep.engine.stage import Stage, closure

T = TypeVar("T")
Mode = Literal["retry", "cached", "force", "read-only"]
log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.05
"""Before the first look at what other workers did; later ones are longer."""
WAITING_S = 60.0
"""Between two lines that tell what is waited for."""
REPAIRS = 2
"""How often one process computes a result again that it found damaged: what is damaged again and
again is no accident."""


class Missing(LookupError):
    """A result is not in the store, and this store may not compute it."""

    def __str__(self) -> str:
        return str(self.args[0])


class Damaged(WrongRecord):
    """A result is not what was written. It was removed, so that `Store.ensure` computes it
    again."""


class _Patience:
    """Of a worker while all that it still needs is in other hands: its pauses grow up to
    `poll_s`."""

    def __init__(self, poll_s: float):
        self._pause, self._poll_s, self._told = FIRST_PAUSE_S, poll_s, time.monotonic()

    def wait(self) -> bool:
        """Pauses. Returns whether it is time to tell what is waited for."""
        time.sleep(self._pause)
        self._pause = min(1.5 * self._pause, self._poll_s)
        due = time.monotonic() - self._told > WAITING_S
        if due:
            self._told = time.monotonic()
        return due


class Store:
    """Folders `root/<stage class>/<key>/`. Each appears whole, by one rename, or not at all.

    While worker number n on a stage computes, it writes into `.working/<key>.<n>/`, beside the
    results, as `.leases` and `.failed` are: nobody has to list those to see what is going on.
    `journal.jsonl` tells who started, finished and failed what, and when.

    Args:
        root: where the results are.
        circumstances: how and for whom stages are run (devices, logging, ...).
        mode: what to do about a stage that failed or is there already.
            `retry`: compute again what failed before `since`; what failed since then fails at once,
            so that twenty cells do not train one failing supervisor twenty times.
            `cached`: whatever failed, fails.
            `force`: compute again also what was finished before `since`.
            `read-only`: compute nothing.
        since: when this sweep started, by the file system's clock (the `since` of another store on
            this root); None: now.
        lease_s: seconds without a sign of life after which a worker on another machine is taken for
            dead.
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
        self._journal = Journal(self.root / "journal.jsonl")
        self._checks, self._damaged = record.Checks(), Counter[str]()

    def _now(self) -> float:
        if self.mode == "read-only":  # nothing may be touched, and nothing is compared with it
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
            return (self.path(stage) / record.FILE).stat().st_mtime >= self.since
        except (FileNotFoundError, NotADirectoryError):
            return False

    def standing(self, stages: Sequence[Stage[Any]]) -> object:
        """How far these stages are: equal at two times if and only if none was finished, or wrote a
        checkpoint, in between."""
        done = {stage.name: self.done(stage) for stage in stages}
        left = [stage for stage in stages if not done[stage.name]]
        keys = {stage.key for stage in left}
        folders = {self.path(stage).parent for stage in left}
        written = [item for folder in folders for item in working.checkpoints(folder).items()]
        return done, {name: time for name, time in written if name[0] in keys}

    def sweep_up(self, stages: Sequence[Stage[Any]]) -> None:
        """Removes what processes that were killed have half written of failures of these stages'
        classes."""
        for folder in {self._failure_file(stage).parent for stage in stages}:
            sweep_up(folder)

    def abandoned(self, stages: Sequence[Stage[Any]]) -> dict[str, int]:
        """Those of the stages whose last worker was killed while it was at them, as far as this
        machine can tell, and the numbers of the leases that it left."""
        left = {
            stage.name: abandoned(self.path(stage).parent, stage.key)
            for stage in stages
            if not self.done(stage)
        }
        return {name: number for name, number in left.items() if number is not None}

    def get(self, stage: Stage[T]) -> T:
        """Its result, whose files were compared with what was written.

        Raises:
            Missing: it was not computed yet.
            Damaged: it was damaged and is removed, so that it is computed again.
            WrongRecord: it is damaged, and this store may not compute it again; or it cannot be
                read though it is as it was written.
        """
        path = self.path(stage)
        if not path.is_dir():
            raise Missing(f"no result of {stage} at {path}: compute it first, with Store.ensure")
        if found := self._checks.damage(path, stage):
            raise self._repairing(stage, found)
        try:
            return stage.read(path)
        except Exception as error:
            # another worker may have replaced it, or it was damaged only now
            if not path.is_dir() or (found := record.damage(path, stage)):
                raise self._repairing(stage, found or "was removed") from error
            if isinstance(error, MemoryError):
                raise
            reason = " ".join(str(error).split())
            whole = f"{path}, the result of {stage}, is as it was written"
            raise WrongRecord(
                f"{whole}, but cannot be read ({type(error).__name__}: {reason}): delete it to "
                "compute it again"
            ) from error

    def _repairing(self, stage: Stage[Any], found: str) -> WrongRecord:
        """What to raise for a result that is damaged, after removing it where that is allowed."""
        wrong = f"{self.path(stage)}, the result of {stage}, {found}"
        if self.mode not in ("retry", "force"):
            return WrongRecord(f"{wrong}: cache mode retry computes it again")
        self._damaged[stage.name] += 1
        if self._damaged[stage.name] > REPAIRS:
            return WrongRecord(f"{wrong}, again and again: is the disk in order?")
        lease = self._claim(stage)
        if lease is not None:  # else another worker sees to it
            with lease:
                self._remove(stage, lease)
        log.warning("%s: it is computed again", wrong)
        return Damaged(f"{wrong}: it is computed again")

    def _remove(self, stage: Stage[Any], lease: Lease) -> None:
        """Removes a result, unless another worker has replaced it by a good one."""
        found = self.path(stage).is_dir() and record.damage(self.path(stage), stage)
        if found:
            working.discard(lease)
            working.take_away(self.path(stage), lease)
            self._journal.tell(stage, lease, "damaged", reason=found)

    def journal(self) -> list[dict[str, Any]]:
        """All that happened, oldest first.

        Each line has event (start, commit, failed, interrupted, adopted, lost, damaged), stage (its
        name), what, lease, pid, host, time, seconds (since the claim) and, where there is one,
        reason. A start with nothing after it was killed, or still runs.
        """
        return self._journal.read()

    def ensure(self, *stages: Stage[Any]) -> None:
        """Runs what is missing of these stages and of what they read, sharing the work with any
        other worker.

        A lease is held while computing, never while waiting, so workers cannot deadlock; a worker
        waits only when all it still needs is in other hands.

        Raises:
            StageFailed: one of them failed, here or in another worker.
            Missing: something is missing in a store that is read-only.
            Interrupted: a signal's handler raised an error meanwhile.
        """
        circumstances = self._needing(stages)
        patience = _Patience(self.poll_s)
        with interruptions_apart():
            while todo := closure(stages, known=self.done):
                self._refuse(todo)
                pending = _keys(todo)
                ready = [s for s in todo if pending.isdisjoint(_keys(s.inputs))]
                if any(self._try(s, circumstances) for s in ready):
                    patience = _Patience(self.poll_s)
                elif patience.wait():
                    self._tell_waiting(ready)

    def ensure_only(self, *stages: Stage[Any]) -> list[StageFailed | Missing]:
        """Runs what is missing of these very stages, and nothing of what they read. One that cannot
        be run does not stop the others.

        It waits for what is in other hands when there is nothing else left to do.

        Returns, for each stage that has no result, why: it failed, or an input is not there. Raises
        Interrupted as `ensure` does.
        """
        keys, wrong = _keys(list(stages)), dict[str, StageFailed | Missing]()
        ordered = [stage for stage in closure(stages) if stage.key in keys]
        circumstances = self._needing(stages)
        patience = _Patience(self.poll_s)
        with interruptions_apart():
            while left := [s for s in ordered if s.key not in wrong and not self.done(s)]:
                others = _keys(left)
                if any(self._try_alone(s, others, circumstances, wrong) for s in left):
                    patience = _Patience(self.poll_s)
                elif patience.wait():
                    self._tell_waiting(left)
        return list(wrong.values())

    def _try_alone(
        self,
        stage: Stage[Any],
        others: set[str],
        circumstances: Circumstances,
        wrong: dict[str, StageFailed | Missing],
    ) -> bool:
        """As `_try`, for a stage whose inputs nobody runs but those among `others`. Puts into
        `wrong` what stands against it."""
        lacking = [of for of in stage.inputs if not self.done(of)]
        if not others.isdisjoint(_keys(lacking)):
            return False
        try:
            if lacking:
                names = ", ".join(full_name(of) for of in lacking)
                raise Missing(f"{full_name(stage)} reads what is not in {self.root}: {names}")
            self._refuse([stage])
            return self._try(stage, circumstances)
        except (StageFailed, Missing) as error:
            wrong[stage.key] = error
            return True

    def _tell_waiting(self, ready: list[Stage[Any]]) -> None:
        for stage in ready:
            if holder := held(self.path(stage).parent, stage.key):
                log.info("waiting for %s: %s", stage, holder)

    def _needing(self, stages: tuple[Stage[Any], ...]) -> Circumstances:
        """The circumstances, which name these stages among what is planned."""
        needed = {stage.name for stage in closure(stages)}
        planned = self.circumstances.planned | needed
        return dataclasses.replace(self.circumstances, planned=planned)

    def _refuse(self, todo: list[Stage[Any]]) -> None:
        if self.mode == "read-only":
            names = ", ".join(full_name(s) for s in todo)
            lacking = f"{self.root} is read-only and lacks {len(todo)} results ({names})"
            raise Missing(f"{lacking}: use cache mode retry")
        for stage in todo:
            if failure := self.failure(stage):
                raise failure

    def failure(self, stage: Stage[Any]) -> StageFailed | None:
        """Its recorded failure, if that still counts."""
        of_version_0_1 = self.root / f"{stage.name}.failed.json"
        for file in (self._failure_file(stage), of_version_0_1):
            with suppress(OSError, ValueError, TypeError):  # there is none, or none to be told
                if self.mode == "cached" or file.stat().st_mtime >= self.since:
                    return StageFailed(**read_json(file))
        return None

    def _failure_file(self, stage: Stage[Any]) -> Path:
        return self.path(stage).parent / FAILED / f"{stage.key}.json"

    def _claim(self, stage: Stage[Any]) -> Lease | None:
        return claim(self.path(stage).parent, stage.key, self.lease_s)

    def _try(self, stage: Stage[Any], circumstances: Circumstances) -> bool:
        """Computes it unless another worker does. Returns whether there is something new to look
        at."""
        lease = self._claim(stage)
        if lease is None:
            return False
        with lease:
            # it may have been finished, or have failed, between our look and our claim
            if not self.done(stage) and not self.failure(stage):
                try:
                    self._compute(stage, lease, circumstances)
                except LeaseLost as lost:
                    log.warning("%s", lost)
        return True

    def _compute(self, stage: Stage[Any], lease: Lease, circumstances: Circumstances) -> None:
        work = working.folder_of(lease)
        try:
            if working.adopt(lease):
                self._journal.tell(stage, lease, "adopted")
            self._journal.tell(stage, lease, "start")
            with StoreJob(stage, work, circumstances, self.get) as job:
                ranks.run(job)
            self._commit(job, lease)
        except Damaged as damaged:  # what it reads is computed again first
            self._interrupt(work, stage, lease, str(damaged))
            return
        except Exception as error:
            raise self._give_up(stage, lease, error) from error
        except BaseException as interruption:  # Ctrl-C, or the end of a job's time
            cause = interruption.error if isinstance(interruption, Interrupted) else interruption
            self._interrupt(work, stage, lease, str(cause) or type(cause).__name__)
            raise
        self._settle(stage, lease)

    def _interrupt(self, work: Path, stage: Stage[Any], lease: Lease, reason: str) -> None:
        """Leaves the checkpoints to whoever goes on."""
        working.strip(work)
        self._journal.tell(stage, lease, "interrupted", reason=" ".join(reason.split()))

    def _commit(self, job: StoreJob, lease: Lease) -> None:
        """The results appear: first those that the job delivers, then its own, which says that the
        job is done. A worker that is killed in between is followed by one that runs it again."""
        facts = {**job.facts, "delivered_by": job.stage.name}
        for stage, folder in job.delivered:
            if not self._deliver(stage, folder, facts):
                working.remove(folder)
        self._publish(job.stage, job.out, lease, job.facts)

    def _deliver(self, stage: Stage[Any], folder: Path, facts: dict[str, Any]) -> bool:
        """Commits the result of another stage than the one that ran, as its own run would, unless
        it is there or in other hands. Returns whether it did."""
        lease = self._claim(stage)
        if lease is None:
            return False
        with lease:
            if self.done(stage):
                return False
            working.discard(lease)
            self._journal.tell(stage, lease, "start")
            try:
                self._publish(stage, folder, lease, facts)
            except LeaseLost:
                self._journal.tell(stage, lease, "lost")
                return False
            self._settle(stage, lease)
        return True

    def _publish(
        self, stage: Stage[Any], folder: Path, lease: Lease, facts: dict[str, Any]
    ) -> None:
        """The result in `folder` appears at its place, with its record, by one rename."""
        record.write(folder, stage, lease, facts)
        working.sync(folder)
        if not lease.held:
            raise LeaseLost
        path = self.path(stage)
        if path.exists() and not self.done(stage):  # mode `force`
            path.rename(folder / working.REPLACED)
        folder.rename(path)  # fails if the folder was adopted, or if another result is there

    def _settle(self, stage: Stage[Any], lease: Lease) -> None:
        """Tidies up after a commit, and says so."""
        path = self.path(stage)
        with suppress(OSError):  # somebody looks at it over the network; that it is there counts
            working.sync_folder(path.parent)
            working.tidy(path)
            self._failure_file(stage).unlink(missing_ok=True)
            lease.tidy()
        self._journal.tell(stage, lease, "commit")

    def _give_up(self, stage: Stage[Any], lease: Lease, error: Exception) -> Exception:
        """What to raise for `error`, after saying so to other workers and to later sweeps."""
        work = working.folder_of(lease)
        if self.done(stage) or not lease.held:  # whatever we met, it was the other worker's doing
            shutil.rmtree(work, ignore_errors=True)
            self._journal.tell(stage, lease, "lost")
            after = f"after {self.lease_s:g} s without a sign of this one"
            return LeaseLost(f"{stage}: another worker took over, {after}")
        networks = is_networks_fault(error)
        if is_machines_fault(error) and not networks:
            failure = failure_of(stage, error, self._room(), MachineFailed)
            self._interrupt(work, stage, lease, failure.reason)
            return failure
        failure = failure_of(stage, error)
        working.strip(work)
        if not networks:
            shutil.rmtree(work, ignore_errors=True)
        with suppress(OSError):  # it is raised all the same
            self._failure_file(stage).parent.mkdir(exist_ok=True)
            write_json(self._failure_file(stage), vars(failure))
        self._journal.tell(stage, lease, "failed", reason=failure.reason)
        return failure

    def _room(self) -> str:
        """What to add to a message that may not say itself that the disk is full."""
        free = shutil.disk_usage(self.root).free
        return f" (there are {free // 2**20} MB left for {self.root})" if free < 2**26 else ""


def _keys(stages: list[Stage[Any]]) -> set[str]:
    return {stage.key for stage in stages}
