"""`w2sweep-status`: how far a sweep is, whatever runs it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from w2sweep.engine.owners import Owner
from w2sweep.engine.queue import LiveJob, last_jobs, live_jobs
from w2sweep.engine.slurm import spans
from w2sweep.engine.survey import Survey, survey
from w2sweep.interface.console import answering, tell_version
from w2sweep.results.cell import Failed, Result
from w2sweep.sweep.joining import plan_of

NAME = "w2sweep-status"
DESCRIPTION = """Tells how far a sweep is: which of its stages are done, running, queued in jobs of
Slurm, failed, still to come while the command runs that launched them, and missing where nothing
runs that would come to them. It only looks, and plans nothing."""
EXIT_CODES = """Exit code: 0: all stages are done, or under way. 1: a stage has failed, or is
missing: w2sweep with the same words goes on. 2: FOLDER is no sweep."""
SHOWN = 20
"""Running stages at most that are told."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns what EXIT_CODES says."""
    parser = argparse.ArgumentParser(NAME, description=DESCRIPTION, epilog=EXIT_CODES)
    says = "the sweep's folder, outputs/sweeps/<name>"
    parser.add_argument("folder", type=Path, metavar="FOLDER", help=says)
    says = "tell why stages have failed, and which ones are missing"
    parser.add_argument("--failed", action="store_true", help=says)
    tell_version(parser)
    given = parser.parse_args(arguments)
    with answering(NAME):
        found = status(given.folder)
        print(*found.lines(), sep="\n")
        if given.failed:
            for line in found.wrong():
                print(line)
        return 1 if found.survey.failed or found.missing else 0
    raise AssertionError("either returns or exits")


@dataclass(frozen=True)
class Status:
    """How far a sweep is."""

    store: Path
    cells: Sequence[Path]
    """The folders of those in which anything is run."""
    stages: Mapping[str, str]
    """Name -> what people call it."""
    survey: Survey
    jobs: Sequence[LiveJob]
    launched: bool
    """Whether the command that launched the sweep runs on this machine."""

    @property
    def missing(self) -> frozenset[str]:
        """The stages that nothing comes to."""
        return frozenset() if self.launched else self.survey.missing

    def lines(self) -> Iterator[str]:
        """What is told: first the sums."""
        results = sum((cell / Result.FILE).exists() for cell in self.cells)
        failures = sum((cell / Failed.FILE).exists() for cell in self.cells)
        yield f"cells    {results} of {len(self.cells)} done, {failures} failed"
        s = self.survey
        parts = {"done": s.done, "running": s.running, "queued": s.queued, "failed": s.failed}
        counts = [f"{len(its)} {state}" for state, its in parts.items()]
        rest = f"{len(s.missing)} {'to come' if self.launched else 'missing'}"
        yield f"stages   {len(self.stages)}: {', '.join(counts)}, {rest}"
        for running in list(s.running.values())[:SHOWN]:
            yield f"running  {self.stages[running.name]}: {running}"
        yield from self._queue()

    def wrong(self) -> Iterator[str]:
        """What has failed, and why; what is missing, and what its last job said."""
        last = last_jobs(self.store) if self.missing else {}
        for failure in self.survey.failed.values():
            yield f"failed   {failure.what}: {failure.error}: {failure.reason}"
        for name in sorted(self.missing):
            log = f": its last job was {last[name].id}, {last[name].log}" if name in last else ""
            yield f"missing  {self.stages[name]} ({name}){log}"

    def _queue(self) -> Iterator[str]:
        """The jobs that wait, by what they wait for, and the files of those that run."""
        by_reason: dict[str, list[LiveJob]] = {}
        for job in self.jobs:
            if not job.runs:
                by_reason.setdefault(job.reason, []).append(job)
        for reason, jobs in by_reason.items():
            rules = Counter(job.rule for job in jobs)
            of = ", ".join(f"{n} {rule}" for rule, n in rules.items())
            yield f"queued   jobs {spans([job.id for job in jobs])} ({of}): {reason}"
        for job in [job for job in self.jobs if job.runs][:SHOWN]:
            yield f"log      job {job.id}, {job.name}: {job.log}"


def status(folder: Path) -> Status:
    """Looks at a sweep. Raises ConfigError where there is none."""
    plan = plan_of(folder)
    store = Path(plan.get("store") or "outputs/store")
    stages = {str(name): str(what) for name, what in plan["stages"].items()}
    jobs = live_jobs(store)
    mine = [job for job in jobs if stages.keys() & job.stages or job.sweep == plan["name"]]
    found = survey(stages, store, float(plan["started"]), mine)
    run = [folder / cell["dir"] for cell in plan["cells"] if cell.get("digest")]
    return Status(store, run, stages, found, mine, _lives(plan["launcher"]))


def _lives(launcher: object) -> bool:
    try:
        owner = Owner.told(launcher)
    except ValueError:  # of a former version
        return False
    return owner.here and not owner.dead


if __name__ == "__main__":
    sys.exit(main())
