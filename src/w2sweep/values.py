"""Values: frozen dataclasses whose fields are checked, and cast to their declared types, when they are made."""

from __future__ import annotations

import dataclasses
from typing import Annotated, TypeVar, dataclass_transform

import pydantic

C = TypeVar("C")

Count = Annotated[int, pydantic.Field(gt=0)]
Rate = Annotated[float, pydantic.Field(gt=0)]
Fraction = Annotated[float, pydantic.Field(ge=0, le=1)]

_STRICT = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


class ConfigError(Exception):
    """What the user asked for cannot be done. One line: what was found, what was expected, what to do."""


class Impossible(ConfigError):
    """Two choices that are fine by themselves make no sense together."""


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, pydantic.Field))
def value(cls: type[C]) -> type[C]:
    """Makes `cls` a frozen dataclass that refuses unknown fields and wrong types.

    An int given for a float becomes a float, so that `1` and `1.0` are the same value and have the same identity;
    nothing else is cast: "1" is no int and 1 is no bool.
    """
    return pydantic.dataclasses.dataclass(cls, frozen=True, config=_STRICT)  # type: ignore[return-value]
