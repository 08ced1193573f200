"""Workers of a sweep: what a process is told that runs a part of it, by the plan in its folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from w2sweep.engine import gpus
from w2sweep.engine.files import read_json
from w2sweep.engine.job import Circumstances
from w2sweep.engine.owners import Owner, end_with
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.store import Store
from w2sweep.sweep.request import Request
from w2sweep.values import ConfigError

PLAN = "sweep.json"
"""In a sweep's folder: its cells, its stages, and what all of its workers have in common."""
RUNS = "runs.json"
"""In a sweep's folder, where it is tracked: what the runs of its stages are called and found by."""
KEPT = ("command", "started", "launcher", "job", "host", "environment")
"""What a plan says of the process that started the sweep."""
JOB = "SLURM_JOB_ID"
"""The variable that tells which job of a cluster a process belongs to: jobs outlive a launcher that
does not run in them."""


def joined(request: Request, folder: Path) -> Store:
    """The store that a request names, as all workers of the sweep in `folder` use it.

    Raises ConfigError where there is no sweep.
    """
    plan = plan_of(folder)
    circumstances = Circumstances(
        runtime=replace(request.runtime, bf16=plan["bf16"]),
        tracking=request.tracking,
        sweep=plan["name"],
        runs=folder / RUNS,
        planned=frozenset(plan["stages"]),
        read_whole=frozenset(plan["read_whole"]),
    )
    return store_of(request, circumstances, since=plan["started"])


def plan_of(folder: Path) -> dict[str, Any]:
    """What the sweep in a folder says of itself. Raises ConfigError where there is none."""
    try:
        return read_json(folder / PLAN)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{folder} is no sweep ({type(error).__name__}: {PLAN}): expected outputs/sweeps/NAME"
        ) from error


def end_with_launcher(folder: Path) -> None:
    """Ends this process when the one ends that launched the sweep in `folder`, unless that is in
    another job of a cluster."""
    plan = read_json(folder / PLAN)
    if plan["job"] == os.environ.get(JOB):
        end_with(Owner.told(plan["launcher"]))


def take_gpus(runtime: Runtime, folder: Path) -> None:
    """Gives this process GPUs of its own, where it works for the process that launched the sweep
    in `folder`, and is not that one."""
    plan = read_json(folder / PLAN)
    if Owner.told(plan["launcher"]) != Owner.this():
        gpus.take(runtime.accelerator, runtime.devices)


def store_of(request: Request, circumstances: Circumstances, since: float | None = None) -> Store:
    """The store that a request names."""
    return Store(request.store, circumstances, request.cache, since)


def kept(folder: Path) -> dict[str, Any]:
    """What an onlooker leaves as it is in the plan of a sweep."""
    try:
        plan = read_json(folder / PLAN)
        return {key: plan[key] for key in KEPT if key in plan}
    except (OSError, ValueError, TypeError):
        return {}


def as_before(runtime: Runtime, folder: Path) -> Runtime:
    """With bf16 as an earlier run of this sweep decided it, maybe on another machine."""
    if runtime.bf16 != "auto":
        return runtime
    try:
        return replace(runtime, bf16=read_json(folder / PLAN)["bf16"])
    except (OSError, ValueError, KeyError, TypeError):
        return runtime
