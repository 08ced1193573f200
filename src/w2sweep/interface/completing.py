"""Keys that a class has but no YAML: an override may set them as any other, where Hydra itself
wants a "+"."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from w2sweep.building import parameters
from w2sweep.sweep.request import Request
from w2sweep.values import ConfigError


def completed(override: Override, config: DictConfig) -> str:
    """The override with "++" before it, where it sets a key that the configuration lacks and the
    class of the key's node has.

    Raises ConfigError where it changes nothing.
    """
    line = str(override.input_line)
    if override.type is not OverrideType.CHANGE:
        return line
    key, value = override.key_or_group, override.value()
    if value == {} and _selected(config, key):
        raise ConfigError(
            f"{line} changes nothing, for it is merged into what is there; ~{key}.NAME takes a "
            "single key away"
        )
    _check_owner(config, key)
    return f"++{line}" if _adds(config, key, value) else line


def keys_of(node: DictConfig) -> list[str]:
    """The keys that a node may have: those of its class, or without one those that it has."""
    there = [str(key) for key in node if key not in ("_target_", "hydra")]
    if node._get_parent() is None:
        return list(dict.fromkeys([*there, *inspect.signature(Request).parameters]))
    with suppress(ConfigError, OmegaConfBaseException):
        if "_target_" in node:
            return parameters(str(node["_target_"]))
    return there


def _check_owner(config: DictConfig, key: str) -> None:
    """Raises ConfigError where a key's node is no mapping, in whose place Hydra would put an empty
    one."""
    owner, _, name = key.rpartition(".")
    above, _, last = owner.rpartition(".")
    node = _selected(config, above) if above else config
    if not isinstance(node, DictConfig) or last not in node.keys():  # noqa: SIM118
        return
    if OmegaConf.is_interpolation(node, last):
        said = OmegaConf.to_container(node, resolve=False)
        raise ConfigError(f"{key}: {owner} is {said[last]}: set {name} there")  # type: ignore
    found = _selected(config, owner)
    if not isinstance(found, DictConfig | ListConfig) and not OmegaConf.is_missing(node, last):
        told = "null" if found is None else repr(found)
        raise ConfigError(f"{key}: {owner} is {told}, which has no keys")


def _adds(config: DictConfig, key: str, value: Any) -> bool:
    """Whether an override sets anything that is known and not there; a mapping sets its keys."""
    owner, _, name = key.rpartition(".")
    node = _selected(config, owner) if owner else config
    if not isinstance(node, DictConfig):
        return False
    if name not in node.keys():  # noqa: SIM118  ("in node" is false for what is to be given)
        return name in keys_of(node)
    if not isinstance(value, Mapping):
        return False
    return any(_adds(config, f"{key}.{part}", below) for part, below in value.items())


def _selected(config: DictConfig, key: str) -> Any:
    with suppress(OmegaConfBaseException):
        return OmegaConf.select(config, key, throw_on_missing=False)
    return None
