"""What w2sweep asks of Hydra's own settings, and what it fixes in them before cells are
launched."""

from __future__ import annotations

from pathlib import Path

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.types import RunMode
from omegaconf import DictConfig

from w2sweep.values import ConfigError

RUNS = Path("outputs/runs")
"""Where sweeps without a name have their folders."""
SWEEPER = "hydra_plugins.w2sweep.Grid"


def check_hydra(config: DictConfig) -> None:
    """Raises ConfigError for settings of Hydra's with which no cell can be run."""
    hydra = config.hydra
    if hydra.sweeper.get("_target_") != SWEEPER:
        raise ConfigError(
            f"hydra/sweeper: found {hydra.sweeper.get('_target_')}, expected w2sweep's own: leave "
            "it as it is"
        )
    if hydra.mode is not RunMode.MULTIRUN:
        raise ConfigError(
            f"hydra.mode: found {getattr(hydra.mode, 'name', hydra.mode)}, expected MULTIRUN, for "
            "one cell is a sweep of one: leave it as it is"
        )
    if hydra.job.chdir:
        raise ConfigError(
            "hydra.job.chdir: found true, expected false: each cell would look for the store, and "
            "for your files, in a folder of its own"
        )
    _check_launcher(hydra.launcher)


def is_timed(config: DictConfig) -> bool:
    """Whether nobody gave the sweep's folder a name."""
    named = any("hydra.sweep.dir" in word for word in config.hydra.overrides.hydra)
    by_time = Path(config.hydra.sweep.dir).parent == RUNS
    return config.sweep is None and by_time and not named


def settle(config: DictConfig, folder: Path) -> None:
    """Makes this the sweep's folder for every cell that is launched from now on."""
    config.hydra.sweep.dir = str(folder)
    quoted = QuotedString(str(folder), Quote.single).with_quotes()
    config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted}")


def _check_launcher(launcher: DictConfig) -> None:
    if launcher.get("n_jobs") == 0:
        raise ConfigError(
            "hydra.launcher.n_jobs: found 0, expected a number of workers, or -1 for all cores"
        )
    if "timeout_min" in launcher and launcher.timeout_min < 1:
        raise ConfigError(
            f"hydra.launcher.timeout_min: found {launcher.timeout_min}, expected minutes, 1 or more"
        )
