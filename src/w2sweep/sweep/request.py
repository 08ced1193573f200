"""The root of a configuration as typed values: one cell, and how and where it is run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from w2sweep.building import Builder, made, unknown
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.store import Mode
from w2sweep.engine.tracker import Tracker
from w2sweep.experiment.best_of import BestOf
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.ladder import Ladder
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Half, Setting, Supervision
from w2sweep.experiment.sharded import check_sharded
from w2sweep.experiment.shift import Shift
from w2sweep.experiment.splits import Sizes
from w2sweep.experiment.target import Target
from w2sweep.experiment.tuning import Tuning
from w2sweep.tasks.task import Task
from w2sweep.values import ConfigError, Fraction, Seed, value

FilledPath = Annotated[str, Field(min_length=1)]
"""A path. An empty one would be the current folder."""
Form = Literal[False, True, "json", "csv"]
"""Whether to tell what would be run instead of running it, and in which form."""
LONGEST_NAME = 100
"""Of a sweep, in characters: its folder has others in it, and trackers cut longer ones."""


def _sweep_name(name: str) -> str:
    """Raises ConfigError for what is no name of one folder in outputs/sweeps."""
    sound = name.isprintable() and name == name.strip() and not name.startswith(".")
    if not sound or not 0 < len(name) <= LONGEST_NAME or set(name) & set("/\\"):
        raise ConfigError(
            f"sweep: found {name!r:.60}, expected the name of a folder in outputs/sweeps: at most "
            f"{LONGEST_NAME} characters, no slashes, no line breaks, no dot or blank in front; "
            "hydra.sweep.dir=FOLDER names other places"
        )
    return name


@value
class Keys:
    """The keys of the root that belong to no group."""

    weak: str
    strong: str
    seed: Seed
    ceiling_on: Half
    alpha_warmup: Fraction
    """Read by confidence losses, as `${alpha_warmup}`."""
    data_root: FilledPath | None
    """Read by sources of data, as `${data_root}`."""
    store: FilledPath
    cache: Mode
    sweep: Annotated[str, AfterValidator(_sweep_name)] | None
    impossible: Literal["error", "skip"]


KEYS = frozenset(inspect.signature(Keys).parameters)


@value
class Request(Keys):
    """One cell, and how and where it is run."""

    task: Task
    ladder: Ladder
    supervision: Supervision
    method: Method
    loss: Loss
    """Read by `method`, as `${loss}`."""
    tuning: Tuning
    recipe: Recipe
    sizes: Sizes
    runtime: Runtime
    tracking: Tracker | None
    shift: Shift = Shift()
    """How the student's half differs from what models are tested on."""
    evaluate_on: tuple[Target, ...] = ()
    """Other tasks that supervisor, student and ceiling answer too."""
    best_of: BestOf | None = None
    """Replies that they choose the best of, as reward models."""
    plan: Form = False
    """Whether to tell what would be run, and in which form, instead of running it."""

    def __post_init__(self) -> None:
        _ = self.task.head  # a task that reads a file of the user's says now what is wrong with it

    @cached_property
    def setting(self) -> Setting:
        """Raises ConfigError where `weak` or `strong` is no rung of the ladder."""
        for key in ("weak", "strong"):
            _check_rung(self.ladder, key, getattr(self, key))
        values = {f.name: getattr(self, f.name) for f in fields(Setting)}  # type: ignore
        return Setting(**values)

    @cached_property
    def cell(self) -> Cell:
        """Raises ConfigError where the method cannot work with the task, or the
        runtime with both."""
        cell: dict[str, Any] = {"setting": self.setting, "method": self.method}
        cell |= {"evaluate_on": self.evaluate_on, "best_of": self.best_of}
        if self.runtime.sharded:
            check_sharded(self.task.head, self.recipe)
        return made(Cell, cell)


def request(config: Mapping[str, Any]) -> Request:
    """The typed root of a configuration without interpolations.

    Raises ConfigError, which begins with the path of what is wrong.
    """
    return Requests().of(config)


class Requests:
    """Requests that share the values of what their configurations have in common."""

    def __init__(self):
        self._builder = Builder()

    def of(self, config: Mapping[str, Any]) -> Request:
        """As `request`."""
        # Keys first: a wrong `seed` is also wrong at each `${seed}`, where nobody wrote it.
        made(Keys, {key: node for key, node in config.items() if key in KEYS})
        values = {key: self._builder.build(node, key) for key, node in config.items()}
        return made(Request, values)


def _check_rung(ladder: Ladder, key: str, rung: str) -> None:
    if rung not in ladder.rungs:
        there = unknown(rung, ladder.rungs, f"{key}=")
        raise ConfigError(f"{key}: no rung '{rung}' on ladder '{ladder.name}'; it has {there}")
