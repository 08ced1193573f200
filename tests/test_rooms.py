"""The walls of the house: rooms import from rooms below, frameworks have their rooms, and no file
goes round in a circle."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from conftest import REPOSITORY

SOURCE = REPOSITORY / "src" / "w2sweep"

FLOORS = (
    {"values", "building", "version"},
    {"engine"},
    {"tasks"},
    {"lab"},
    {"experiment"},
    {"learning"},
    {"results"},
    {"sweep"},
    {"report"},
    {"analyses"},
    {"interface"},
)
"""Lowest first: a room imports from its own floor and from those below it."""

KNOWN_TO = {
    "torch": {"learning", "experiment.losses", "engine.devices"},
    "transformers": {"learning"},
    "tokenizers": {"learning"},
    "peft": {"learning"},
    "pytorch_lightning": {"learning.learner", "learning.loggers", "learning.stacking"},
    "lightning_fabric": {"learning.learner"},
    "wandb": {"engine.tracking", "report.wandb_report"},
    "wandb_workspaces": {"report.wandb_report"},
    "tensorboard": {"learning.loggers"},
    "matplotlib": {"report.figures", "analyses"},
    "jinja2": {"report", "analyses"},
    "rich": {"engine.watch", "report"},
    "chess": {"tasks.puzzles", "tasks.positions", "tasks.pgn"},
    "datasets": {"tasks.asking", "tasks.source"},
    "huggingface_hub": {"tasks.asking", "tasks.source", "experiment.shape"},
    "hydra": {"interface"},
    "omegaconf": {"interface"},
    "scipy": {"results.intervals"},
    "submitit": {"engine.slurm", "engine.slurm_job", "interface.launching"},
    "ray": {"engine.ray_tasks"},
    "joblib": set(),
    "pandas": {"report.frames"},
    "sklearn": set(),
}
"""Framework -> the rooms or modules that may import it."""

HEAVY = {
    "torch",
    "transformers",
    "pytorch_lightning",
    "peft",
    "wandb",
    "matplotlib",
    "datasets",
    "pandas",
    "scipy",
    "chess",
    "rich",
}


@dataclass(frozen=True)
class Import:
    """One module imported by another, wherever the line stands."""

    by: str
    of: str
    inside_function: bool = False

    def __str__(self) -> str:
        return f"{self.by} imports {self.of}"


@cache
def modules() -> dict[str, Path]:
    """Dotted name below the package -> file; the package's own is ""."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(name: str, path: Path) -> Iterator[Import]:
    """All that a file imports, under TYPE_CHECKING and inside functions too."""

    def visit(node: ast.AST, inside: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(name, alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} has a relative import"
            yield from (Import(name, f"{node.module}.{a.name}", inside) for a in node.names)
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    yield from visit(ast.parse(path.read_text("utf-8")), False)


@cache
def everything() -> list[Import]:
    return [found for name, path in modules().items() for found in imports(name, path)]


def own(found: Import) -> str | None:
    """The module of ours that an import means; None where it is somebody else's."""
    package, _, rest = found.of.partition(".")
    if package != "w2sweep":
        return None
    known = modules()
    while rest and rest not in known:
        rest = rest.rpartition(".")[0]
    return rest


def floor(module: str) -> int:
    room = module.partition(".")[0]
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


@cache
def between_rooms() -> list[tuple[Import, str]]:
    """Imports of one module of ours by another. The package's own file, which names what is public,
    is above all rooms."""
    found = [(i, own(i)) for i in everything() if i.by not in ("", "__main__")]
    return [(i, module) for i, module in found if module]


def test_every_module_is_in_a_room():
    rooms = set().union(*FLOORS)
    strangers = {name for name in modules() if name.partition(".")[0] not in rooms}
    assert strangers == {"", "__main__"}


def test_a_room_never_imports_from_above():
    def runs_it(found: Import, module: str) -> bool:
        """A stage or a loss imports what runs it: the one way up."""
        up = (found.by.partition(".")[0], module.partition(".")[0])
        return up == ("experiment", "learning") and found.inside_function

    wrong = [
        str(found)
        for found, module in between_rooms()
        if floor(module) > floor(found.by) and not runs_it(found, module)
    ]
    assert wrong == []


def test_results_read_files_and_nothing_else_of_the_rooms():
    allowed = ("results", "values", "building", "version", "engine.files")
    wrong = [
        str(i)
        for i, module in between_rooms()
        if i.by.startswith("results") and not module.startswith(allowed)
    ]
    assert wrong == []


def test_no_file_imports_itself_by_others():
    graph: dict[str, set[str]] = {}
    for found, module in between_rooms():
        if not (module.startswith("learning") and found.by.startswith("experiment")):
            graph.setdefault(found.by, set()).add(module)
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in done:
            for other in sorted(graph.get(name, set()) - {name}):
                visit(other, (*above, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


@pytest.mark.parametrize("framework", KNOWN_TO)
def test_a_framework_is_known_to_its_rooms_only(framework):
    owners = tuple(f"{owner}." for owner in KNOWN_TO[framework])
    users = {i.by for i in everything() if i.of.partition(".")[0] == framework}
    assert {name for name in users if not f"{name}.".startswith(owners)} == set()


def test_tests_lie_in_the_rooms_that_they_test():
    rooms = set().union(*FLOORS[1:])
    folders = {path.parent.name for path in (REPOSITORY / "tests").glob("*/test_*.py")}
    assert folders <= rooms


PLAN = """
import sys
from w2sweep.interface.command import main
# planned up to what is wrong
sys.argv = ["w2sweep", "-cn", "quickstart", "tracking=none", "seed=0,oops"]
try:
    main()
except SystemExit as exit:
    assert exit.code == 2, exit.code
print(*sorted(m for m in sys.modules if "." not in m))
"""
IMPORTS = """
import sys, w2sweep.interface.command, w2sweep.report
from w2sweep import *
print(*sys.modules)
"""


@pytest.mark.parametrize("code", [IMPORTS, PLAN], ids=["import", "plan"])
def test_nothing_heavy_is_imported_before_it_is_needed(code, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()).isdisjoint(HEAVY)
