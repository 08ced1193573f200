"""Each framework is known to one module, and the command answers before it needs any of the heavy ones."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY

SOURCE = REPOSITORY / "src" / "w2sweep"

KNOWN_TO = {
    "torch": {
        "model",
        "learner",
        "losses",
        "softmax",
        "training",
        "batches",
        "checkpoint",
        "inference",
    },
    "transformers": {"model"},
    "tokenizers": {"model"},
    "peft": {"model"},
    "pytorch_lightning": {"learner"},
    "wandb": {"tracking"},
    "matplotlib": {"lab.atlas.figures", "report.figures"},
    "datasets": {"tasks.source"},
    "hydra": {"cli", "errors", "data"},
    "omegaconf": {"cli", "errors", "data"},
    "joblib": set(),
    "pandas": set(),
    "sklearn": set(),
}
HEAVY = (
    "torch",
    "transformers",
    "pytorch_lightning",
    "peft",
    "wandb",
    "matplotlib",
    "datasets",
    "pandas",
    "chess",
    "rich",
)


def modules() -> Iterator[tuple[str, Path]]:
    for path in SOURCE.rglob("*.py"):
        yield (
            ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"),
            path,
        )


def imports(path: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it, type checking aside."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text("utf-8")))
    return found


@pytest.mark.parametrize("framework", KNOWN_TO)
def test_a_framework_is_known_to_its_modules_only(framework):
    owners = tuple(f"{owner}." for owner in KNOWN_TO[framework])  # modules, or packages
    users = [name for name, path in modules() if framework in imports(path)]
    assert [name for name in users if not f"{name}.".startswith(owners)] == []


PLAN = """
import sys
from w2sweep.cli import main
sys.argv = ["w2sweep", "-cn", "quickstart", "tracking=none", "seed=0,oops"]  # planned up to what is wrong
try:
    main()
except SystemExit as exit:
    assert exit.code == 2, exit.code
print(*sorted(m for m in sys.modules if "." not in m))
"""


@pytest.mark.parametrize(
    "code",
    ["import sys, w2sweep.cli, w2sweep.report; print(*sys.modules)", PLAN],
    ids=["import", "plan"],
)
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
