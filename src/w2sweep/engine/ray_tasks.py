"""Stages as tasks of Ray: one for each job, which begins when those that it reads have ended.

Ray decides on which node a task runs, and runs it again where its node died. The task starts the
command of the job as a process of its own, and maps how that ends.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from w2sweep.engine.files import read_json, write_json
from w2sweep.engine.handover import DONE, INTERRUPTED, Handover, StageJob
from w2sweep.engine.leases import give_back
from w2sweep.engine.owners import Owner
from w2sweep.engine.resources import Rule
from w2sweep.values import ConfigError, Count, Natural, value

STOPPING_S = 60.0
"""How long a command may take to end that is told to stop: it writes no checkpoint then, but ends
what it has started."""
GB = 10**9


@value
class RayOptions:
    """What all tasks of a sweep have in common."""

    address: str | None = None
    """Of a cluster; None: one of this machine alone, for as long as the sweep."""
    cpus: Count | None = None
    """Of this machine; None: all. Not with an address, where the cluster says."""
    gpus: Natural | None = None
    max_retries: Natural = 3
    """How often a task is run again that was interrupted, or whose node died."""
    grows: bool = False
    """Whether nodes come when they are asked for: then nobody checks what there is."""
    init: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of ray.init."""


class StagesInterrupted(RuntimeError):
    """The command of a task is to be run again, and goes on from the checkpoint."""


@dataclass(frozen=True)
class Task:
    """What a task is told."""

    command: tuple[str, ...]
    folder: str
    """In which it is run."""
    path: str | None
    """PYTHONPATH."""
    store: str
    stages: tuple[str, ...]
    notes: str
    """A folder for its output, and for who is at it."""
    run: str
    """What tells this run of the sweep from others."""


@dataclass(frozen=True)
class TaskEnd:
    """How a task has ended."""

    code: int
    missing: tuple[str, ...]
    """Its stages that have no result."""
    nothing: bool
    """Whether none has."""
    log: str


def run_jobs(work: Handover, options: RayOptions, say: Callable[[str], object]) -> None:
    """Runs all jobs, and returns when the last one has ended, however that was.

    Raises ConfigError where Ray is not there, or has no node that is large enough. Raises
    RuntimeError where something was interrupted too often.
    """
    with _cluster(options) as ray:
        if not options.grows:
            _check(ray.nodes(), work)
        remote, run = ray.remote(run_task), secrets.token_hex(4)
        tasks: dict[int, Any] = {}
        for i in _largest_first(work):
            job = work.jobs[i]
            needs = [tasks[n] for n in job.needs]
            given = _options(job, work.rules[job.rule], options)
            tasks[i] = _submitted(remote, given, _task(job, work, run), needs)
        ends = [_end(ray, task) for task in tasks.values()]
    lost = [end for end in ends if isinstance(end, Exception)]
    wrong = [end for end in ends if isinstance(end, TaskEnd) and end.code != DONE]
    if wrong:
        say(f"{len(wrong)} of {len(tasks)} tasks of Ray went wrong; the first says: {wrong[0].log}")
    if lost:
        first = " ".join(str(lost[0]).split())
        raise RuntimeError(f"{len(lost)} of {len(tasks)} tasks of Ray were lost: {first}")


def run_task(task: Task, *needs: TaskEnd) -> TaskEnd:
    """What runs on a node, when the tasks that it reads have ended. A stage whose input has failed
    is not begun.

    Raises StagesInterrupted where it is to be run again.
    """
    log = Path(task.notes) / f"{task.stages[0].replace('/', '-')}.log"
    if not Path(task.store).is_dir() or not Path(task.folder).is_dir():
        raise RuntimeError(
            f"{socket.gethostname()} does not see {task.store} and {task.folder}: the store and "
            "the folder of the sweep have to be on a file system that all nodes share"
        )
    code = DONE
    if len(task.stages) > 1 or not any(need.nothing for need in needs):
        _release_former(task, log)
        code = _run(task, log)
    if code == INTERRUPTED or code < 0:
        raise StagesInterrupted(f"exit code {code} of {' '.join(task.command)}: see {log}")
    missing = [name for name in task.stages if not (Path(task.store) / name).is_dir()]
    return TaskEnd(code, tuple(missing), len(missing) == len(task.stages), str(log))


def _run(task: Task, log: Path) -> int:
    """Runs the command, in a process group that ends with this task. Returns its exit code."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, **({"PYTHONPATH": task.path} if task.path else {})}
    with log.open("ab") as said:
        child = subprocess.Popen(
            task.command,
            cwd=task.folder,
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        note = {"run": task.run, "owner": Owner.of(child.pid).plain}
        write_json(log.with_suffix(".json"), note)
        return child.wait()
    finally:
        _stop(child)


def _stop(child: subprocess.Popen) -> None:
    """Ends the command, and all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(STOPPING_S)
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _release_former(task: Task, log: Path) -> None:
    """Gives back what the command held when its node died: on another one nobody could tell, and it
    would be waited for."""
    try:
        note = read_json(log.with_suffix(".json"))
        former = Owner.told(note["owner"])
    except (OSError, ValueError, TypeError, KeyError):
        return
    for name in task.stages if note["run"] == task.run else ():
        kind, _, key = name.partition("/")
        give_back(Path(task.store) / kind, key, former)


def _task(job: StageJob, work: Handover, run: str) -> Task:
    return Task(
        command=tuple(work.command_of(job)),
        folder=str(Path.cwd()),
        path=os.environ.get("PYTHONPATH"),
        store=str(work.store),
        stages=job.stages,
        notes=str(work.folder / "jobs" / "ray"),
        run=run,
    )


def _largest_first(work: Handover) -> Iterator[int]:
    """The positions of the jobs in the order in which they are submitted: of those that can begin,
    the ones with the most GPUs and cores first, for Ray lets smaller ones overtake."""
    left = dict(enumerate(work.jobs))
    while left:
        able = [i for i, job in left.items() if left.keys().isdisjoint(job.needs)]
        able.sort(key=lambda i: _weight(work.rules[left[i].rule]), reverse=True)
        for i in able:
            del left[i]
        yield from able


def _weight(rule: Rule) -> tuple[int, int]:
    return rule.gpus, rule.cpus


def _options(job: StageJob, rule: Rule, options: RayOptions) -> dict[str, Any]:
    """In the words of Ray."""
    memory = {} if rule.mem_gb is None else {"memory": int(rule.mem_gb * GB)}
    return {
        "name": job.name,
        "num_cpus": rule.cpus,
        "num_gpus": rule.gpus,
        **memory,
        "max_retries": options.max_retries,
        "retry_exceptions": [StagesInterrupted],
        **rule.options,
    }


def _submitted(remote: Any, given: Mapping[str, Any], task: Task, needs: Sequence[Any]) -> Any:
    try:
        return remote.options(**given).remote(task, *needs)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"hydra.launcher: Ray says: {' '.join(str(error).split())}") from error


def _end(ray: Any, task: Any) -> TaskEnd | Exception:
    """Waits for the end of a task. An error means that it is lost."""
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        return error.cause  # without the traceback, which is in the worker's log
    except ray.exceptions.RayError as error:
        return error


def _check(nodes: Sequence[Mapping[str, Any]], work: Handover) -> None:
    """Raises ConfigError where no node could ever run a job: Ray would wait for one for ever."""
    there = [node["Resources"] for node in nodes if node["Alive"]]
    for name in dict.fromkeys(job.rule for job in work.jobs):
        rule = work.rules[name]
        further = rule.options.get("resources") or {}
        asked = {"CPU": rule.cpus, "GPU": rule.gpus, "memory": (rule.mem_gb or 0) * GB, **further}
        wanted = {kind: n for kind, n in asked.items() if n}
        if not any(all(has.get(k, 0) >= n for k, n in wanted.items()) for has in there):
            most = {kind: _most(kind, there) for kind in wanted}
            raise ConfigError(
                f"hydra.launcher.resources.{name}: no node of Ray has {_told(wanted)}; the most "
                f"that one has: {_told(most)}; hydra.launcher.grows=true waits for nodes to come"
            )


def _most(kind: str, there: Sequence[Mapping[str, float]]) -> float:
    """How much of a resource the node has that has most of it."""
    return max((has.get(kind, 0) for has in there), default=0)


def _told(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{n:g} {kind}" for kind, n in resources.items())


@contextmanager
def _cluster(options: RayOptions) -> Iterator[Any]:
    """Ray, connected. Raises ConfigError where that cannot be."""
    for name, held in (("RAY_USAGE_STATS_ENABLED", "0"), ("RAY_AUTH_MODE", "disabled")):
        if options.address is None:
            os.environ.setdefault(name, held)
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            "hydra/launcher=stages_ray needs Ray: pip install 'w2sweep[ray]'"
        ) from error
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(**_init(options))
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"hydra.launcher.address: no Ray at {options.address}: {reason}"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, handler)  # ours tells the user what to do
    try:
        yield ray
    finally:
        ray.shutdown()


def _init(options: RayOptions) -> dict[str, Any]:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if options.address is not None:
        return {"address": options.address, **quiet, **options.init}
    own = {"num_cpus": options.cpus, "num_gpus": options.gpus, "include_dashboard": False}
    # nothing but how a task ended is handed from one to the next
    return {**own, "object_store_memory": 100 * 2**20, **quiet, **options.init}
