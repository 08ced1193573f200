"""Values: frozen dataclasses whose fields are checked, and cast to their declared types, when they
are made."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic

C = TypeVar("C")

Count = Annotated[int, pydantic.Field(gt=0, lt=2**63)]
Natural = Annotated[int, pydantic.Field(ge=0, lt=2**63)]
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**64)]
"""What random generators take: torch's no more than 64 bits."""
Rate = Annotated[float, pydantic.Field(gt=0)]
Fraction = Annotated[float, pydantic.Field(ge=0, le=1)]

_STRICT = pydantic.ConfigDict(
    extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True
)


class ConfigError(Exception):
    """What the user asked for cannot be done.

    The message is one line: what was found, what was expected, what to do.
    """


class Impossible(ConfigError):
    """Two choices that are fine by themselves make no sense together."""


def as_tuple(given: Any) -> Any:
    """A tuple of a list, and anything else as it is, for the check of the field's type to refuse.

    A text is no list of its letters.
    """
    return tuple(given) if isinstance(given, list) else given


def named(**options: Any) -> Any:
    """A field that only says what a value is called, or who reads it: `==` leaves it out.

    Two values that differ in nothing else are equal, and so they have the same identity
    (see `w2sweep.engine.stage.identity`). Takes the options of `dataclasses.field`.
    """
    return dataclasses.field(compare=False, **options)


@dataclass_transform(
    frozen_default=True, field_specifiers=(dataclasses.field, pydantic.Field, named)
)
def value(cls: type[C]) -> type[C]:
    """Makes `cls` a frozen dataclass that refuses unknown fields and wrong types.

    An int given for a float becomes a float, so that `1` and `1.0` are the same value and have the
    same identity. Nothing else is cast: "1" is no int, and 1 is no bool.
    """
    make = functools.partial(pydantic.dataclasses.dataclass, frozen=True, config=_STRICT)
    return make(cls)  # type: ignore[return-value]


def is_value(cls: type) -> bool:
    """Whether all fields of a class are checked when it is made: `@value` stands above it, or above
    a class that it extends without any field of its own."""
    for ancestor in cls.__mro__:
        if pydantic.dataclasses.is_pydantic_dataclass(ancestor):
            return True
        if inspect.get_annotations(ancestor):
            return False
    return False
