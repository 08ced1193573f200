"""What Hydra and OmegaConf say of a wrong configuration, in one line: what was found, what was expected, what to do."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from w2sweep.building import unknown
from w2sweep.values import ConfigError


def mendable(error: BaseException) -> bool:
    """Whether the user can mend it: a wrong configuration, not a bug. Hydra raises more than its own types."""
    if isinstance(error, ConfigError | HydraException | OmegaConfBaseException):
        return True
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and frames[-1][0].f_globals.get("__name__", "").split(".")[0] in (
        "hydra",
        "omegaconf",
        "yaml",
    )


def one_line(error: BaseException, sweeps: Sequence[str] = ()) -> str:
    """All that the user needs to know of it; `sweeps` are the names that `-cn` takes."""
    if isinstance(error, MissingConfigException):
        return _no_such_file(error, sweeps)
    if isinstance(error, OverrideParseException):
        return f"cannot read '{error.override}': expected key=value, with quotes around special characters"
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        return _no_such_key(cause)
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key}: missing; set {cause.full_key}=..."
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return f"{cause.full_key}: {str(cause).splitlines()[0]}"
    return " ".join(str(error).split()) or type(error).__name__


def _no_such_file(error: MissingConfigException, sweeps: Sequence[str]) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if not group:
        return f"no sweep '{name}'; there is {unknown(name, sweeps, '-cn ')}"
    return f"no {group} '{name}'; there is {unknown(name, error.options or (), f'{group}=')}"


def _no_such_key(error: OmegaConfBaseException) -> str:
    path = str(error.full_key)
    owner, _, name = path.rpartition(".")
    known = [str(k) for k in error.parent_node or () if k not in ("_target_", "hydra")]
    prefix = f"{owner}." if owner else ""
    return f"{path}: unknown key; {owner or 'the configuration'} has {unknown(name, known, prefix)}"
