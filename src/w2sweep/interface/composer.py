"""The configuration of one cell after the other: what Hydra's `load_sweep_config` makes, but fast.

Reading files takes most of its time, so cells that choose the same files share what was read; those
that differ in single values only share what was composed (see `templates`).
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from w2sweep.interface.choices import Choices, copies
from w2sweep.interface.completing import completed
from w2sweep.interface.origins import Origins
from w2sweep.interface.targets import with_targets
from w2sweep.interface.templates import Template, value_of

SEED = "seed"


class Composed:
    """A cell's configuration, and the overrides that Hydra composes it by.

    Args:
        overrides: these.
        compose: makes the configuration; it may raise what Hydra does.
        fill: makes it without interpolations, with another seed where one is given; None: as
            OmegaConf does.
    """

    def __init__(
        self,
        overrides: tuple[str, ...],
        compose: Callable[[], DictConfig],
        fill: Callable[[int | None], dict[str, Any]] | None = None,
    ):
        self.overrides = overrides
        self._compose, self._fill = compose, fill

    @cached_property
    def config(self) -> DictConfig:
        return self._compose()

    @property
    def filled(self) -> bool:
        """Whether OmegaConf was spared."""
        return self._fill is not None

    @property
    def plain(self) -> dict[str, Any]:
        """As dicts and lists, without interpolations. Raises OmegaConf's MissingMandatoryValue
        where something is still to be given."""
        return plain(self.config) if self._fill is None else self._fill(None)

    def seeded(self, seed: int) -> dict[str, Any]:
        """The same with another seed."""
        return plain(self.alike(seed)) if self._fill is None else self._fill(seed)

    def alike(self, seed: int) -> DictConfig:
        """The configuration with another seed."""
        found = copy.deepcopy(self.config)
        found[SEED] = seed
        return found


class Composer:
    """Composes cells. Keys that a class has need no "+".

    Args:
        loader: reads files.
        config: what all cells have in common.
        origins: of the files that are read.
    """

    def __init__(self, loader: ConfigLoaderImpl, config: DictConfig, origins: Origins):
        self._loader, self._origins = loader, origins
        self._choices = Choices(loader, config)
        parser = OverridesParser.create(config_loader=loader)
        self._parse = functools.cache(parser.parse_override)
        self._chosen = functools.cache(self._copies)
        self._chooses = functools.cache(self._is_choice)
        self._value = functools.cache(self._single_value)
        self._templates: dict[tuple[object, ...], tuple[Template, tuple[str, ...]] | None] = {}

    def __call__(self, overrides: Sequence[str]) -> Composed:
        """Raises ConfigError, or an error of Hydra's, for what cannot be composed."""
        values = [self._value(override) for override in overrides]
        filled = dict(value for value in values if value is not None)
        shape = tuple(map(_shape, overrides, values))
        known = self._templates.get(shape)
        if known is None:
            found = self.afresh(overrides)
            if shape not in self._templates:
                self._templates[shape] = _template(found, filled, overrides)
            return found
        template, marks = known
        whole = tuple(mark + override for mark, override in zip(marks, overrides, strict=True))

        def fill(seed: int | None) -> dict[str, Any]:
            return template.filled(filled if seed is None else {**filled, SEED: seed})

        return Composed(whole, lambda: self._composed(overrides)[1], fill)

    def afresh(self, overrides: Sequence[str]) -> Composed:
        """Composed by OmegaConf, whatever other cells were."""
        whole, found = self._composed(overrides)
        return Composed(whole, lambda: found)

    def _composed(self, overrides: Sequence[str]) -> tuple[tuple[str, ...], DictConfig]:
        """The overrides as Hydra needs them, and the configuration that they make."""
        choices = tuple(filter(self._chooses, overrides))
        composed = self._chosen(choices)()
        whole = []
        for override in overrides:
            if override not in choices:
                override = completed(self._parse(override), composed)
                ConfigLoaderImpl._apply_overrides_to_config([self._parse(override)], composed)
            whole.append(override)
        tasks = self._loader.get_group_options("task") if composed.get("evaluate_on") else []
        found = with_targets(composed, overrides, tasks, lambda its: self._composed(its)[1])
        return tuple(whole), found

    def _copies(self, choices: tuple[str, ...]) -> Callable[[], DictConfig]:
        self._origins.check(choices)
        return copies(self._choices.composed(choices))

    def _is_choice(self, override: str) -> bool:
        return self._loader.repository.group_exists(self._parse(override).key_or_group)

    def _single_value(self, override: str) -> tuple[str, Any] | None:
        """What a hole of a template is filled with; None: the override stays as it is."""
        parsed: Override = self._parse(override)
        return None if self._chooses(override) else value_of(parsed)


def _shape(override: str, value: object) -> object:
    """What cells share that differ in single values only."""
    return (override,) if value is None else override.partition("=")[0]


def plain(config: DictConfig) -> dict[str, Any]:
    """A configuration as dicts and lists, without interpolations. Raises OmegaConf's
    MissingMandatoryValue where something is still to be given."""
    found = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def _template(
    found: Composed, filled: dict[str, Any], overrides: Sequence[str]
) -> tuple[Template, tuple[str, ...]] | None:
    """What all cells of one shape share, and what stands before each of their overrides; None
    where they share nothing."""
    marks = []
    for given, made in zip(overrides, found.overrides, strict=True):
        mark = made.removesuffix(given)
        if mark + given != made:
            return None
        marks.append(mark)
    try:
        return Template(found.config, {SEED: found.config.get(SEED), **filled}), tuple(marks)
    except Exception:  # whatever is wrong shows when the cell is made
        return None
