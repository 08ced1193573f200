"""From plain data to values, with errors that say which key is wrong and what would be right."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from w2sweep.values import ConfigError, is_value

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
"""`package.module.name`."""


def build(node: Any, path: str) -> Any:
    """The value that a node of a configuration describes.

    A mapping with `_target_` becomes an instance of that class, which has to be a value (see
    `values.is_value`), made of its other keys; another mapping a dict; a list a tuple; all of it
    recursively. `path` is where the node stands, for messages. Raises ConfigError, which begins
    with the path of what is wrong.
    """
    return _built(node, path, build)


class Builder:
    """Builds values as `build` does, and the very same one of what says the same, so that it is
    checked once, and what is known of it is found out once."""

    def __init__(self):
        self._values: dict[str, Any] = {}

    def build(self, node: Any, path: str) -> Any:
        """As `build`."""
        if not isinstance(node, Mapping | list):
            return node
        said = repr(node)  # tells 1 from 1.0, as equality does not
        if said not in self._values:
            self._values[said] = _built(node, path, self.build)
        return self._values[said]


def _built(node: Any, path: str, below: Callable[[Any, str], Any]) -> Any:
    if isinstance(node, Mapping):
        cls = _target(node["_target_"], path) if "_target_" in node else None
        fields = {str(k): below(v, f"{path}.{k}") for k, v in node.items() if k != "_target_"}
        return fields if cls is None else made(cls, fields, path)
    if isinstance(node, list | tuple):
        return tuple(below(v, f"{path}.{i}") for i, v in enumerate(node))
    return node


def made(cls: type, fields: Mapping[str, Any], path: str = "") -> Any:
    """`cls(**fields)`. Raises ConfigError, which begins with the path of the wrong field."""
    _check_keys(cls, fields, path)
    try:
        return cls(**fields)
    except ValidationError as error:
        raise _explained(error, path) from error
    except ConfigError as error:
        raise type(error)(_join(path, str(error), ": ")) from error


def unknown(found: str, known: Iterable[str], prefix: str = "") -> str:
    """What there is instead of `found`, and the nearest of it: "a, b. Did you mean PREFIXa?"."""
    known = [str(k) for k in known]
    there = ", ".join(known) or "nothing"
    near = difflib.get_close_matches(found, known, n=1)
    return f"{there}. Did you mean {prefix}{near[0]}?" if near else there


def located(path: str) -> Any:
    """The object that a dotted path names. Raises ConfigError where there is none."""
    if not DOTTED.fullmatch(path):
        raise ConfigError(f"cannot import '{path}' (expected package.module.name)")
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # the module is a user's, and may fail in any way
        kind = "" if isinstance(error, ImportError | AttributeError) else type(error).__name__
        why = _join(kind, " ".join(str(error).split()), ": ")
        raise ConfigError(f"cannot import '{path}' ({why})") from error


def parameters(target: str) -> list[str]:
    """The keys that a node with this `_target_` may have. Raises ConfigError where that is no
    value."""
    return list(inspect.signature(_value(target)).parameters)


def _check_keys(cls: type, fields: Mapping[str, Any], path: str) -> None:
    owner, parameters = path or "the configuration", _parameters(cls)
    if fields and not parameters:
        raise ConfigError(_without_fields(cls, fields, path))
    for key in fields:
        if key not in parameters:
            instead = unknown(key, parameters, _join(path, ""))
            raise ConfigError(f"{_join(path, key)}: unknown key; {owner} has {instead}")
    for key, parameter in parameters.items():
        if key not in fields and parameter.default is parameter.empty:
            where = _join(path, key)
            raise ConfigError(f"{where}: missing; {owner} needs it, so set {where}=...")


@functools.cache
def _parameters(cls: type) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(cls).parameters


def _without_fields(cls: type, fields: Mapping[str, Any], path: str) -> str:
    """What to say of a class that lacks all fields which its YAML sets: most often its author did
    not know that they are to be declared."""
    types: dict[str, Any] = {}
    for ancestor in reversed(cls.__mro__):
        types |= inspect.get_annotations(ancestor)
    lines = ", ".join(f"'{key}: {types.get(key, 'TYPE')}'" for key in fields)
    first = _join(path, next(iter(fields)))
    return (
        f"{first}: unknown key; {cls.__name__} declares no fields: below @value and "
        f"'class {cls.__name__}', write {lines}"
    )


def _target(target: Any, path: str) -> type:
    try:
        return _value(str(target))
    except ConfigError as error:
        raise ConfigError(f"{path}._target_: {error}") from error


def _value(target: str) -> type:
    """The class of this path, which is a value. Nothing else is ever called: a configuration may
    name any object that there is."""
    found = located(target)
    if not isinstance(found, type):
        raise ConfigError(f"'{target}' is a {type(found).__name__}, expected a class")
    if not is_value(found):
        raise ConfigError(
            f"'{target}' is no value; expected a class with @value above it "
            "(from w2sweep import value)"
        )
    if lacking := sorted(getattr(found, "__abstractmethods__", ())):
        raise ConfigError(f"'{target}' lacks {', '.join(lacking)}: a class that extends it has it")
    return found


def _explained(error: ValidationError, path: str) -> ConfigError:
    """The first of pydantic's findings, in one line."""
    first = error.errors()[0]
    context = first.get("ctx", {})
    if isinstance(own := context.get("error"), ConfigError):
        return ConfigError(_join(path, str(own), ": "))
    where = ".".join(map(str, (*([path] if path else []), *first["loc"])))
    found = first["input"]
    expected = first["msg"].removeprefix("Input should be ")
    if first["type"] == "too_short":
        expected = f"at least {context['min_length']} of them"
    return ConfigError(
        f"{where}: found {found!r:.80} ({type(found).__name__}), expected {expected}"
    )


def _join(path: str, rest: str, by: str = ".") -> str:
    return f"{path}{by}{rest}" if path else rest
