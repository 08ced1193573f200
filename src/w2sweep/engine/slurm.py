"""Stages as jobs of Slurm, by submitit: one job for each, which waits for those that it reads.

Slurm decides when and where they run. The process that submits them may end, for the store is what
tells how far they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from w2sweep.engine.handover import Handover, StageJob
from w2sweep.engine.queue import SubmittedJob, at_work, live_jobs, register, submitting
from w2sweep.engine.resources import Rule
from w2sweep.engine.slurm_job import StagesCommand
from w2sweep.values import ConfigError, Count, Natural, as_tuple, value


@value
class SlurmOptions:
    """What all jobs of a sweep have in common."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    """Further ones, by the long names that sbatch gives them: constraint, exclude, mail-user."""
    setup: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    """Lines of the shell that each job begins with, such as module load cuda."""
    signal_delay_s: Count = 120
    """How long before the end of its time a job is told to stop."""
    max_requeues: Natural = 10
    """How often a job goes on that was out of time, and how often one whose machine was at fault.
    Pre-emptions are not counted."""
    report: Rule = Rule()
    """What the job is given that reports."""


Make = Callable[[Mapping[str, str]], Handover]
"""What is to be handed over, given the stages that jobs are at work on already."""


def submit(make: Make, store: Path, options: SlurmOptions, say: Callable[[str], object]) -> None:
    """Submits a job for all that is missing and that no live job is for, and one that reports.

    Raises ConfigError where Slurm is not there, or takes no jobs. What it has taken by then is
    queued all the same.
    """
    with submitting(store):
        queue = live_jobs(store)
        work = make(at_work(queue))
        live = [job for job in queue if not work.stages.isdisjoint(job.stages)]
        ids: list[str] = []
        try:
            for job in work.jobs:
                ids.append(_submit_stages(job, ids, work, options))
            if ids or not any(job.sweep == work.name and not job.stages for job in queue):
                waited_for = [*_last(work.jobs, ids), *(job.id for job in live)]
                ids.append(_submit_report(waited_for, work, options))
        except ConfigError as error:
            raise ConfigError(f"{error}; {len(ids)} of {len(work.jobs)} jobs are queued") from error
    stages = sum(len(job.stages) for job in work.jobs)
    if ids:
        say(f"{stages} stages submitted in {len(work.jobs)} jobs, and a report: {spans(ids)}")


def spans(ids: Sequence[str]) -> str:
    """Ids of jobs, briefly: 4-7, 9."""
    runs: list[list[int]] = []
    for id in sorted(map(int, ids)):
        if runs and id == runs[-1][-1] + 1:
            runs[-1].append(id)
        else:
            runs.append([id])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _last(jobs: Sequence[StageJob], ids: Sequence[str]) -> list[str]:
    """The jobs that no other waits for: when they have ended, all have, or cannot run."""
    waited_for = {i for job in jobs for i in job.needs}
    return [id for i, id in enumerate(ids) if i not in waited_for]


def _submit_stages(job: StageJob, ids: Sequence[str], work: Handover, options: SlurmOptions) -> str:
    needed = [*(ids[i] for i in job.needs), *job.after]
    dependency = f"afterok:{':'.join(needed)}" if needed else None
    command = StagesCommand(work.command_of(job), str(work.store), job.stages, options.max_requeues)
    rule = work.rules[job.rule]
    return _submit(command, job.name, (job.rule, rule), dependency, work, options)


def _submit_report(after: Sequence[str], work: Handover, options: SlurmOptions) -> str:
    command = StagesCommand(list(work.report), str(work.store), (), options.max_requeues)
    dependency = f"afterany:{':'.join(after)}"
    name = f"report of {work.name}"
    return _submit(command, name, ("report", options.report), dependency, work, options)


def _submit(
    command: StagesCommand,
    name: str,
    rule: tuple[str, Rule],
    dependency: str | None,
    work: Handover,
    options: SlurmOptions,
) -> str:
    """Submits a command under a rule, by its name. Returns the job's id."""
    from submitit import AutoExecutor
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    _check_time(*rule, options)
    folder = work.folder / "jobs"
    try:
        executor = AutoExecutor(
            folder / "%j", cluster="slurm", slurm_max_num_timeout=options.max_requeues
        )
        executor.update_parameters(**_parameters(name, rule[1], dependency, options))
        with _clean_env():
            job = executor.submit(command)
    except (FailedJobError, FailedSubmissionError, RuntimeError) as error:
        raise ConfigError(f"Slurm takes no job: {' '.join(str(error).split())}") from error
    log = folder / job.job_id / f"{job.job_id}_0_log.out"
    register(
        work.store,
        SubmittedJob(job.job_id, name, work.name, rule[0], tuple(command.stages), str(log)),
    )
    return job.job_id


def _check_time(name: str, rule: Rule, options: SlurmOptions) -> None:
    if 2 * options.signal_delay_s > 60 * rule.minutes:
        raise ConfigError(
            f"hydra.launcher.signal_delay_s: found {options.signal_delay_s}, expected at most half "
            f"of the {rule.minutes} minutes of {name}: a job would be stopped as it begins"
        )


def _parameters(
    name: str, rule: Rule, dependency: str | None, options: SlurmOptions
) -> dict[str, Any]:
    """In the words of submitit. What it has no word for goes to sbatch as it is."""
    own = {"partition": options.partition, "account": options.account, "qos": options.qos}
    given = {key: value for key, value in own.items() if value is not None}
    further = {**given, **options.options, **rule.options}
    return {
        "name": name,
        "timeout_min": rule.minutes,
        "nodes": 1,
        "tasks_per_node": 1,
        "cpus_per_task": rule.cpus,
        "gpus_per_node": rule.gpus or None,
        "mem_gb": rule.mem_gb,
        "stderr_to_stdout": True,
        "slurm_dependency": dependency,
        "slurm_setup": list(options.setup) or None,
        "slurm_signal_delay_s": options.signal_delay_s,
        # since version 22.05 srun does not take it over from the job, and would bind to one CPU
        "slurm_srun_args": [f"--cpus-per-task={rule.cpus}"],
        "slurm_additional_parameters": {
            "kill-on-invalid-dep": "yes",
            "requeue": True,
            **further,
        },
    }


@contextmanager
def _clean_env() -> Iterator[None]:
    """Without what the variables of a job say, in which this process may run; but with where Slurm
    has its configuration."""
    from submitit.helpers import clean_env

    conf = {key: os.environ[key] for key in ("SLURM_CONF",) if key in os.environ}
    with clean_env():
        os.environ.update(conf)
        yield
