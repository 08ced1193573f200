"""Reading a sweep's folder: what finished, what was skipped, what failed, what has no result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic

from w2sweep.engine.files import read_json
from w2sweep.results.cell import Failed, Result, RungFacts, Skipped, read
from w2sweep.values import ConfigError


@dataclass(frozen=True)
class Unreadable:
    """A cell whose files are damaged."""

    dir: str
    reason: str
    traceback: str = ""

    @property
    def title(self) -> str:
        """A line that names it."""
        return self.dir


@dataclass(frozen=True)
class SweepFolder:
    """All cells of a sweep's folder, in the order in which the sweep names them."""

    path: Path
    name: str
    command: str
    stages: int
    """Distinct ones of the whole sweep."""
    results: list[Result] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    failures: list[Failed | Unreadable] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    """Folders of cells that have neither a result nor a failure."""

    @property
    def ladders(self) -> dict[str, dict[str, RungFacts]]:
        """Name -> rungs, weakest first: those of all cells, for an override may give some of them
        more."""
        rungs: dict[str, dict[str, RungFacts]] = {}
        for result in sorted(self.results, key=lambda r: -len(r.rungs)):
            rungs.setdefault(result.ladder, {}).update(result.rungs)
        return rungs

    def add(self, folder: Path) -> None:
        """Reads one cell's folder."""
        found = read(folder)
        if found is None:
            self.pending.append(folder.name)
        elif isinstance(found, Result):
            self.results.append(found)
        elif isinstance(found, Skipped):
            self.skipped.append(found)
        else:
            self.failures.append(found)


def read_sweep(path: Path) -> SweepFolder:
    """Reads `outputs/sweeps/<name>`.

    Raises ConfigError where it is no sweep, or no cell of it has finished.
    """
    plan = _plan(path)
    name, command = plan.get("name", path.resolve().name), plan.get("command", "")
    sweep = SweepFolder(path, name, command, len(plan.get("stages", {})))
    for folder in _folders(path, plan):
        try:
            sweep.add(folder)
        except Exception as error:  # whatever is wrong with one cell, the others are reported
            mend = "unreadable result, remove the folder and run the sweep again"
            sweep.failures.append(Unreadable(folder.name, f"{mend}: {_one_line(error)}"))
    if not sweep.results:
        raise ConfigError(f"no finished cell in {path}: {_census(sweep)}")
    return sweep


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


def _folders(path: Path, plan: Mapping[str, Any]) -> Iterator[Path]:
    """The planned cells first, in their order, then those of earlier runs under the same name."""
    planned = [path / cell["dir"] for cell in plan.get("cells", [])]
    yield from dict.fromkeys(planned)
    files = (*path.glob(f"*/{Result.FILE}"), *path.glob(f"*/{Failed.FILE}"))
    found = {file.parent for file in files}
    yield from sorted(found - set(planned))


def _census(sweep: SweepFolder) -> str:
    first = f" (the first: {sweep.failures[0].reason})" if sweep.failures else ""
    return (
        f"{len(sweep.failures)} failed{first}, {len(sweep.skipped)} skipped, "
        f"{len(sweep.pending)} without a result yet"
    )


def _one_line(error: Exception) -> str:
    if isinstance(error, pydantic.ValidationError):
        found = error.errors()
        return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
