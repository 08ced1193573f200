"""How a store reads results: it compares their files with what was written, and removes what is
damaged."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

from w2sweep.engine import record, working
from w2sweep.engine.failures import Damaged, Missing
from w2sweep.engine.journal import Journal
from w2sweep.engine.leases import Lease, claim
from w2sweep.engine.record import WrongRecord
from w2sweep.engine.stage import Stage

T = TypeVar("T")
log = logging.getLogger(__name__)

REPAIRS = 2
"""How often one process removes a result that it found damaged: what is damaged again and again is
no accident."""


class Reader:
    """Reads results.

    Args:
        root: where they are.
        lease_s: of the leases on what is removed.
        repairs: whether what is damaged is removed, to be computed again.
        journal: is told what was.
    """

    def __init__(self, root: Path, lease_s: float, repairs: bool, journal: Journal):
        self._root, self._lease_s, self._repairs, self._journal = root, lease_s, repairs, journal
        self._checks, self._damaged = record.Checks(), Counter[str]()

    def get(self, stage: Stage[T]) -> T:
        """Its result, or an error as `Store.get` says."""
        path = self._path(stage)
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
        wrong = f"{self._path(stage)}, the result of {stage}, {found}"
        if not self._repairs:
            return WrongRecord(f"{wrong}: cache mode retry computes it again")
        self._damaged[stage.name] += 1
        if self._damaged[stage.name] > REPAIRS:
            return WrongRecord(f"{wrong}, again and again: is the disk in order?")
        lease = claim(self._path(stage).parent, stage.key, self._lease_s)
        if lease is not None:  # else another worker sees to it
            with lease:
                self._remove(stage, lease)
        log.warning("%s: it is computed again", wrong)
        return Damaged(f"{wrong}: it is computed again")

    def _remove(self, stage: Stage[Any], lease: Lease) -> None:
        """Removes a result, unless another worker has replaced it by a good one."""
        found = self._path(stage).is_dir() and record.damage(self._path(stage), stage)
        if found:
            working.discard(lease)
            working.take_away(self._path(stage), lease)
            self._journal.tell(stage, lease, "damaged", reason=found)

    def _path(self, stage: Stage[Any]) -> Path:
        return self._root / stage.name
