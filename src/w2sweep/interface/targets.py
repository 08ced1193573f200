"""Names of other tasks into these tasks: what `evaluate_on` asks for, composed as the cell itself
would be with `task=NAME`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from w2sweep.building import unknown
from w2sweep.interface.explaining import mendable, one_line
from w2sweep.values import ConfigError

KEY = "evaluate_on"
TARGET = "w2sweep.experiment.target.Target"
Compose = Callable[[Sequence[str]], DictConfig]
"""The configuration that overrides make."""


def with_targets(
    config: DictConfig, overrides: Sequence[str], known: Sequence[str], compose: Compose
) -> DictConfig:
    """A cell's configuration with a task, and its sizes, in place of each name in `evaluate_on`.

    All other overrides of the cell hold for them too, so that they are of the same seed, world and
    folder of data. Raises ConfigError where a name is no task's.

    Args:
        config: the cell's, which is changed.
        overrides: of the cell.
        known: the names of all tasks.
        compose: makes another configuration of overrides.
    """
    if KEY not in config or config[KEY] == []:
        return config
    names = config[KEY]
    kept = [word for word in overrides if word.lstrip("+~").partition("=")[0] not in ("task", KEY)]
    chosen = [f"task={_checked(name, known)}" for name in _list(names)]
    targets = [_target(_composed(compose, [*kept, choice, f"{KEY}=[]"])) for choice in chosen]
    with open_dict(config):
        config[KEY] = targets
    return config


def _composed(compose: Compose, words: Sequence[str]) -> DictConfig:
    """Raises ConfigError where an override of the cell does not fit the other task."""
    try:
        return compose(words)
    except Exception as error:
        if not mendable(error):
            raise
        [choice] = [word for word in words if word.startswith("task=")]
        raise ConfigError(
            f"{KEY}: the overrides of the cell hold for {choice} too: {one_line(error)}"
        ) from error


def _target(config: DictConfig) -> dict[str, Any]:
    """What is interpolated, such as `${seed}`, is the same in the cell's configuration."""
    said = OmegaConf.to_container(config, resolve=False)
    assert isinstance(said, dict)
    return {"_target_": TARGET, "task": said["task"], "sizes": said["sizes"]}


def _list(names: Any) -> list[Any]:
    if not OmegaConf.is_list(names):
        raise ConfigError(
            f"{KEY}: found {names!r:.60}, expected a list of tasks, such as {KEY}=[contrast]"
        )
    return list(names)


def _checked(name: Any, known: Sequence[str]) -> str:
    if name not in known:
        raise ConfigError(f"{KEY}: no task '{name}'; there are {unknown(str(name), known)}")
    return str(name)
