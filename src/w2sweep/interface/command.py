"""`w2sweep`: plans the cells that a configuration asks for, and runs those that are not there."""

from __future__ import annotations

import argparse
import functools
import os
import signal
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from itertools import chain
from pathlib import Path

from hydra._internal.utils import _run_hydra
from hydra.core.hydra_config import HydraConfig
from hydra.plugins.launcher import Launcher
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from w2sweep.engine.runtime import Runtime
from w2sweep.engine.server import ended_after
from w2sweep.interface.asking import asked, parser, parts
from w2sweep.interface.composing import (
    CONF,
    Cells,
    opened,
    planned,
    sweep_folder,
    sweeps,
    use_folders,
)
from w2sweep.interface.console import answering, say
from w2sweep.interface.explaining import one_line
from w2sweep.interface.keeping import about, bare, resolved
from w2sweep.interface.launching import launch, make_ready, room, workers
from w2sweep.interface.outlooks import means_of, tell
from w2sweep.interface.settling import check_hydra, is_timed, settle
from w2sweep.interface.staging import SAID, Said, of_stages, run_stages
from w2sweep.sweep.outlook import outlook
from w2sweep.sweep.plan import Planned, folder_name
from w2sweep.sweep.sweep import Sweep, run_cell

NAME = "w2sweep"
CONFIG = "config"
"""The root of every configuration that is not named by `-cn`."""
PLANNED: ContextVar[list[Planned]] = ContextVar("planned")
"""The cells that the command asks for: Hydra calls `sweep` with less than that."""


def main() -> None:
    """The console script. Exit codes: 1 where a cell has no result, 2 where the configuration is
    wrong."""
    # Errors come here whole, and are told here in one line.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    # Idle threads of one worker must not take the others' cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # As Ctrl-C: the workers of a launcher end too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    use_folders()
    with answering(NAME, lambda error: one_line(error, sweeps())), ended_after():
        words = asked()
        words.overrides = _for_hydra(words)
        _run_hydra(words, parser(), run, CONF, CONFIG)


def run(config: DictConfig) -> None:
    """Called by Hydra's launchers for every cell they are given, in this or in another process.

    It stands in a module that a launcher's workers import.
    """
    job = HydraConfig.get()
    run_cell(planned(job.overrides.task, config), Path(job.sweep.dir))


def sweep(config: DictConfig, launcher: Launcher) -> None:
    """Called by Hydra's sweeper, `hydra_plugins.w2sweep.Grid`, with what Hydra has composed, which
    is the first cell (see `_for_hydra`). Exits with 1 where a cell ends without a result."""
    cells = PLANNED.get()
    if form := cells[0].request.plan:
        tell(outlook(cells, means_of(config, launcher, cells[0].request.runtime)), form)
        return
    folder, timed = Path(config.hydra.sweep.dir), is_timed(config)
    stages = of_stages(launcher)
    looks = stages is not None and stages.onlooker
    told = functools.partial(say, NAME)
    whole = Sweep(cells, folder, told, timed, looks, resolved(config, cells))
    settle(config, whole.folder)

    def start(left: Sequence[Planned]) -> None:
        launch(launcher, [list(p.overrides) for p in left], left[0].request.runtime)

    report = functools.partial(_report, config)
    if stages is not None:
        code = run_stages(whole, config, stages, report)
    else:
        code = whole.run(start, report, workers(launcher, room(whole.runtime)))
    if code:
        sys.exit(code)


def _for_hydra(words: argparse.Namespace) -> list[str]:
    """The overrides that Hydra composes what all cells share by: those of the first cell.

    Hydra itself would leave out what is swept, and so put the default choices in its place, which
    other keys may not fit. Raises ConfigError where something is asked for that no cell can do.
    """
    if words.shell_completion:
        return words.overrides
    for_hydra, ours = parts(words.overrides)
    if words.help or words.hydra_help:
        return for_hydra
    words.run, words.multirun = False, not (words.cfg or words.info)
    loader = opened(words.config_path or CONF, words.config_dir)
    name = words.config_name or CONFIG
    config = loader.load_configuration(name, for_hydra, RunMode.MULTIRUN)
    check_hydra(config)
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    cells = Cells(loader, config, [*params, *ours])
    if cells.unread:
        say(NAME, f"{cells.unread} is not read: w2sweep begins with a {CONFIG}.yaml of its own")
    if words.multirun:
        _begin_early(config, cells.first().config)
        PLANNED.set(cells.planned())
        SAID.set(Said(_flags(words), tuple(for_hydra), tuple(ours)))
    first = cells.first().overrides
    if words.cfg and len(cells) > 1:
        say(NAME, f"the first of {len(cells)} cells: {folder_name(first)}")
    return [*for_hydra, *first]


def _begin_early(config: DictConfig, first: DictConfig) -> None:
    """Has workers of this machine made ready while the cells are planned, if the first cell is to
    be run. A sweep that has its report has its results too, mostly, and starts no worker."""
    idle = first.get("plan") or first.get("cache") == "read-only"
    if not idle and not Path(sweep_folder(first.get("sweep")), "report").exists():
        threads = OmegaConf.select(first, "runtime.threads", default=Runtime.threads)
        make_ready(config.hydra.launcher, threads)


def _flags(words: argparse.Namespace) -> tuple[str, ...]:
    """Those that choose a configuration."""
    given = {
        "--config-name": words.config_name,
        "--config-path": words.config_path,
        "--config-dir": words.config_dir,
    }
    return tuple(chain.from_iterable((flag, its) for flag, its in given.items() if its))


def _report(config: DictConfig, finished: Sweep, ran: bool) -> None:
    """Writes and shows the report of a sweep; the tracker gets it where anything was run."""
    from w2sweep.report import report, show

    made = report(finished.folder)
    show(made)
    if ran and finished.tracking:
        finished.tracking.summary(
            sweep=finished.name,
            rows=made.rows,
            figures=made.figures,
            page=made.page,
            config={**about(finished.planned), "configuration": bare(config)},
        )
