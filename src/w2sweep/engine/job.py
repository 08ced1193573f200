"""Jobs: what a store hands to the stage that it runs."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from w2sweep.engine.devices import Device, device, gains_from_bf16, processor
from w2sweep.engine.files import read_json
from w2sweep.engine.progress import Progress
from w2sweep.engine.runtime import Rank, Runtime
from w2sweep.engine.stage import Stage, identity
from w2sweep.engine.tracker import Run, Tracker

T = TypeVar("T")


@dataclass(frozen=True)
class Circumstances:
    """How and for whom stages are run: nothing of it changes a result."""

    runtime: Runtime = field(default_factory=Runtime)
    tracking: Tracker | None = None
    """None: no tracker."""
    sweep: str = "default"
    """Groups the tracker's runs."""
    runs: Path | None = None
    """A JSON file that says of stages, by name, what their runs are called (`name`) and found by
    (`tags`, `config`), beside what they say themselves."""
    planned: frozenset[str] = frozenset()
    """Names of all stages that the sweep needs, by whatever worker."""
    read_whole: frozenset[str] = frozenset()
    """Names of those whose whole result one of them may read."""


class StoreJob:
    """A `Job` (see `w2sweep.engine.stage`) of a store.

    Use it as a context: at its end the job's run in the tracker, which begins with the first row
    that is logged, is closed, as failed where the block raises.

    Args:
        stage: what is run.
        out: its working folder.
        circumstances: how and for whom it is run.
        get: reads the result of another stage.
        together: with how many, itself included, it shares the time of this process.
    """

    def __init__(
        self,
        stage: Stage[Any],
        out: Path,
        circumstances: Circumstances,
        get: Callable[[Stage[Any]], Any],
        together: int = 1,
    ):
        self.stage, self.out, self.runtime = stage, out, circumstances.runtime
        self.circumstances, self.rank = circumstances, Rank()
        self.facts: dict[str, Any] = {}
        self.delivered: list[tuple[Stage[Any], Path]] = []
        self._get, self.together = get, together
        self._open = contextlib.ExitStack()

    def __enter__(self) -> StoreJob:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    @property
    def device(self) -> Device:
        found = device(self.runtime.accelerator)
        self.note(device=found, processor=processor(found))
        return found

    @property
    def bf16(self) -> bool:
        if self.runtime.bf16 == "auto":
            return gains_from_bf16(self.device)
        return self.runtime.bf16 == "yes"

    def get(self, stage: Stage[T]) -> T:
        return self._get(stage)

    def progress(self, steps: int, unit: str = "steps") -> Progress:
        return Progress(self.out, self.stage.what, steps, unit, self.together)

    def log(self, row: Mapping[str, Any]) -> None:
        _log(self._run, row)

    def note(self, **facts: Any) -> None:
        self.facts.update(facts)

    def wants(self, stage: Stage[Any]) -> bool:
        return stage.name in self.circumstances.planned

    @property
    def is_read_whole(self) -> bool:
        return self.stage.name in self.circumstances.read_whole

    def deliver(self, stage: Stage[Any]) -> Path:
        folder = self.out / f".deliver.{stage.key}"
        folder.mkdir()
        self.delivered.append((stage, folder))
        return folder

    @cached_property
    def _run(self) -> Run:
        here = self.circumstances
        if here.tracking is None:
            return Run()
        self.note(tracked=here.tracking.place(here.sweep))
        about = _told(here.runs, self.stage)
        opened = _run_of(self.stage, self.stage.key, here.tracking, here.sweep, about, live=True)
        run = self._open.enter_context(opened)
        if run.url:
            self.note(url=run.url)
        return run


def replay(
    stage: Stage[Any],
    rows: Sequence[Mapping[str, Any]],
    tracked: object,
    tracking: Tracker,
    sweep: str,
    about: Mapping[str, Any],
) -> str:
    """Gives a sweep a run of a stage that was there already, from the rows of its curves. Returns
    where a browser shows it; nothing where none does.

    `tracked` is where the stage has a run of its own, which stays where it is; `about` is what the
    sweep says of the run (see `Circumstances.runs`).
    """
    other = hashlib.sha256(sweep.encode()).hexdigest()[:8]
    id = f"{stage.key}-{other}" if tracked else stage.key
    with _run_of(stage, id, tracking, sweep, about) as run:
        for row in rows:
            _log(run, row)
        return run.url


def _run_of(
    stage: Stage[Any],
    id: str,
    tracking: Tracker,
    sweep: str,
    about: Mapping[str, Any],
    live: bool = False,
) -> AbstractContextManager[Run]:
    """The run of a stage. Its config is flat but for the stage's identity."""
    flat = {"role": stage.role, **stage.told, **about.get("config", {}), "sweep": sweep}
    return tracking.run(
        id=id,
        name=about.get("name", stage.what),
        group=sweep,
        job_type=stage.role,
        tags=[*stage.tags, *about.get("tags", ())],
        config={**flat, "stage": stage.name, "identity": identity(stage)},
        live=live,
    )


def _told(runs: Path | None, stage: Stage[Any]) -> Mapping[str, Any]:
    """What a file says of the run of a stage."""
    if runs is None:
        return {}
    try:
        return read_json(runs).get(stage.name, {})
    except (OSError, ValueError, AttributeError):  # then the stage has its own words
        return {}


def _log(run: Run, row: Mapping[str, Any]) -> None:
    values = {_in_a_group(k): v for k, v in row.items() if k not in ("step", "progress")}
    run.log(values, step=row["step"])


def _in_a_group(name: str) -> str:
    return name if "/" in name else f"train/{name}"
