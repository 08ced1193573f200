"""From a row of the summary to the cells and stages that it came from, and to their runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from w2sweep.report.provenance import Provenance
from w2sweep.results.cell import Group, Result
from w2sweep.results.sweep_folder import SweepFolder


@dataclass(frozen=True)
class Origin:
    """A cell, or the stage that made one of its models."""

    seed: int
    role: str
    """`cell`, or that of the model."""
    name: str
    """Of the cell's folder, or of the stage."""
    path: str
    """What can be opened of it, relative to the report's folder; empty where it is not at hand."""
    run: str
    """The address of its run in W&B; empty where none is known."""


def origins(sweep: SweepFolder, of: Provenance) -> dict[Group, list[Origin]]:
    """Group of cells -> each of its cells, seed by seed, and the stages of its models."""
    known: dict[str, tuple[str, str]] = {}
    found: dict[Group, list[Origin]] = {}
    for folder, result in sweep.cells.items():
        if isinstance(result, Result):
            found.setdefault(result.group, []).extend(_of_cell(folder, result, of, known))
    return found


def _of_cell(
    folder: str, result: Result, of: Provenance, known: dict[str, tuple[str, str]]
) -> Iterator[Origin]:
    """`known` holds the links of stages that other cells have asked for."""
    yield Origin(result.seed, "cell", folder, f"../{folder}/{Result.FILE}", of.tracked(folder))
    for role, model in result.models.items():
        if model.stage not in known:
            known[model.stage] = (of.link(model.stage), of.tracked(model.stage))
        yield Origin(result.seed, role, model.stage, *known[model.stage])
