"""What was asked: the words of the command line, which Hydra's own parser reads."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from w2sweep.interface.console import tell_version
from w2sweep.values import ConfigError


class Parser(argparse.ArgumentParser):
    """Says in one line what it cannot read."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; w2sweep --help shows what can be asked")


def parser() -> argparse.ArgumentParser:
    """Hydra's parser, but for its version."""
    ours = Parser(
        "w2sweep", add_help=False, parents=[get_args_parser()], conflict_handler="resolve"
    )
    tell_version(ours)
    return ours


def asked(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The words in Hydra's terms; overrides may stand before and behind any flag. Raises
    ConfigError where they cannot be read."""
    found = parser().parse_intermixed_args(sys.argv[1:] if words is None else words)
    if found.experimental_rerun is not None:
        raise ConfigError(
            "--experimental-rerun is of Hydra, for single jobs: run the same command again, which "
            "goes on from where it was"
        )
    return found


def parts(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those of Hydra (`hydra/launcher=joblib`), and those of the configuration."""
    hydra: list[str] = []
    ours: list[str] = []
    for override in parsed(overrides):
        line = str(override.input_line)
        (hydra if override.is_hydra_override() else ours).append(line)
    return hydra, ours


def with_additions(overrides: Sequence[str]) -> list[str]:
    """The overrides, with `method=+mine` written out: all that was said of the method before, which
    a file in sweeps/ says first, and mine. Raises ConfigError where nothing was said before."""
    said: dict[str, str] = {}
    whole = []
    for override in overrides:
        key, _, values = override.partition("=")
        added = values.removeprefix("+")
        if values == added:
            whole.append(override)
        elif key in said:
            values = f"{said[key]},{added}"
            whole.append(f"{key}={values}")
        elif added[:1].isalpha():
            raise ConfigError(
                f"{override}: found no values of {key} to add to: use {key}={added}, or a sweep "
                "that names some (-cn NAME)"
            )
        else:  # a number with its sign
            whole.append(override)
        said[key] = values
    return whole


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Raises Hydra's OverrideParseException for one that cannot be read."""
    return OverridesParser.create().parse_overrides(list(overrides))
