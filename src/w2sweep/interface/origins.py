"""Which of the user's own files a configuration is from, and which of them are never read."""

from __future__ import annotations

import filecmp
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.default_element import ResultDefault
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from w2sweep.values import ConfigError

ROOT_CONFIG = "config"
"""The name that many a project gives its first file. Nobody can mean to replace ours by it."""


class Origins:
    """The files that the cells of a grid are composed of.

    Args:
        loader: finds them.
        config: what all cells have in common.
        folders: the user's own.
    """

    def __init__(self, loader: ConfigLoaderImpl, config: DictConfig, folders: Sequence[Path]):
        self._loader, self._config, self._folders = loader, config, folders

    def check(self, choices: Sequence[str]) -> None:
        """Raises ConfigError where a cell with these choices reads a file of w2sweep's instead of
        one of the user's with the same name."""
        if not self._shadowed:
            return
        for default in self._defaults(choices):
            name = default.config_path or ""
            if name in self._shadowed and name != ROOT_CONFIG:
                raise ConfigError(
                    f"{self._shadowed[name]} would never be read, for w2sweep has a file of that "
                    f"name ({name}): give yours another one"
                )

    def told(self, wrong: str, overrides: Sequence[str]) -> str:
        """What to add to a line that says what is wrong: the user's file that says it; nothing
        where no file does, or where the command line does."""
        key = wrong.partition(":")[0]
        if not re.fullmatch(r"[\w.-]+", key) or any(key in word for word in overrides):
            return ""
        found = [str(file) for file, content in self._read(overrides) if _sets(content, key)]
        return f"; {found[-1]} says so" if found else ""

    @property
    def unread(self) -> Path | None:
        """A root of the user's, which is never read: most often that of another project."""
        return self._shadowed.get(ROOT_CONFIG)

    @cached_property
    def _shadowed(self) -> dict[str, Path]:
        """The user's files that have the name of another one, which Hydra finds first."""
        found = {}
        for folder in self._folders:
            for file in folder.rglob("*.yaml"):
                name = file.relative_to(folder).with_suffix("").as_posix()
                first = self._found(name)
                if first is not None and not filecmp.cmp(file, first, shallow=False):
                    found[name] = file
        return found

    def _read(self, overrides: Sequence[str]) -> Iterator[tuple[Path, DictConfig]]:
        """The user's files that a cell is composed of, and what they say."""
        exists = self._loader.repository.group_exists
        choices = [word for word in overrides if exists(re.split("[=@]", word.lstrip("+~"))[0])]
        for default in self._defaults(choices):
            file = self._found(default.config_path or "")
            if file is not None and any(map(file.is_relative_to, self._folders)):
                content = OmegaConf.create()
                package = default.package or ""
                result = self._loader.repository.load_config(default.config_path or "")
                if result is not None:
                    _embed(content, package, result.config)
                yield file, content

    def _defaults(self, choices: Sequence[str]) -> list[ResultDefault]:
        overrides = [*self._config.hydra.overrides.hydra, *choices]
        name = self._config.hydra.job.config_name
        return self._loader.compute_defaults_list(name, overrides, RunMode.RUN).defaults

    def _found(self, name: str) -> Path | None:
        """The file of this name that Hydra reads."""
        for source in self._loader.repository.get_sources():
            if source.scheme() == "file":
                file = Path(source.path) / f"{name}.yaml"
                if file.is_file():
                    return file
        return None


def _embed(content: DictConfig, package: str, found: object) -> None:
    if package:
        OmegaConf.update(content, package, found)
    else:
        content.merge_with(found)  # type: ignore[arg-type]


def _sets(content: DictConfig, key: str) -> bool:
    """Whether a file sets this key, or part of it."""
    return OmegaConf.select(content, key, throw_on_missing=False) is not None
