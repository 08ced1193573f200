"""Reading a sweep's folder: what finished, what was skipped, what failed, what has no result."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic

from w2sweep.engine.files import read_json
from w2sweep.results.cell import Failed, Record, Result, RungFacts, SkippedCell, read
from w2sweep.values import ConfigError

SHOWN = "tracked.json"
"""In a sweep's folder: what the tracker was shown, and where a browser finds it."""


@dataclass(frozen=True)
class Unreadable:
    """A cell whose files are damaged."""

    folder: str
    reason: str
    traceback: str = ""

    @property
    def title(self) -> str:
        """A line that names it."""
        return self.folder


@dataclass(frozen=True)
class SweepFolder:
    """All cells of a sweep's folder."""

    path: Path
    name: str
    command: str
    stages: int
    """Distinct ones of the whole sweep."""
    cells: Mapping[str, Record | Unreadable | None]
    """Name of the cell's folder -> what it says, in the order in which the sweep names its cells.
    None: neither a result nor a failure yet."""
    earlier: Mapping[str, Record | Unreadable | None]
    """Cells of earlier runs under the same name, which are no part of the present plan."""
    plan: Mapping[str, Any] = field(default_factory=dict)
    """What `sweep.json` says; nothing where there is none."""

    @property
    def results(self) -> list[Result]:
        """The cells that have finished."""
        return [cell for cell in self.cells.values() if isinstance(cell, Result)]

    @property
    def skipped(self) -> list[SkippedCell]:
        """The cells that had nothing to run."""
        return [cell for cell in self.cells.values() if isinstance(cell, SkippedCell)]

    @property
    def failures(self) -> list[Failed | Unreadable]:
        """The cells that ended with an error, or whose files are damaged."""
        return [cell for cell in self.cells.values() if isinstance(cell, Failed | Unreadable)]

    @property
    def pending(self) -> list[str]:
        """Folders of the cells that have neither a result nor a failure."""
        return [folder for folder, cell in self.cells.items() if cell is None]

    @cached_property
    def urls(self) -> dict[str, str]:
        """Name of a cell's folder, or of a stage that was there before -> where a browser shows
        its run; of those that the sweep has shown to a tracker with such places."""
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            return {name: str(url) for name, url in read_json(self.path / SHOWN)["urls"].items()}
        return {}

    @property
    def ladders(self) -> dict[str, dict[str, RungFacts]]:
        """Name of a ladder -> its rungs, weakest first.

        They are those of all cells together, for an override may give some cells more of them.
        """
        rungs: dict[str, dict[str, RungFacts]] = {}
        for result in sorted(self.results, key=lambda r: -len(r.rungs)):
            rungs.setdefault(result.ladder, {}).update(result.rungs)
        return rungs


def read_sweep(path: Path) -> SweepFolder:
    """Reads `outputs/sweeps/<name>`.

    Raises ConfigError where it is no sweep, or no cell of it has finished.
    """
    plan = _plan(path)
    name, command = plan.get("name", path.resolve().name), plan.get("command", "")
    planned = {cell["dir"]: cell.get("digest", "") for cell in plan.get("cells", [])}
    found = {folder: _read(path / folder) for folder in (*planned, *_others(path, planned))}
    present = {f: cell for f, cell in found.items() if not plan or _is_of(planned, f, cell)}
    earlier = {f: cell for f, cell in found.items() if f not in present}
    stages = len(plan.get("stages", {}))
    sweep = SweepFolder(path, name, command, stages, present, earlier, plan)
    if not sweep.results:
        raise ConfigError(f"no finished cell in {path}: {_census(sweep)}")
    return sweep


def _read(folder: Path) -> Record | Unreadable | None:
    try:
        return read(folder)
    except Exception as error:  # whatever is wrong with one cell, the others are reported
        mend = "unreadable result, remove the folder and run the sweep again"
        return Unreadable(folder.name, f"{mend}: {_one_line(error)}")


def _plan(path: Path) -> dict[str, Any]:
    if not path.is_dir():
        raise ConfigError(f"no folder {path}; expected a sweep, as in outputs/sweeps/<name>")
    plan = path / "sweep.json"
    if plan.exists():
        try:
            return read_json(plan)
        except ValueError as error:
            raise ConfigError(
                f"{plan} is damaged ({_one_line(error)}): "
                "run the sweep again, which trains nothing twice"
            ) from None
    if not any(path.glob("*/cell.json")):
        raise ConfigError(
            f"{path} is no sweep: it has neither sweep.json nor cells; "
            "expected outputs/sweeps/<name>"
        )
    return {}


def _others(path: Path, planned: Collection[str]) -> list[str]:
    """The folders of cells that are not planned."""
    files = (*path.glob(f"*/{Result.FILE}"), *path.glob(f"*/{Failed.FILE}"))
    return sorted({file.parent.name for file in files} - set(planned))


def _is_of(planned: Mapping[str, str], folder: str, cell: Record | Unreadable | None) -> bool:
    """Whether a cell came from what the plan says of its folder: the plan's cells by folder, each
    with the digest of its configuration."""
    if folder not in planned:
        return False
    digest = getattr(cell, "digest", "")
    return not (digest and planned[folder]) or digest == planned[folder]


def _census(sweep: SweepFolder) -> str:
    first = f" (the first: {sweep.failures[0].reason})" if sweep.failures else ""
    return (
        f"{len(sweep.failures)} failed{first}, {len(sweep.skipped)} skipped, "
        f"{len(sweep.pending)} without a result yet, {len(sweep.earlier)} of an earlier run"
    )


def _one_line(error: Exception) -> str:
    if isinstance(error, pydantic.ValidationError):
        return "; ".join(map(_complaint, error.errors()))
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _complaint(details: Mapping[str, Any]) -> str:
    """What pydantic says of one field."""
    return f"{'.'.join(map(str, details['loc']))}: {details['msg']}"
