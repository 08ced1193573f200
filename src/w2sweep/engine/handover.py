"""What an engine of a cluster is given: jobs that stand for stages of a sweep, as commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from w2sweep.engine.resources import Rule

DONE, FAILED, WRONG, LACKING, INTERRUPTED = 0, 1, 2, 3, 4
"""How the command of a job exits: all its stages are there; one has failed; the configuration is
wrong; what one reads is not there; run it again. Below zero: a signal has killed it."""


@dataclass(frozen=True)
class StageJob:
    """Stages that one worker makes sure of, one after the other."""

    name: str
    """What people call it: that of its first stage, and how many more there are."""
    words: tuple[str, ...]
    """Of its command, behind those that all jobs of a sweep begin with."""
    stages: tuple[str, ...]
    """Their names in the store."""
    rule: str
    """The name of the rule that says what it is given."""
    needs: tuple[int, ...]
    """Positions of the jobs whose results it reads, all before its own."""
    after: tuple[str, ...] = ()
    """What the engine calls jobs, of whatever sweep, that are at work already on what it reads."""


@dataclass(frozen=True)
class Handover:
    """All that is missing of a sweep."""

    jobs: Sequence[StageJob]
    command: tuple[str, ...]
    """What the command of every job begins with."""
    rules: Mapping[str, Rule]
    name: str
    """The sweep's."""
    stages: frozenset[str]
    """Names of all its stages, also of those that are there."""
    folder: Path
    """The sweep's, absolute."""
    store: Path
    report: tuple[str, ...]
    """A command that reports, when all jobs are over."""

    def command_of(self, job: StageJob) -> list[str]:
        """What is to be run, in the current folder, for a job."""
        return [*self.command, *job.words]
