"""The door: composed configuration in, typed values out. Nothing behind it knows of configuration files."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from w2sweep.ladder import Ladder
from w2sweep.losses import Loss
from w2sweep.methods import Method
from w2sweep.recipe import Recipe
from w2sweep.runtime import Runtime
from w2sweep.setting import Cell, Half, Setting
from w2sweep.stages import Sizes
from w2sweep.store import Mode
from w2sweep.supervision import Supervision
from w2sweep.tasks import Task
from w2sweep.tracking import Tracking
from w2sweep.tuning import Tuning
from w2sweep.values import ConfigError, value


@value
class Keys:
    """The keys of the root that belong to no group."""

    weak: str
    strong: str
    seed: Annotated[int, Field(ge=0)]
    ceiling_on: Half
    data_root: str | None
    store: str
    cache: Mode
    sweep: str | None
    impossible: Literal["error", "skip"]


@value
class Request(Keys):
    """The root of the configuration: one cell, and how and where it is run."""

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
    tracking: Tracking | None

    def __post_init__(self) -> None:
        _ = self.task.head  # a task that reads a file of the user's says now what is wrong with it

    @property
    def setting(self) -> Setting:
        """Raises ConfigError where `weak` or `strong` is no rung of the ladder."""
        for key in ("weak", "strong"):
            _check_rung(self.ladder, key, getattr(self, key))
        return Setting(
            self.task, self.ladder, self.weak, self.strong, self.sizes, self.tuning, self.recipe, self.seed,
            self.ceiling_on, self.supervision,
        )  # fmt: skip

    @property
    def cell(self) -> Cell:
        """Raises ConfigError where the method cannot work with the task."""
        return made(Cell, {"setting": self.setting, "method": self.method})


def request(config: Mapping[str, Any]) -> Request:
    """The typed root of a configuration without interpolations. Raises ConfigError, with the path of what is wrong."""
    # Keys first: what is wrong with `seed` is also wrong with each `${seed}`, where nobody wrote it.
    made(Keys, {k: v for k, v in config.items() if k in inspect.signature(Keys).parameters})
    return made(Request, {str(k): build(v, str(k)) for k, v in config.items()})


def build(node: Any, path: str) -> Any:
    """A node with `_target_` as an instance of that class, built from its other keys; lists as tuples."""
    if isinstance(node, Mapping):
        fields = {str(k): build(v, f"{path}.{k}") for k, v in node.items() if k != "_target_"}
        return made(_locate(node["_target_"], path), fields, path) if "_target_" in node else fields
    if isinstance(node, list | tuple):
        return tuple(build(v, f"{path}.{i}") for i, v in enumerate(node))
    return node


def made(cls: type, fields: Mapping[str, Any], path: str = "") -> Any:
    """`cls(**fields)`. Raises ConfigError that begins with the path of the wrong field."""
    parameters, owner = inspect.signature(cls).parameters, path or "the configuration"
    for key in fields:
        if key not in parameters:
            raise ConfigError(
                f"{_join(path, key)}: unknown key; {owner} has {unknown(key, parameters, _join(path, ''))}"
            )
    for key, parameter in parameters.items():
        if key not in fields and parameter.default is parameter.empty:
            raise ConfigError(f"{_join(path, key)}: missing; {owner} needs it, so set {_join(path, key)}=...")
    try:
        return cls(**fields)
    except ValidationError as error:
        raise _explained(error, path) from error
    except ConfigError as error:
        raise type(error)(_join(path, str(error), ": ")) from error


def unknown(found: str, known: Iterable[str], prefix: str = "") -> str:
    """What there is instead of `found`, and the nearest of it: "a, b. Did you mean prefix + a?"."""
    known = [str(k) for k in known]
    near = difflib.get_close_matches(found, known, n=1)
    return (", ".join(known) or "nothing") + (f". Did you mean {prefix}{near[0]}?" if near else "")


def _check_rung(ladder: Ladder, key: str, rung: str) -> None:
    if rung not in ladder.rungs:
        raise ConfigError(
            f"{key}: no rung '{rung}' on ladder '{ladder.name}'; it has {unknown(rung, ladder.rungs, f'{key}=')}"
        )


def _locate(target: Any, path: str) -> type:
    module, _, name = str(target).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path}._target_: cannot import '{target}' ({error})") from error
    if not isinstance(found, type):
        raise ConfigError(f"{path}._target_: '{target}' is a {type(found).__name__}, expected a class")
    return found


def _explained(error: ValidationError, path: str) -> ConfigError:
    """The first of pydantic's findings, in one line."""
    first = error.errors()[0]
    if isinstance(own := first.get("ctx", {}).get("error"), ConfigError):
        return ConfigError(_join(path, str(own), ": "))
    where = ".".join(map(str, (*([path] if path else []), *first["loc"])))
    found = first["input"]
    expected = first["msg"].removeprefix("Input should be ")
    return ConfigError(f"{where}: found {found!r:.80} ({type(found).__name__}), expected {expected}")


def _join(path: str, rest: str, by: str = ".") -> str:
    return f"{path}{by}{rest}" if path else rest
