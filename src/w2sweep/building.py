"""From plain data to values, with errors that say which key is wrong and what would be right."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from w2sweep.values import ConfigError


def build(node: Any, path: str) -> Any:
    """The value that a node of a configuration describes.

    A mapping with `_target_` becomes an instance of that class, made of its other keys; another
    mapping a dict; a list a tuple; all of it recursively. `path` is where the node stands, for
    messages. Raises ConfigError, which begins with the path of what is wrong.
    """
    if isinstance(node, Mapping):
        fields = {str(k): build(v, f"{path}.{k}") for k, v in node.items() if k != "_target_"}
        if "_target_" not in node:
            return fields
        return made(_target(node["_target_"], path), fields, path)
    if isinstance(node, list | tuple):
        return tuple(build(v, f"{path}.{i}") for i, v in enumerate(node))
    return node


def made(cls: type, fields: Mapping[str, Any], path: str = "") -> Any:
    """`cls(**fields)`. Raises ConfigError, which begins with the path of the wrong field."""
    parameters = inspect.signature(cls).parameters
    _check_keys(parameters, fields, path)
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
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"cannot import '{path}' ({error})") from error


def _check_keys(
    parameters: Mapping[str, inspect.Parameter], fields: Mapping[str, Any], path: str
) -> None:
    owner = path or "the configuration"
    for key in fields:
        if key not in parameters:
            instead = unknown(key, parameters, _join(path, ""))
            raise ConfigError(f"{_join(path, key)}: unknown key; {owner} has {instead}")
    for key, parameter in parameters.items():
        if key not in fields and parameter.default is parameter.empty:
            where = _join(path, key)
            raise ConfigError(f"{where}: missing; {owner} needs it, so set {where}=...")


def _target(target: Any, path: str) -> type:
    try:
        found = located(str(target))
    except ConfigError as error:
        raise ConfigError(f"{path}._target_: {error}") from error
    if not isinstance(found, type):
        kind = type(found).__name__
        raise ConfigError(f"{path}._target_: '{target}' is a {kind}, expected a class")
    return found


def _explained(error: ValidationError, path: str) -> ConfigError:
    """The first of pydantic's findings, in one line."""
    first = error.errors()[0]
    if isinstance(own := first.get("ctx", {}).get("error"), ConfigError):
        return ConfigError(_join(path, str(own), ": "))
    where = ".".join(map(str, (*([path] if path else []), *first["loc"])))
    found = first["input"]
    expected = first["msg"].removeprefix("Input should be ")
    return ConfigError(
        f"{where}: found {found!r:.80} ({type(found).__name__}), expected {expected}"
    )


def _join(path: str, rest: str, by: str = ".") -> str:
    return f"{path}{by}{rest}" if path else rest
