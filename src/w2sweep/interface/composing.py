"""From the words of a command to cells: Hydra composes the configuration of every cell of a grid,
and what comes after it knows nothing of Hydra."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf

from w2sweep.interface.asking import parts, with_additions
from w2sweep.interface.choices import ReadOnce
from w2sweep.interface.composer import Composed, Composer
from w2sweep.interface.explaining import mendable, one_line
from w2sweep.interface.origins import Origins
from w2sweep.interface.targets import with_targets
from w2sweep.sweep.plan import NEUTRAL, Planned, digest, distinct, folder_name, is_neutral
from w2sweep.sweep.request import Request, Requests, request
from w2sweep.values import ConfigError
from w2sweep.version import __version__

T = TypeVar("T")
Plain = Mapping[str, Any]
"""A configuration without interpolations."""

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
    setbase(HYDRA)
    Plugins.instance().register(Folders)


def sweeps() -> list[str]:
    """The names that `-cn` takes."""
    files = chain.from_iterable(folder.glob("*.yaml") for folder in _folders())
    return sorted(file.stem for file in files)


def requested(overrides: Sequence[str]) -> list[Request]:
    """What `w2sweep` with these overrides asks for, cell by cell: for commands that do something
    else with it. Raises ConfigError, or an error of Hydra's (see `explaining`)."""
    loader = opened()
    config = loader.load_configuration("config", [], RunMode.MULTIRUN)
    return [p.request for p in plan(loader, config, overrides)]


def planned_by(
    name: str, overrides: Sequence[str], folder: str = CONF, more: str | None = None
) -> list[Planned]:
    """The cells of the configuration of this name, with overrides; `folder` and `more` as of
    `opened`. Raises ConfigError, or an error of Hydra's (see `explaining`)."""
    loader = opened(folder, more)
    for_hydra, ours = parts(overrides)
    config = loader.load_configuration(name, for_hydra, RunMode.MULTIRUN)
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    return plan(loader, config, [*params, *ours])


def opened(folder: str = CONF, more: str | None = None) -> ConfigLoaderImpl:
    """What loads configurations from a folder, and first of all from `more`."""
    use_folders()
    setup_globals()
    search_path = create_config_search_path(folder)
    if more is not None:
        first = SearchPathQuery(provider="schema")
        search_path.prepend("command-line", f"file://{Path(more).resolve()}", anchor=first)
    loader = ConfigLoaderImpl(search_path)
    loader.repository = ReadOnce(loader.repository)
    return loader


def plan(loader: ConfigLoaderImpl, config: DictConfig, overrides: Sequence[str]) -> list[Planned]:
    """The cells of the grid that the overrides span. Raises ConfigError for the first one that
    cannot be."""
    return Cells(loader, config, overrides).planned()


class Cells:
    """The cells of the grid that overrides span over a configuration.

    Raises ConfigError where they span none.
    """

    def __init__(self, loader: ConfigLoaderImpl, config: DictConfig, overrides: Sequence[str]):
        self._points = points(loader, overrides)
        self._origins = Origins(loader, config, _own_folders())
        self._compose = Composer(loader, config, self._origins)
        self._requests = Requests()
        self._digests: dict[tuple[str, ...], str] = {}

    def __len__(self) -> int:
        return len(self._points)

    @property
    def unread(self) -> Path | None:
        """A file of the user's that is not read, for w2sweep's own is read in its place."""
        return self._origins.unread

    def first(self) -> Composed:
        """The first one, composed but not checked."""
        return self._found(0, self._compose)

    def planned(self) -> list[Planned]:
        """All of them. Raises ConfigError for the first one that cannot be."""
        return distinct(self._found(i, self._planned) for i in range(len(self)))

    def _planned(self, point: tuple[str, ...]) -> Planned:
        composed = self._compose(point)
        found = self._requests.of(composed.plain)
        others = tuple(o for o in composed.overrides if not o.startswith("seed="))
        if others not in self._digests:
            self._digests[others] = of_any_seed(found, composed, self._requests.of)
        return Planned(composed.overrides, found, self._digests[others])

    def _found(self, i: int, make: Callable[[tuple[str, ...]], T]) -> T:
        """Names the cell where it has something wrong that not all of them have."""
        try:
            return make(self._points[i])
        except Exception as error:
            if not mendable(error):
                raise
            point, wrong = self._points[i], one_line(error)
            common = i == 0 and self._wrong(self._points[-1], make) == wrong
            where = "" if common else f"cell {folder_name(point)}: "
            raise ConfigError(where + wrong + self._origins.told(wrong, point)) from error

    def _wrong(self, point: tuple[str, ...], make: Callable[[tuple[str, ...]], T]) -> str | None:
        try:
            make(point)
        except Exception as error:
            return one_line(error)
        return None


def points(loader: ConfigLoaderImpl, overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """The points of the grid, each as overrides. Later ones replace earlier ones of the same
    key."""
    whole = with_additions(overrides)
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(whole)
    for override in parsed:
        if loader.repository.group_exists(override.key_or_group):
            _check_choice(override)
        _check_sweep(override)
    [grid] = BasicSweeper.split_arguments(parsed, None)
    return list(dict.fromkeys(map(tuple, grid)))


def planned(overrides: Sequence[str], config: DictConfig) -> Planned:
    """The cell of a configuration that Hydra has composed in the process that runs it. Raises
    ConfigError where it is wrong."""
    if config.evaluate_on:
        loader = GlobalHydra.instance().config_loader()
        root = cast("Any", HydraConfig.instance()).cfg
        tasks = loader.get_group_options("task")
        config = with_targets(
            config, overrides, tasks, lambda its: loader.load_sweep_config(root, list(its))
        )
    composed = Composed(tuple(overrides), lambda: config)
    found = request(composed.plain)
    return Planned(composed.overrides, found, of_any_seed(found, composed, request))


def of_any_seed(found: Request, composed: Composed, made: Callable[[Plain], Request]) -> str:
    """A digest of all that the results of a cell come from, but for the seed: that of seed 0, or,
    where seed 0 cannot be, for want of a file of its own, of what the configuration says.

    `made` makes a request of a configuration without interpolations.
    """
    try:
        return digest(found if found.seed == 0 else made(composed.seeded(0)))
    except (ConfigError, OSError):
        said = OmegaConf.to_container(composed.alike(0), resolve=False)
        assert isinstance(said, dict)
        told = {str(key): node for key, node in said.items() if key not in NEUTRAL}
        text = json.dumps([__version__, told], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_choice(override: Override) -> None:
    found = override.value()
    if isinstance(found, int | float | dict) and not override.is_delete():
        raise ConfigError(
            f"{override.input_line}: found a {type(found).__name__}, expected the name of a file "
            f"in conf/{override.key_or_group}"
        )


def _check_sweep(override: Override) -> None:
    if not override.is_sweep_override():
        return
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"{override.input_line}: expected single values, such as 0,1,2 or range(0,3)"
        )
    values = list(override.sweep_string_iterator())
    if not values:
        raise ConfigError(f"{override.input_line}: there is no such value, so there is no cell")
    key = override.key_or_group
    if len(values) > 1 and is_neutral(key):
        raise ConfigError(
            f"{override.input_line}: {key} changes no result, so it spans no grid: give one value"
        )


def sweep_folder(name: str | None, now: str = "") -> str:
    """Where a sweep goes of which nobody said where, by its name or else by the time."""
    return f"outputs/sweeps/{name}" if name else f"outputs/runs/{now}"


def _folders() -> list[Path]:
    """Where configuration is looked for after ROOT/conf."""
    places = [place.resolve() for place in (ROOT / "sweeps", Path("conf"), Path("sweeps"))]
    distinct = dict.fromkeys(places)
    return [folder for folder in distinct if folder.is_dir() and folder != ROOT / "conf"]


def _own_folders() -> list[Path]:
    """The user's own: those in the current folder."""
    return [folder for folder in _folders() if folder != ROOT / "sweeps"]


# Registered on import: the configuration of every command reads them.
OmegaConf.register_new_resolver("sweep_folder", sweep_folder, replace=True)
OmegaConf.register_new_resolver("cell_folder", folder_name, replace=True)
