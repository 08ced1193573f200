"""What Hydra and OmegaConf say of a wrong configuration, in one line: what was found, what was
expected, what to do."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from types import FrameType

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from w2sweep.building import unknown
from w2sweep.interface.completing import keys_of
from w2sweep.values import ConfigError

CONFIGURING = ("hydra", "omegaconf", "yaml")
"""The packages that read configurations. They raise more than errors of their own."""


def mendable(error: BaseException) -> bool:
    """Whether the user can mend it: a wrong configuration, not a bug."""
    if isinstance(error, ConfigError | HydraException | OmegaConfBaseException):
        return True
    raised_in = [frame.f_globals.get("__name__", "").partition(".")[0] for frame in _frames(error)]
    packages = [name for name in raised_in if name not in sys.stdlib_module_names]
    return bool(packages) and packages[-1] in CONFIGURING


def one_line(error: BaseException, sweeps: Sequence[str] = ()) -> str:
    """All that the user needs to know of an error; `sweeps` are the names that `-cn` takes."""
    if isinstance(error, MissingConfigException):
        return _no_such_file(error, sweeps)
    if isinstance(error, OverrideParseException):
        expected = "expected key=value, with quotes around special characters"
        return f"cannot read '{error.override}': {expected}"
    if isinstance(error, RecursionError):
        return "defaults: files name each other in a circle: take one of them out of the other's"
    if isinstance(error, UnicodeDecodeError):
        return f"{_file_read(error)}: not UTF-8 ({error.reason}): save it as UTF-8"
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        return _no_such_key(cause)
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key}: missing; set {cause.full_key}=..."
    if isinstance(cause, InterpolationKeyError) and cause.full_key:
        return (
            f"{cause.full_key}: {str(cause).splitlines()[0]}, from which it is taken: set "
            f"{cause.full_key}=..., or its whole {_owner(str(cause.full_key))}"
        )
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{cause.full_key}: {str(cause).splitlines()[0]}"
    return " ".join(str(error).split()) or type(error).__name__


def _owner(path: str) -> str:
    """The node that a key is in."""
    return path.rpartition(".")[0] or path


def _file_read(error: BaseException) -> str:
    """The file that Hydra was reading."""
    paths = [frame.f_locals.get("full_path") for frame in _frames(error)]
    return str(next(filter(None, reversed(paths)), "a file of the configuration"))


def _frames(error: BaseException) -> list[FrameType]:
    """Where it passed, the innermost last."""
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def _no_such_file(error: MissingConfigException, sweeps: Sequence[str]) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if not group or not error.options:
        name = error.missing_cfg_file or name
        return f"no sweep '{name}'; there is {unknown(name, sweeps, '-cn ')}"
    return f"no {group} '{name}'; there is {unknown(name, error.options or (), f'{group}=')}"


def _no_such_key(error: OmegaConfBaseException) -> str:
    path = str(error.full_key)
    owner, _, name = path.rpartition(".")
    node = error.parent_node
    known = keys_of(node) if isinstance(node, DictConfig) else []
    instead = unknown(name, known, f"{owner}." if owner else "")
    return f"{path}: unknown key; {owner or 'the configuration'} has {instead}"
