"""What a sweep is to run: its cells, in the order in which they are best begun."""

from __future__ import annotations

import hashlib
import heapq
import json
import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

from w2sweep.experiment.cell import Cell
from w2sweep.results.cell import Place
from w2sweep.sweep.request import Request
from w2sweep.values import ConfigError, Impossible
from w2sweep.version import __version__

AXES = ("weak", "strong", "seed")
"""Keys whose values tables have columns for."""
NAMED = ("task", "ladder", "method")
"""Groups whose choices tables call by the name that is in their file."""
ORACLE = " (oracle)"
"""What names of methods end with whose training is stopped by the truth."""
NEUTRAL = ("sweep", "runtime", "tracking", "store", "cache", "impossible", "plan")
"""Keys that change no result. (A root of data does where the data differ.)"""


@dataclass(frozen=True, eq=False)
class Planned:
    """A point of the grid: what its configuration asks for. Raises ConfigError where that is
    impossible."""

    overrides: tuple[str, ...]
    request: Request
    digest: str = ""
    """Of all that its results come from, but for the seed (see `digest`)."""

    def __post_init__(self) -> None:
        _ = self.cell  # what is wrong with it must show before anything runs

    @cached_property
    def cell(self) -> Cell | None:
        """What is to be run; None where nothing is."""
        return None if self.skipped else self.request.cell

    @cached_property
    def skipped(self) -> str | None:
        """Why there is nothing to run."""
        if not self.request.setting.comparable:
            return "weak is not below strong"
        try:
            _ = self.request.cell
        except Impossible as impossible:
            if self.request.impossible == "skip":
                return str(impossible)
            raise Impossible(f"{impossible}; impossible=skip leaves such cells out") from impossible
        return None

    @cached_property
    def place(self) -> Place:
        """What tells the cell from the others of its sweep."""
        r = self.request
        said = dict(_key_and_value(o) for o in self.overrides if _matters(o))  # the last one wins
        names = {group: getattr(r, group).name for group in NAMED}
        # A file that calls itself otherwise than it is called is told: two may have one name.
        plain = {key for key, name in names.items() if said.get(key, "").strip("'\"") == name}
        variant = {key: said[key] for key in sorted(said.keys() - plain - {*AXES})}
        return Place(
            task=r.task.name,
            family=r.task.family,
            ladder=r.ladder.name,
            weak=r.weak,
            strong=r.strong,
            method=r.method.name + (ORACLE if r.recipe.early_stop == "truth" else ""),
            seed=r.seed,
            variant=variant,
            digest=self.digest,
        )

    @cached_property
    def folder(self) -> str:
        """The name of the cell's folder in the sweep's."""
        return folder_name(self.overrides)


def digest(request: Request) -> str:
    """64 bits of a hash, in hex, of all that a cell's results come from: the program and the
    stages whose answers are compared. Empty where nothing is run."""
    cell = Planned((), request).cell
    if cell is None:
        return ""
    compared = {role: stage.name for role, stage in cell.compared.items()}
    for target, answers in cell.elsewhere.items():
        compared |= {f"{target}/{role}": stage.name for role, stage in answers.items()}
    compared |= {f"best_of/{role}": stage.name for role, stage in cell.scored.items()}
    language = {name: stage.name for name, stage in cell.language_models.items()}
    known = [__version__, compared, *([language] if language else [])]
    text = json.dumps(known, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def distinct(planned: Iterable[Planned]) -> list[Planned]:
    """Without the cells that differ from an earlier one in nothing that changes a result.

    Raises ConfigError where two others would share a folder, and so overwrite each other.
    """
    by_folder: dict[str, Planned] = {}
    for p in planned:
        first = by_folder.setdefault(p.folder, p)
        if (first.place, first.digest) != (p.place, p.digest):
            both = " and ".join(" ".join(cell.overrides) or "no override" for cell in (first, p))
            raise ConfigError(
                f"two cells of the grid would share the folder {p.folder}: {both}; run them as two "
                "sweeps, each with a name of its own (sweep=NAME)"
            )
    return list(by_folder.values())


def axes(planned: Sequence[Planned]) -> dict[str, list[str]]:
    """The keys in which cells differ by their overrides, each with its values in order."""
    found: dict[str, dict[str, None]] = {}
    for p in planned:
        for key, value in map(_key_and_value, filter(_matters, p.overrides)):
            found.setdefault(key, {})[value] = None
    return {key: list(values) for key, values in found.items() if len(values) > 1}


def by_new_work(work: Sequence[Set[str]]) -> list[int]:
    """The order in which to start cells, by the names of the stages that each one still needs: the
    next is always the one that brings the most stages that none before it has. Cells that run side
    by side then seldom wait for each other, and what many wait for begins early."""
    queue = [(-len(stages), i) for i, stages in enumerate(work)]
    heapq.heapify(queue)
    order, begun = [], set[str]()
    while queue:
        bound, i = heapq.heappop(queue)
        new = work[i] - begun
        if len(new) == -bound:
            order.append(i)
            begun |= new
        else:  # its count was of before; counts only ever shrink, so that no cell is overlooked
            heapq.heappush(queue, (-len(new), i))
    return order


def folder_name(overrides: Sequence[str]) -> str:
    """The name of a cell's folder, made of the overrides that change results, so that a rerun finds
    it again. A key that is added (`+`) is named as any other."""
    name = ",".join(sorted(o.lstrip("+") for o in overrides if _matters(o))) or "defaults"
    safe = re.sub(r"[^\w.,=+~@-]+", "_", name, flags=re.ASCII)
    if safe == name and len(name) <= 200:
        return name
    return f"{safe[:180]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _key_and_value(override: str) -> tuple[str, str]:
    """The two parts of an override. A key that is taken away (`~loss.hard`) keeps its mark, and has
    no value."""
    key, _, value = override.lstrip("+").partition("=")
    return key, value


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def is_neutral(key: str) -> bool:
    """Whether a key or a group changes no result."""
    return re.split(r"[.@/]", key)[0] in NEUTRAL


def _matters(override: str) -> bool:
    return not is_neutral(_key(override))
