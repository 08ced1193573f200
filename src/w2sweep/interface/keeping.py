"""A sweep's configuration as it is kept in its folder, and given to its tracker."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from w2sweep.sweep.plan import Planned, axes
from w2sweep.sweep.sweep import CONFIG
from w2sweep.values import ConfigError

HYDRA = "hydra"
"""The key of Hydra's own settings, which change no result."""


def resolved(config: DictConfig, planned: Sequence[Planned]) -> str:
    """As YAML without interpolations: `config`, which is that of the first cell. Comments in front
    say by which command, and in what the other cells differ."""
    said = [_command(), f"What the first of {len(planned)} cells is made of."]
    if differ := axes(planned):
        said.append("Others differ in these keys, and in what these choose (see sweep.json):")
        said += [f"  {key}: {', '.join(values)}" for key, values in differ.items()]
    lines = "\n".join(said).splitlines()
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + OmegaConf.to_yaml(
        OmegaConf.create(bare(config))
    )


def about(planned: Sequence[Planned]) -> dict[str, Any]:
    """What a tracker is told of the sweep beside its configuration."""
    return {"command": _command(), "cells": len(planned), "axes": axes(planned)}


def bare(config: DictConfig) -> dict[str, Any]:
    """A configuration as dicts and lists, without interpolations and without Hydra's own."""
    keys = [str(key) for key in config if key != HYDRA]
    found = OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True)
    assert isinstance(found, dict)
    return {str(key): held for key, held in found.items()}


def tracked_at(sweep: Path) -> tuple[str, str | None]:
    """The project of W&B where a sweep's runs are, and whose that is (None: the account's default).
    Raises ConfigError where they are not in W&B."""
    try:
        kept: Any = OmegaConf.to_container(OmegaConf.load(sweep / CONFIG))
        found = kept["tracking"] or {}
    except Exception:  # whatever is wrong with the file, it names no project
        found = {}
    if "project" not in found:
        raise ConfigError(
            f"as far as {sweep / CONFIG} says, the sweep was not tracked by W&B: run it again with "
            "tracking=wandb, which trains nothing twice"
        )
    return found["project"], found.get("entity")


def _command() -> str:
    return shlex.join(["w2sweep", *sys.argv[1:]])
