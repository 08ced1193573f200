"""Stages: computations as values. What a stage is known by, and what it reads."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

if TYPE_CHECKING:
    from w2sweep.store import Store

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Stage(Generic[T]):
    """A computation whose result depends on its fields and on nothing else.

    Fields are plain values, frozen dataclasses, or other stages (its inputs). How a stage is run (devices, workers,
    logging) never is a field: that comes with the store.
    """

    version: ClassVar[int] = 1
    """Raised when a change of the code changes the result."""
    added: ClassVar[frozenset[str]] = frozenset()
    """Fields that came later: left out of the identity at their default, so that earlier results keep their keys."""

    def run(self, out: Path, store: Store) -> None:
        """Writes the result into the directory `out`; the inputs are in `store` already.

        `out` is empty, but for the `checkpoint*` of a worker that was interrupted on this very stage. Checkpoints and
        `progress.json` are not part of the result.
        """
        raise NotImplementedError

    def read(self, path: Path) -> T:
        """The result that `run` wrote."""
        raise NotImplementedError

    @property
    def inputs(self) -> list[Stage[Any]]:
        """The stages that `run` reads."""
        return [s for f in dataclasses.fields(self) for s in _stages_in(getattr(self, f.name))]

    @functools.cached_property
    def key(self) -> str:
        """64 bits of a hash of the identity, in hex."""
        text = json.dumps(identity(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """Its place in a store."""
        return f"{type(self).__name__}/{self.key}"

    @property
    def what(self) -> str:
        """What messages and progress lines call it."""
        return self.name

    def __str__(self) -> str:
        return self.what


def identity(x: Any) -> Any:
    """What `x` is, as JSON: equal for equal values on any machine, on any day.

    A dataclass is its type, its `version` (if it has one other than 1) and its fields, without those of `added` that
    are at their default. One that has a method `identity()` answers for itself: a local file is its content. A stage
    inside another value is its name alone, which stands for all of it.

    Raises:
        TypeError: for what is not the same tomorrow or elsewhere: a path, a function, a set, nan.
    """
    if _is_dataclass(x):
        return _described(x)
    if isinstance(x, list | tuple):
        return [_nested(v) for v in x]
    if isinstance(x, dict) and all(isinstance(k, str) for k in x):
        return {k: _nested(v) for k, v in x.items()}
    if x is None or isinstance(x, str | int) or (isinstance(x, float) and math.isfinite(x)):
        return x
    raise TypeError(
        f"a stage may not hold {x!r:.80}, for a {type(x).__name__} has no stable identity: use finite numbers, "
        "strings, lists, dicts with string keys, frozen dataclasses, or a dataclass with a method identity()"
    )


def _is_dataclass(x: Any) -> bool:
    return dataclasses.is_dataclass(x) and not isinstance(x, type)


def _nested(x: Any) -> Any:
    return {"stage": x.name} if isinstance(x, Stage) else identity(x)


def _described(x: Any) -> dict[str, Any]:
    kind: dict[str, Any] = {"is": f"{type(x).__module__}.{type(x).__qualname__}"}
    if isinstance(version := getattr(type(x), "version", 1), int) and version != 1:
        kind["version"] = version
    if callable(own := getattr(x, "identity", None)):
        return kind | {"identity": identity(own())}
    added = getattr(type(x), "added", frozenset())
    fields = ((f, getattr(x, f.name)) for f in dataclasses.fields(x))
    return kind | {f.name: _nested(v) for f, v in fields if not (f.name in added and v == _default(f))}


def _default(field: dataclasses.Field[Any]) -> Any:
    source: Any = field.default if hasattr(field.default, "default_factory") else field  # pydantic.Field(default=...)
    return source.default_factory() if callable(source.default_factory) else source.default


def _stages_in(x: Any) -> Iterator[Stage[Any]]:
    if isinstance(x, Stage):
        yield x
    elif _is_dataclass(x):
        yield from _stages_in([getattr(x, f.name) for f in dataclasses.fields(x)])
    elif isinstance(x, list | tuple | dict):
        for v in x.values() if isinstance(x, dict) else x:
            yield from _stages_in(v)


def closure(
    stages: tuple[Stage[Any], ...], known: Callable[[Stage[Any]], bool] = lambda stage: False
) -> list[Stage[Any]]:
    """These stages and all they read, each once, inputs before their readers; without those that are `known`, and what
    only those read."""
    found: dict[str, Stage[Any]] = {}

    def visit(stage: Stage[Any]) -> None:
        if stage.key not in found and not known(stage):
            for s in stage.inputs:
                visit(s)
            found[stage.key] = stage

    for stage in stages:
        visit(stage)
    return list(found.values())
