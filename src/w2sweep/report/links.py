"""From a row of the summary to the stages that it came from, and to their runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from w2sweep.report.provenance import Provenance
from w2sweep.results.cell import Group, Result


@dataclass(frozen=True)
class Origin:
    """The stage that made one of the models of a cell."""

    seed: int
    role: str
    stage: str
    path: str
    """The stage's folder, relative to the report's; empty where the store is not at hand."""
    run: str
    """The address of its run in W&B; empty where none is known."""


def origins(results: Iterable[Result], of: Provenance) -> dict[Group, list[Origin]]:
    """Group of cells -> the stages of their models, seed by seed."""
    known: dict[str, tuple[str, str]] = {}
    found: dict[Group, list[Origin]] = {}
    for result in results:
        for role, model in result.models.items():
            if model.stage not in known:
                known[model.stage] = (of.link(model.stage), of.tracked(model.stage))
            origin = Origin(result.seed, role, model.stage, *known[model.stage])
            found.setdefault(result.group, []).append(origin)
    return found
