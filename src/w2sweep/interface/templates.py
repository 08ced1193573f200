"""Configurations that differ in single values only: composed once, and from then on filled in.

OmegaConf takes ten milliseconds for a cell; a sweep may have 100,000.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from w2sweep.interface.targets import KEY as TARGETS

REFERENCE = re.compile(r"\$\{([^\W\d]\w*(?:\.[\w-]+)*)\}")
"""`${recipe.max_tokens}`: stands for what another key has."""
SETS = (OverrideType.CHANGE, OverrideType.ADD, OverrideType.FORCE_ADD)
COPIED = ("task", "sizes")
"""Groups whose overrides hold for the other tasks of `evaluate_on` too, each by itself."""

Path = tuple[str | int, ...]


class Unfit(Exception):
    """Something in a configuration is more than single values and names of other keys."""


class Template:
    """A composed configuration with holes: what stands at some keys, and wherever these are named.

    Raises Unfit where that cannot be told.

    Args:
        composed: the configuration, with values in the holes.
        filled: key -> value, of each hole; it stays so where nothing else is said.
    """

    def __init__(self, composed: DictConfig, filled: Mapping[str, Any]):
        said: Any = OmegaConf.to_container(composed, resolve=False)
        if said.get(TARGETS) and any(key.split(".")[0] in COPIED for key in filled):
            raise Unfit(TARGETS)
        marks = {key: _Hole(key) for key in filled}
        for key, value in filled.items():
            _put_mark(said, key, value, marks[key])
        self._filled = dict(filled)
        self._whole = _resolved(said, said, ())
        self._holes: dict[str, list[Path]] = {key: [] for key in filled}
        for path, hole in _found(self._whole, ()):
            self._holes[hole.key].append(path)
        expected = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
        if repr(self.filled({})) != repr(expected):
            raise Unfit("it says something else")

    def filled(self, values: dict[str, Any]) -> dict[str, Any]:
        """The configuration without interpolations, with these values. What has no holes is the
        same object each time."""
        whole, own = dict(self._whole), set[Path]()
        for key, value in (self._filled | values).items():
            for path in self._holes[key]:
                _put(whole, path, value, own)
        return whole


class _Hole:
    """Stands where the value of a key is."""

    def __init__(self, key: str):
        self.key = key


def value_of(override: Override) -> tuple[str, Any] | None:
    """The key of a hole and what fills it; None of an override that does more than set a single
    value."""
    if override.type not in SETS or override.package is not None:
        return None
    value = override.value()
    if isinstance(value, str) and ("$" in value or value == "???"):
        return None
    plain = value is None or isinstance(value, bool | int | float | str)
    return (override.key_or_group, value) if plain else None


def _put_mark(said: dict[str, Any], key: str, value: Any, hole: _Hole) -> None:
    node, (*owners, last) = said, key.split(".")
    for owner in owners:
        node = node.get(owner)
        if not isinstance(node, dict):
            raise Unfit(key)
    if last not in node or repr(node[last]) != repr(value):
        raise Unfit(key)
    node[last] = hole


def _resolved(node: Any, root: Mapping[str, Any], following: Sequence[str]) -> Any:
    """What a node says, with what others say in place of their names."""
    if isinstance(node, dict):
        return {key: _resolved(below, root, following) for key, below in node.items()}
    if isinstance(node, list):
        return [_resolved(below, root, following) for below in node]
    if node == "???":
        raise Unfit(node)
    if not isinstance(node, str) or "$" not in node:
        return node
    named = REFERENCE.fullmatch(node)
    if named is None or named[1] in following:
        raise Unfit(node)
    found: Any = root
    for part in named[1].split("."):
        if not isinstance(found, dict) or part not in found:
            raise Unfit(node)
        found = found[part]
    return _resolved(found, root, [*following, named[1]])


def _found(node: Any, path: Path) -> list[tuple[Path, _Hole]]:
    """The holes in a node, and where they are."""
    if isinstance(node, _Hole):
        return [(path, node)]
    if not isinstance(node, dict | list):
        return []
    below = node.items() if isinstance(node, dict) else enumerate(node)
    return [hole for key, child in below for hole in _found(child, (*path, key))]


def _put(whole: dict[str, Any], path: Path, value: Any, own: set[Path]) -> None:
    """Sets a value in a tree whose branches are copied on the way, each once."""
    node: Any = whole
    for depth in range(1, len(path)):
        branch = path[:depth]
        if branch not in own:
            own.add(branch)
            node[branch[-1]] = node[branch[-1]].copy()
        node = node[branch[-1]]
    node[path[-1]] = value
