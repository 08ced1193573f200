"""`w2sweep`: Hydra composes the configuration of every cell of a grid; what is behind the door knows nothing of it."""

from __future__ import annotations

import copy
import functools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from w2sweep.interface.explaining import mendable, one_line
from w2sweep.sweep.plan import Planned, folder_name
from w2sweep.sweep.request import Request, request
from w2sweep.sweep.sweep import Sweep, run_cell, say
from w2sweep.values import ConfigError

HERE = Path(__file__).parents[1]
ROOT = HERE if (HERE / "conf").is_dir() else HERE.parents[1]
"""Where conf and sweeps are: inside an installed package, beside src in a checkout."""


def main() -> None:
    """The console script. Exit codes: 1 where a cell has no result, 2 where the configuration is wrong."""
    os.environ.setdefault(
        "HYDRA_FULL_ERROR", "1"
    )  # errors come here whole, and are told here in one line
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # as Ctrl-C: the workers of a launcher end too
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # idle threads of one worker must not take the others' cores
    Plugins.instance().register(Folders)
    try:
        run()
    except KeyboardInterrupt:
        say("interrupted: run the same command again, which goes on from here")
        sys.exit(130)
    except BrokenPipeError:  # of `| head`, and not to be said again when Python closes the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        if not mendable(error):
            raise
        say(
            one_line(
                error, sweeps=sorted(f.stem for folder in folders() for f in folder.glob("*.yaml"))
            )
        )
        sys.exit(2)


@hydra.main(config_path=str(ROOT / "conf"), config_name="config", version_base="1.3")
def run(config: DictConfig) -> None:
    """What Hydra's launchers call, in this or in another process, for every cell they are given."""
    job = HydraConfig.get()
    planned = Planned(tuple(job.overrides.task), request(_plain(config)))
    run_cell(planned, Path(job.runtime.output_dir).parent)


def folders() -> list[Path]:
    """Where configuration is looked for after ROOT/conf: the current folder adds to what is there and replaces none."""
    found = (ROOT / "sweeps", Path("conf"), Path("sweeps"))
    return [
        f for f in dict.fromkeys(f.resolve() for f in found) if f.is_dir() and f != ROOT / "conf"
    ]


class Folders(SearchPathPlugin):
    """Makes `w2sweep -cn quickstart` work in any folder."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Appends them."""
        for folder in folders():
            search_path.append(provider="w2sweep", path=f"file://{folder}")


def sweep(
    loader: ConfigLoader, config: DictConfig, overrides: Sequence[str], launcher: Launcher
) -> None:
    """What Hydra's sweeper calls. Exits where a cell ends without a result."""
    planned = plan(loader, config, overrides)

    def launch(left: Sequence[Planned]) -> None:
        for job in launcher.launch([list(p.overrides) for p in left], initial_job_idx=0):
            _ = job.return_value  # raises what the job raised

    if code := Sweep(planned, Path(config.hydra.sweep.dir)).run(launch, reported):
        sys.exit(code)


def reported(finished: Sweep, ran: bool) -> None:
    """Writes and shows the report of a sweep; the tracker gets it where anything was run."""
    from w2sweep.report import report, show

    made = report(finished.folder)
    show(made)
    if ran and finished.tracking:
        finished.tracking.summary(
            sweep=finished.name, rows=made.rows, figures=made.figures, page=made.page
        )


def requested(overrides: Sequence[str]) -> list[Request]:
    """What `w2sweep` with these overrides asks for, cell by cell: for commands that do something else with it."""
    Plugins.instance().register(Folders)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", [], RunMode.MULTIRUN)
        return [p.request for p in plan(loader, config, overrides)]


def plan(loader: ConfigLoader, config: DictConfig, arguments: Sequence[str]) -> list[Planned]:
    """The cells of the grid that the overrides span. Raises ConfigError for the first one that cannot be."""
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(arguments))
    grid = list(dict.fromkeys(map(tuple, BasicSweeper.split_arguments(parsed, None)[0])))
    compose = composer(loader, config)
    planned = []
    for overrides in grid:
        try:
            planned.append(Planned(overrides, request(_plain(compose(overrides)))))
        except Exception as error:
            if not mendable(error):
                raise
            where = f"cell {folder_name(overrides)}: " if len(grid) > 1 else ""
            raise ConfigError(where + one_line(error)) from error
    return planned


def composer(loader: ConfigLoader, config: DictConfig) -> Callable[[Sequence[str]], DictConfig]:
    """Hydra's `load_sweep_config`, but fast: files take most of the time, so cells that choose the same share it."""
    assert isinstance(loader, ConfigLoaderImpl)
    parse = functools.cache(OverridesParser.create(config_loader=loader).parse_override)

    @functools.cache
    def chosen(choices: tuple[str, ...]) -> DictConfig:
        composed = loader.load_sweep_config(config, list(choices))
        with open_dict(composed):
            del composed["hydra"]
        return composed

    def compose(overrides: Sequence[str]) -> DictConfig:
        groups = {o: loader.repository.group_exists(parse(o).key_or_group) for o in overrides}
        composed = copy.deepcopy(chosen(tuple(o for o in overrides if groups[o])))
        ConfigLoaderImpl._apply_overrides_to_config(
            [parse(o) for o in overrides if not groups[o]], composed
        )
        return composed

    return compose


def _plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(k): v for k, v in plain.items()}


# Registered on import, for a launcher's workers import this module and nothing else.
OmegaConf.register_new_resolver(
    "sweep_folder",
    lambda name, now: f"outputs/sweeps/{name}" if name else f"outputs/runs/{now}",
    replace=True,
)
OmegaConf.register_new_resolver("cell_folder", folder_name, replace=True)
