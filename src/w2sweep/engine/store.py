"""Results of stages, addressed by what they were computed from. Any number of workers may share
one store."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from w2sweep.engine import record, working
from w2sweep.engine.failures import (
    Missing,
    StageFailed,
    failure_file,
    failure_of,
    full_name,
    interruptions_apart,
)
from w2sweep.engine.files import read_json, sweep_up
from w2sweep.engine.job import Circumstances
from w2sweep.engine.journal import Journal
from w2sweep.engine.leases import Lease, abandoned, claim, filesystem_time, held
from w2sweep.engine.reader import Reader
from w2sweep.engine.ready import Ready, alike
from w2sweep.engine.runner import Runner, Taken
from w2sweep.engine.stage import Stage, closure, read_whole

T = TypeVar("T")
Mode = Literal["retry", "cached", "force", "read-only"]
log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.05
"""Before the first look at what other workers did; later ones are longer."""
WAITING_S = 60.0
"""Between two lines that tell what is waited for."""
LOOK_S, LOOKING = 1.0, 10
"""Between two looks at all stages that are left: so many seconds, or times what it took."""


class _Patience:
    """Of a worker while all that it still needs is in other hands: its pauses grow up to
    `poll_s`."""

    def __init__(self, poll_s: float):
        self._pause, self._poll_s, self._told = FIRST_PAUSE_S, poll_s, time.monotonic()

    def renew(self) -> None:
        """There was something to do."""
        self._pause, self._told = FIRST_PAUSE_S, time.monotonic()

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
        self._reader = Reader(self.root, lease_s, mode in ("retry", "force"), self._journal)
        self._runner = Runner(self.root, lease_s, self.done, self.get, self._journal)

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

        Raises Missing where there is none yet; Damaged where it was damaged and is removed, so that
        it is computed again; WrongRecord where it is damaged and this store may not compute it
        again, or where it cannot be read though it is as it was written.
        """
        return self._reader.get(stage)

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
        circumstances, patience = self._needing(stages), _Patience(self.poll_s)
        with interruptions_apart():
            while todo := closure(stages, known=self.done):
                self._refuse(todo)
                for failure in filter(None, self._turn(todo, circumstances, patience).values()):
                    raise failure

    def ensure_only(self, *stages: Stage[Any]) -> list[StageFailed | Missing]:
        """Runs what is missing of these very stages, and nothing of what they read. One that cannot
        be run does not stop the others.

        It waits for what is in other hands when there is nothing else left to do.

        Returns, for each stage that has no result, why: it failed, or an input is not there. Raises
        Interrupted as `ensure` does.
        """
        keys, wrong = _keys(list(stages)), dict[str, StageFailed | Missing]()
        ordered = [stage for stage in closure(stages) if stage.key in keys]
        circumstances, patience = self._needing(stages), _Patience(self.poll_s)
        with interruptions_apart():
            while left := [s for s in ordered if s.key not in wrong and not self.done(s)]:
                if hopeless := self._hopeless(left):
                    wrong |= hopeless
                else:
                    outcome = self._turn(left, circumstances, patience)
                    wrong |= {key: failure for key, failure in outcome.items() if failure}
        return list(wrong.values())

    def _turn(
        self, todo: Sequence[Stage[Any]], circumstances: Circumstances, patience: _Patience
    ) -> Mapping[str, StageFailed | None]:
        """Runs one after the other of these stages, as they get ready, until one fails, nothing is
        left that others have not in hand, or it is time to look again at what they have done;
        where it has run none, it waits.

        Returns what became, by key, of those that were in our hands: None, or why it failed. To
        look at all of them costs so much that it is not done after each.
        """
        began = time.monotonic()
        ready, outcome = Ready(todo, lambda stage: 0.0, alike), dict[str, StageFailed | None]()
        until = time.monotonic() + max(LOOK_S, LOOKING * (time.monotonic() - began))
        while time.monotonic() < until and not any(outcome.values()):
            group = ready.take(1, self.circumstances.runtime.most_together)
            if not group:
                break
            outcome |= self._try([s for s in group if not self.done(s)], circumstances)
            for stage in filter(self.done, group):
                ready.there(stage)
        if outcome:
            patience.renew()
        elif patience.wait():
            self._tell_waiting(todo)
        return outcome

    def _hopeless(self, left: Sequence[Stage[Any]]) -> dict[str, StageFailed | Missing]:
        """By key, what stands against stages whose inputs nobody runs but those among them."""
        others, wrong = _keys(left), dict[str, StageFailed | Missing]()
        for stage in left:
            lacking = [of for of in stage.reads if not self.done(of)]
            if others.isdisjoint(_keys(lacking)):
                try:
                    self._check(stage, lacking)
                except (StageFailed, Missing) as error:
                    wrong[stage.key] = error
        return wrong

    def _check(self, stage: Stage[Any], lacking: Sequence[Stage[Any]]) -> None:
        """Raises Missing or StageFailed where a stage cannot be run, which lacks these inputs."""
        if lacking:
            names = ", ".join(full_name(of) for of in lacking)
            raise Missing(f"{full_name(stage)} reads what is not in {self.root}: {names}")
        self._refuse([stage])

    def _tell_waiting(self, ready: Sequence[Stage[Any]]) -> None:
        for stage in ready:
            if holder := held(self.path(stage).parent, stage.key):
                log.info("waiting for %s: %s", stage, holder)

    def _needing(self, stages: tuple[Stage[Any], ...]) -> Circumstances:
        """The circumstances, which name these stages among what is planned."""
        needed, given = closure(stages), self.circumstances
        planned = given.planned | {stage.name for stage in needed}
        whole = given.read_whole | read_whole(needed)
        return dataclasses.replace(given, planned=planned, read_whole=whole)

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

    def condemn(self, stage: Stage[Any], error: Exception) -> StageFailed:
        """Remembers as a failure what is known of a stage whose workers cannot say it, for they
        were killed. Its checkpoints stay."""
        failure = failure_of(stage, error)
        if lease := self._claim(stage):
            with lease:
                self._runner.remember(stage, lease, failure)
        return failure

    def in_other_hands(self, stage: Stage[Any]) -> bool:
        """Whether a worker is at it, as far as that can be told without waiting for its lease to
        expire."""
        found = held(self.path(stage).parent, stage.key)
        return found is not None and found.silent_s <= self.lease_s

    def _failure_file(self, stage: Stage[Any]) -> Path:
        return failure_file(self.root, stage)

    def _try(
        self, group: Sequence[Stage[Any]], circumstances: Circumstances
    ) -> Mapping[str, StageFailed | None]:
        """Computes those of the stages that no other worker does. Returns, by key, what became of
        each that was in our hands: None, or why it failed."""
        with ExitStack() as open_leases:
            taken: list[Taken] = []
            outcome: dict[str, StageFailed | None] = {}
            for stage in group:
                lease = self._claim(stage)
                if lease is not None:
                    taken.append((stage, open_leases.enter_context(lease)))
                    outcome[stage.key] = None
            # one may have been finished, or have failed, between our look and our claim
            todo = [(s, lease) for s, lease in taken if not self.done(s) and not self.failure(s)]
            return outcome | self._runner.run(todo, circumstances)

    def _claim(self, stage: Stage[Any]) -> Lease | None:
        return claim(self.path(stage).parent, stage.key, self.lease_s)


def _keys(stages: Sequence[Stage[Any]]) -> set[str]:
    return {stage.key for stage in stages}
