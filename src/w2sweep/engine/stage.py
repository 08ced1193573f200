"""Stages, which are computations as values: what a stage is known by, what it reads, and the job
that it is given."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar
from weakref import WeakValueDictionary

from w2sweep.engine.devices import Device
from w2sweep.engine.progress import Progress
from w2sweep.engine.runtime import Rank, Runtime
from w2sweep.engine.source_code import source

T = TypeVar("T")

PACKAGE = __name__.partition(".")[0]

_MADE: WeakValueDictionary[tuple[object, ...], Any] = WeakValueDictionary()
"""Class and values -> the stage of these."""
_IDENTITY = "_identity"
"""Where a value keeps what it is."""


class Job(Protocol):
    """What a stage is given while it runs."""

    out: Path
    """An empty folder to write the result to. It holds the `checkpoint*` of a worker that was
    interrupted on this very stage, if there was one; checkpoints are no part of the result."""
    runtime: Runtime
    """How to compute."""
    rank: Rank
    """Which one of the processes that run the stage together; most often there is one. Each has a
    job, and what is written or told by others than the first is thrown away."""

    @property
    def device(self) -> Device:
        """Where to compute. Raises ConfigError where a GPU is asked for and there is none."""
        ...

    @property
    def bf16(self) -> bool:
        """Whether this sweep computes in bf16 where that is faster."""
        ...

    def get(self, stage: Stage[T]) -> T:
        """The result of one of the stage's inputs."""
        ...

    def progress(self, steps: int, unit: str = "steps") -> Progress:
        """Tells whoever watches how many of so many steps are done."""
        ...

    def log(self, row: Mapping[str, Any]) -> None:
        """Adds a row to the stage's curves in the tracker, at its `step`. Names without a group get
        the group `train/`; `progress` (the step as a part of all) is left out."""
        ...

    def note(self, **facts: Any) -> None:
        """Adds facts about how the result was computed to its record, `stage.json`."""
        ...

    def wants(self, stage: Stage[Any]) -> bool:
        """Whether the sweep also needs the result of `stage`, which reads the one that runs."""
        ...

    @property
    def is_read_whole(self) -> bool:
        """Whether the sweep has a stage that may read all of the result of the one that runs (see
        `Stage.reads_whole`)."""
        ...

    def deliver(self, stage: Stage[Any]) -> Path:
        """A new folder to write the result of `stage` to, which is committed just before that of
        the stage that runs: so what two stages have in common is computed once."""
        ...


@dataclasses.dataclass(frozen=True)
class Stage(Generic[T]):
    """A computation whose result depends on its fields and on nothing else.

    Fields are plain values, frozen dataclasses, or other stages (its inputs). How a stage is run
    (devices, workers, logging) never is a field: that comes with the job.
    """

    version: ClassVar[int] = 1
    """Raised when a change of the code changes the result."""
    added: ClassVar[frozenset[str]] = frozenset()
    """Fields that came later. At their default they are left out of the identity, so that earlier
    results keep their keys."""
    formerly: ClassVar[Mapping[str, Mapping[Any, Any]]] = {}
    """Field -> value -> what that value was before it had its present name, and still is in the
    identity, so that earlier results keep their keys."""

    spreads: ClassVar[bool] = False
    """Whether several processes may run it together, each with a job (see `Job.rank`)."""

    def __new__(cls, *args: Any, **fields: Any) -> Self:
        """The stage itself where there is one of these very values: what is known of it, such as
        its key, is then found out once."""
        if not args and not fields:  # as pickle makes it, to fill it in later
            return super().__new__(cls)
        said = (cls, *map(_same, args), *fields, *map(_same, fields.values()))
        found = _MADE.get(said)
        if found is None:
            found = _MADE[said] = super().__new__(cls)
            # kept, so that no other value can come to stand where one of these stood in memory
            found.__dict__["_made_of"] = (args, fields)
        return found

    def run(self, job: Job) -> None:
        """Writes the result into `job.out`. The results of the inputs are there already."""
        raise NotImplementedError

    @abstractmethod
    def read(self, path: Path) -> T:
        """The result that `run` wrote into the folder `path`."""
        raise NotImplementedError

    @property
    def inputs(self) -> list[Stage[Any]]:
        """The stages that `run` reads."""
        return list(_stages_in([getattr(self, name) for name in _fields(type(self))]))

    @functools.cached_property
    def reads(self) -> tuple[Stage[Any], ...]:
        """Its inputs, looked for once."""
        return tuple(self.inputs)

    def reads_whole(self, of: Stage[Any]) -> bool:
        """Whether `run` may read all of the result of this input, and not only what other processes
        than stages look at: a stage may put off what nobody reads."""
        return True

    @functools.cached_property
    def key(self) -> str:
        """64 bits of a hash of the identity, in hex."""
        return hashed(identity(self))

    @property
    def name(self) -> str:
        """Its place in a store."""
        return f"{public_name(type(self))}/{self.key}"

    @property
    def what(self) -> str:
        """What messages and progress lines call it."""
        return self.name

    @property
    def role(self) -> str:
        """What it is in an experiment; the tracker groups runs by it."""
        return type(self).__name__.lower()

    @property
    def size(self) -> int:
        """What it is the larger by, the more memory and time it takes: the parameters of the model
        that it runs. 0: it runs none."""
        return 0

    @property
    def together(self) -> Hashable | None:
        """Stages of a class for which it is equal may be run by one call of `run_together`, which
        is then faster than one after the other. None: it is run alone."""
        return None

    @classmethod
    def run_together(cls, runs: Sequence[tuple[Self, Job]]) -> Iterator[Exception | None]:
        """Does what `run` does, of several stages whose `together` is equal, each with its job.

        Yields for each, in order, None once its result is written, or the error that it alone
        failed of. What it raises is the fault of none in particular: then those it has not come to
        are run alone, each from its last checkpoint.
        """
        raise NotImplementedError

    @property
    def delivered_by(self) -> Stage[Any] | None:
        """The input that may deliver the result of this one too, while it runs itself (see
        `Job.deliver`): whoever hands out stages gives both to one worker."""
        return None

    @property
    def tags(self) -> list[str]:
        """What its run can be found by in the tracker."""
        return []

    @property
    def told(self) -> Mapping[str, str | float]:
        """What its run can be filtered by in the tracker, beside its role: text and numbers."""
        return {}

    def __str__(self) -> str:
        return self.what


def identity(x: Any) -> Any:
    """What `x` is, as JSON: equal for equal values, on any machine, on any day.

    A dataclass is its public name, its source where it is no class of this package (see
    `w2sweep.engine.source_code`), its `version` (if that is not 1), and the fields that `==`
    compares, without those of `added` that are at their default, with values as they were
    `formerly`. One with a method `identity()` answers for itself: a local file is its content. A
    stage inside another value is its name, which stands for all of it.

    Raises:
        TypeError: for what is not the same tomorrow or elsewhere: a path, a function, a set, nan.
    """
    if _is_dataclass(x):
        kept = getattr(x, "__dict__", {})
        if _IDENTITY not in kept:
            found = _described(x)
            if not _is_steady(x):
                return found
            kept[_IDENTITY] = found
        return kept[_IDENTITY]
    if isinstance(x, list | tuple):
        return [_nested(v) for v in x]
    if isinstance(x, dict) and all(isinstance(k, str) for k in x):
        return {k: _nested(v) for k, v in x.items()}
    if x is None or isinstance(x, str | int) or (isinstance(x, float) and math.isfinite(x)):
        return x
    raise TypeError(
        f"a stage may not hold {x!r:.80}, for a {type(x).__name__} has no stable identity: use "
        "finite numbers, strings, lists, dicts with string keys, frozen dataclasses, or a "
        "dataclass with a method identity()"
    )


def hashed(identity: Any) -> str:
    """The key that an identity stands under: 64 bits of a hash of it, in hex."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def public_name(cls: type) -> str:
    """What identities call a class: its name, unique in this package, so that files may be moved;
    with its path if it is a class of a user's own."""
    if cls.__module__.partition(".")[0] == PACKAGE:
        return cls.__name__
    return f"{cls.__module__}.{cls.__qualname__}"


def closure(
    stages: tuple[Stage[Any], ...], known: Callable[[Stage[Any]], bool] = lambda stage: False
) -> list[Stage[Any]]:
    """These stages and all they read, each once, inputs before their readers.

    Stages that are `known` are left out, and so is what only those read.
    """
    found: dict[str, Stage[Any]] = {}

    def visit(stage: Stage[Any]) -> None:
        if stage.key not in found and not known(stage):
            for s in stage.reads:
                visit(s)
            found[stage.key] = stage

    for stage in stages:
        visit(stage)
    return list(found.values())


def read_whole(stages: Iterable[Stage[Any]]) -> frozenset[str]:
    """The names of all inputs that one of these stages may read all of."""
    return frozenset(of.name for stage in stages for of in stage.reads if stage.reads_whole(of))


def _same(x: Any) -> object:
    """Equal for the very same values alone; 1 is not 1.0."""
    if isinstance(x, float):
        return repr(x)
    if x is None or isinstance(x, str | int):
        return type(x), x
    return tuple(map(_same, x)) if isinstance(x, tuple) else id(x)


def _is_dataclass(x: Any) -> bool:
    return dataclasses.is_dataclass(x) and not isinstance(x, type)


def _nested(x: Any) -> Any:
    return {"stage": x.name} if isinstance(x, Stage) else identity(x)


def _described(x: Any) -> dict[str, Any]:
    kind: dict[str, Any] = {"is": public_name(type(x))}
    if code := source(type(x)):
        kind["source"] = code
    if isinstance(version := getattr(type(x), "version", 1), int) and version != 1:
        kind["version"] = version
    if callable(own := getattr(x, "identity", None)):
        return kind | {"identity": identity(own())}
    added = getattr(type(x), "added", frozenset())
    formerly = getattr(type(x), "formerly", {})
    for field in dataclasses.fields(x):
        held = getattr(x, field.name)
        if field.compare and not (field.name in added and held == _default(field)):
            was = formerly[field.name].get(held, held) if field.name in formerly else held
            kind[field.name] = _nested(was)
    return kind


def _is_steady(x: Any) -> bool:
    """Whether a value stays what it is, as long as there is one: frozen, and none that answers for
    itself, as a local file does."""
    if isinstance(x, Stage):
        return False  # which keeps its key
    if _is_dataclass(x):
        frozen = type(x).__dataclass_params__.frozen and hasattr(x, "__dict__")
        own = callable(getattr(x, "identity", None))
        return frozen and not own and all(_is_steady(getattr(x, f)) for f in _fields(type(x)))
    if isinstance(x, dict):
        return all(map(_is_steady, x.values()))
    return all(map(_is_steady, x)) if isinstance(x, list | tuple) else True


@functools.cache
def _fields(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls))


def _default(field: dataclasses.Field[Any]) -> Any:
    source: Any = field
    if hasattr(field.default, "default_factory"):  # pydantic.Field(default=...)
        source = field.default
    return source.default_factory() if callable(source.default_factory) else source.default


def _stages_in(x: Any) -> Iterator[Stage[Any]]:
    if isinstance(x, Stage):
        yield x
    elif _is_dataclass(x):
        if _IDENTITY not in getattr(x, "__dict__", {}):  # which no value keeps that holds a stage
            yield from _stages_in([getattr(x, name) for name in _fields(type(x))])
    elif isinstance(x, dict):
        yield from _stages_in(list(x.values()))
    elif isinstance(x, list | tuple):
        for v in x:
            yield from _stages_in(v)
