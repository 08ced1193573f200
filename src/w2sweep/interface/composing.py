"""From the words of a command to cells: Hydra composes the configuration of every cell of a grid,
and what comes after it knows nothing of Hydra."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from w2sweep.interface.explaining import mendable, one_line
from w2sweep.sweep.plan import NEUTRAL, Planned, digest, distinct, folder_name
from w2sweep.sweep.request import Request, request
from w2sweep.values import ConfigError
from w2sweep.version import __version__

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE if (PACKAGE / "conf").is_dir() else PACKAGE.parents[1]
"""Where conf and sweeps are: inside an installed package, beside src in a checkout."""
CONF = str(ROOT / "conf")
HYDRA = "1.3"
"""The version whose behaviour is asked for."""


class Folders(SearchPathPlugin):
    """Makes `w2sweep -cn quickstart` work in any folder."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Called by Hydra before it looks for any configuration."""
        for folder in _folders():
            search_path.append(provider="w2sweep", path=f"file://{folder}")


def use_folders() -> None:
    """Lets Hydra look into the current folder too: it adds to what is there and replaces none."""
    Plugins.instance().register(Folders)


def sweeps() -> list[str]:
    """The names that `-cn` takes."""
    files = chain.from_iterable(folder.glob("*.yaml") for folder in _folders())
    return sorted(file.stem for file in files)


def requested(overrides: Sequence[str]) -> list[Request]:
    """What `w2sweep` with these overrides asks for, cell by cell: for commands that do something
    else with it. Raises ConfigError, or an error of Hydra's (see `explaining`)."""
    use_folders()
    with initialize_config_dir(CONF, version_base=HYDRA):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", [], RunMode.MULTIRUN)
        return [p.request for p in plan(loader, config, overrides)]


def plan(loader: ConfigLoader, config: DictConfig, overrides: Sequence[str]) -> list[Planned]:
    """The cells of the grid that the overrides span. Raises ConfigError for the first one that
    cannot be."""
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(list(overrides))
    [grid] = BasicSweeper.split_arguments(parsed, None)
    points = list(dict.fromkeys(map(tuple, grid)))
    compose, digests = composer(loader, config), dict[tuple[str, ...], str]()
    return distinct(_planned(point, compose, digests, alone=len(points) == 1) for point in points)


def composer(loader: ConfigLoader, config: DictConfig) -> Callable[[Sequence[str]], DictConfig]:
    """Hydra's `load_sweep_config`, but fast: reading files takes most of the time, so cells that
    choose the same files share it."""
    assert isinstance(loader, ConfigLoaderImpl)
    parse = functools.cache(OverridesParser.create(config_loader=loader).parse_override)

    @functools.cache
    def chosen(choices: tuple[str, ...]) -> DictConfig:
        composed = loader.load_sweep_config(config, list(choices))
        with open_dict(composed):
            del composed["hydra"]
        return composed

    def chooses(override: str) -> bool:
        return loader.repository.group_exists(parse(override).key_or_group)

    def compose(overrides: Sequence[str]) -> DictConfig:
        choices = tuple(filter(chooses, overrides))
        composed = copy.deepcopy(chosen(choices))
        keys = [parse(override) for override in overrides if override not in choices]
        ConfigLoaderImpl._apply_overrides_to_config(keys, composed)
        return composed

    return compose


def typed(config: DictConfig) -> Request:
    """A composed configuration as values. Raises ConfigError where it is wrong."""
    return request(plain(config))


def planned(overrides: Sequence[str], config: DictConfig) -> Planned:
    """The cell of a composed configuration. Raises ConfigError where it is wrong."""
    request = typed(config)
    return Planned(tuple(overrides), request, of_any_seed(request, config))


def of_any_seed(request: Request, config: DictConfig) -> str:
    """A digest of all that the results of a cell come from, but for the seed: that of seed 0, or,
    where seed 0 cannot be, for want of a file of its own, of what the configuration says."""
    alike = copy.deepcopy(config)
    alike.seed = 0
    try:
        return digest(request if request.seed == 0 else typed(alike))
    except (ConfigError, OSError):
        said = OmegaConf.to_container(alike, resolve=False)
        assert isinstance(said, dict)
        told = {str(key): node for key, node in said.items() if key not in NEUTRAL}
        text = json.dumps([__version__, told], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain(config: DictConfig) -> dict[str, Any]:
    """A configuration as dicts and lists, without interpolations. Raises OmegaConf's
    MissingMandatoryValue where something is still to be given."""
    found = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def _planned(
    overrides: tuple[str, ...],
    compose: Callable[[Sequence[str]], DictConfig],
    digests: dict[tuple[str, ...], str],
    alone: bool,
) -> Planned:
    """The cell of a point of the grid; `digests` are those known by now, by all but the seed."""
    others = tuple(o for o in overrides if not o.startswith("seed="))
    try:
        composed = compose(overrides)
        request = typed(composed)
        if others not in digests:
            digests[others] = of_any_seed(request, composed)
        return Planned(overrides, request, digests[others])
    except Exception as error:
        if not mendable(error):
            raise
        where = "" if alone else f"cell {folder_name(overrides)}: "
        raise ConfigError(where + one_line(error)) from error


def _folders() -> list[Path]:
    """Where configuration is looked for after ROOT/conf."""
    places = [place.resolve() for place in (ROOT / "sweeps", Path("conf"), Path("sweeps"))]
    distinct = dict.fromkeys(places)
    return [folder for folder in distinct if folder.is_dir() and folder != ROOT / "conf"]


# Registered on import: the configuration of every command reads them.
OmegaConf.register_new_resolver(
    "sweep_folder",
    lambda name, now: f"outputs/sweeps/{name}" if name else f"outputs/runs/{now}",
    replace=True,
)
OmegaConf.register_new_resolver("cell_folder", folder_name, replace=True)
