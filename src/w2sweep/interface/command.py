"""`w2sweep`: plans the cells that a configuration asks for, and runs those that are not there."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from w2sweep.interface.composing import CONF, HYDRA, plan, planned, sweeps, use_folders
from w2sweep.interface.console import answering, say
from w2sweep.interface.explaining import one_line
from w2sweep.interface.launching import cores, launch
from w2sweep.sweep.plan import Planned
from w2sweep.sweep.sweep import Sweep, run_cell

NAME = "w2sweep"


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
    with answering(NAME, lambda error: one_line(error, sweeps())):
        run()


@hydra.main(config_path=CONF, config_name="config", version_base=HYDRA)
def run(config: DictConfig) -> None:
    """Called by Hydra's launchers for every cell they are given, in this or in another process.

    It stands in the module that a launcher's workers import; decorated anywhere else, it would not
    be found there.
    """
    job = HydraConfig.get()
    run_cell(planned(job.overrides.task, config), Path(job.runtime.output_dir).parent)


def sweep(
    loader: ConfigLoader, config: DictConfig, overrides: Sequence[str], launcher: Launcher
) -> None:
    """Called by Hydra's sweeper, `hydra_plugins.w2sweep.Grid`. Exits with 1 where a cell ends
    without a result."""
    cells = plan(loader, config, overrides)

    def start(left: Sequence[Planned]) -> None:
        at_once = max(1, cores() // left[0].request.runtime.threads)
        launch(launcher, [list(p.overrides) for p in left], at_once)

    whole = Sweep(cells, Path(config.hydra.sweep.dir), functools.partial(say, NAME))
    if code := whole.run(start, _report):
        sys.exit(code)


def _report(finished: Sweep, ran: bool) -> None:
    """Writes and shows the report of a sweep; the tracker gets it where anything was run."""
    from w2sweep.report import report, show

    made = report(finished.folder)
    show(made)
    if ran and finished.tracking:
        finished.tracking.summary(
            sweep=finished.name, rows=made.rows, figures=made.figures, page=made.page
        )
