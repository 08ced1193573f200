"""What a store does with stages whose leases it has: runs them, alone or several by one call, and
commits what they wrote or says what they failed of."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from w2sweep.engine import ranks, record, working
from w2sweep.engine.failures import (
    Damaged,
    Interrupted,
    LeaseLost,
    MachineFailed,
    StageFailed,
    failure_file,
    failure_of,
    is_machines_fault,
    is_networks_fault,
)
from w2sweep.engine.files import write_json
from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.journal import Journal
from w2sweep.engine.leases import Lease, claim
from w2sweep.engine.stage import Stage

log = logging.getLogger(__name__)

Taken = tuple[Stage[Any], Lease]
"""A stage, and the lease on it, which is open."""
Failures = dict[str, StageFailed]
"""Key of a stage -> why it failed."""


class Runner:
    """Runs stages and commits their results.

    Args:
        root: where the results are.
        lease_s: of the leases on what a stage delivers.
        done: whether a stage has a result.
        get: reads one.
        journal: is told what happens.
    """

    def __init__(
        self,
        root: Path,
        lease_s: float,
        done: Callable[[Stage[Any]], bool],
        get: Callable[[Stage[Any]], Any],
        journal: Journal,
    ):
        self.root, self.lease_s = root, lease_s
        self._done, self._get, self._journal = done, get, journal

    def run(self, taken: Sequence[Taken], circumstances: Circumstances) -> Failures:
        """Runs stages whose inputs are there; several by one call, and those alone that it left
        over. Returns what failed."""
        failures: Failures = {}
        left = list(taken)
        if len(taken) > 1:
            self._run_together(left, failures, circumstances)
        for stage, lease in left:
            self._run_alone(stage, lease, failures, circumstances)
        return failures

    def _run_alone(
        self, stage: Stage[Any], lease: Lease, failures: Failures, circumstances: Circumstances
    ) -> None:
        lease.stages = 1
        try:
            job = self._begun(stage, lease, circumstances)
            with job:
                ranks.run(job)
            self._commit(job, lease)
        except Exception as error:
            self._fail(stage, lease, error, failures)
        except BaseException as interruption:  # Ctrl-C, or the end of a job's time
            self._interrupt(stage, lease, _cause(interruption))
            raise
        else:
            self._settle(stage, lease)

    def _run_together(
        self, left: list[Taken], failures: Failures, circumstances: Circumstances
    ) -> None:
        """Runs stages by one call. Each is committed, or fails, by itself, and is then taken out of
        `left`; what is left where that is nobody's fault in particular is to be run alone."""
        for _, lease in left:
            lease.stages = len(left)
        try:
            with ExitStack() as jobs:
                runs = [jobs.enter_context(self._begun(*taken, circumstances)) for taken in left]
                outcomes = type(left[0][0]).run_together([(job.stage, job) for job in runs])
                for job, error in zip(runs, outcomes, strict=True):
                    committed = self._conclude(job, left[0][1], error, failures)
                    taken = left.pop(0)
                    if committed:
                        self._settle(*taken)
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            log.warning("%d stages are run one by one, for together: %s", len(left), reason)
            for _, lease in left:
                working.strip(working.folder_of(lease))
        except BaseException as interruption:
            for stage, lease in left:
                self._interrupt(stage, lease, _cause(interruption))
            raise

    def _conclude(
        self, job: StoreJob, lease: Lease, error: Exception | None, failures: Failures
    ) -> bool:
        """Commits what a stage wrote that ran with others, or says what it failed of. Returns
        whether it did the first."""
        try:
            with job:
                if error is not None:
                    raise error
            self._commit(job, lease)
        except Exception as wrong:
            self._fail(job.stage, lease, wrong, failures)
            return False
        return True

    def _begun(self, stage: Stage[Any], lease: Lease, circumstances: Circumstances) -> StoreJob:
        """The job of a stage, whose working folder is there."""
        if working.adopt(lease):
            self._journal.tell(stage, lease, "adopted")
        self._journal.tell(stage, lease, "start")
        work = working.folder_of(lease)
        return StoreJob(stage, work, circumstances, self._get, together=lease.stages)

    def _interrupt(self, stage: Stage[Any], lease: Lease, reason: str) -> None:
        """Leaves the checkpoints to whoever goes on."""
        working.strip(working.folder_of(lease))
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
        lease = claim(self._path(stage).parent, stage.key, self.lease_s)
        if lease is None:
            return False
        with lease:
            if self._done(stage):
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
        path = self._path(stage)
        if path.exists() and not self._done(stage):  # mode `force`
            path.rename(folder / working.REPLACED)
        folder.rename(path)  # fails if the folder was adopted, or if another result is there

    def _settle(self, stage: Stage[Any], lease: Lease) -> None:
        """Tidies up after a commit, and says so."""
        path = self._path(stage)
        with suppress(OSError):  # somebody looks at it over the network; that it is there counts
            working.sync_folder(path.parent)
            working.tidy(path)
            failure_file(self.root, stage).unlink(missing_ok=True)
            lease.tidy()
        self._journal.tell(stage, lease, "commit")

    def _fail(self, stage: Stage[Any], lease: Lease, error: Exception, failures: Failures) -> None:
        """Adds to the failures what is to be raised for `error`, after saying so to other workers
        and to later sweeps."""
        if isinstance(error, Damaged):  # what it reads is computed again first
            self._interrupt(stage, lease, str(error))
            return
        failure = self._given_up(stage, lease, error)
        failure.__cause__ = error
        if isinstance(failure, LeaseLost):
            log.warning("%s", failure)
        else:
            failures[stage.key] = failure

    def _given_up(
        self, stage: Stage[Any], lease: Lease, error: Exception
    ) -> StageFailed | LeaseLost:
        work = working.folder_of(lease)
        if self._done(stage) or not lease.held:  # whatever we met, it was the other worker's doing
            shutil.rmtree(work, ignore_errors=True)
            self._journal.tell(stage, lease, "lost")
            after = f"after {self.lease_s:g} s without a sign of this one"
            return LeaseLost(f"{stage}: another worker took over, {after}")
        networks = is_networks_fault(error)
        if is_machines_fault(error) and not networks:
            failure = failure_of(stage, error, self._room(), MachineFailed)
            self._interrupt(stage, lease, failure.reason)
            return failure
        failure = failure_of(stage, error)
        working.strip(work)
        if not networks:
            shutil.rmtree(work, ignore_errors=True)
        self.remember(stage, lease, failure)
        return failure

    def remember(self, stage: Stage[Any], lease: Lease, failure: StageFailed) -> None:
        """Tells other workers, and later sweeps, that a stage has failed."""
        with suppress(OSError):  # it is told to the user all the same
            file = failure_file(self.root, stage)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, vars(failure))
        self._journal.tell(stage, lease, "failed", reason=failure.reason)

    def _path(self, stage: Stage[Any]) -> Path:
        return self.root / stage.name

    def _room(self) -> str:
        """What to add to a message that may not say itself that the disk is full."""
        free = shutil.disk_usage(self.root).free
        return f" (there are {free // 2**20} MB left for {self.root})" if free < 2**26 else ""


def _cause(interruption: BaseException) -> str:
    told = interruption.error if isinstance(interruption, Interrupted) else interruption
    return str(told) or type(told).__name__
