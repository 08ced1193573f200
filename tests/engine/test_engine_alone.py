"""The engine could be published alone: it runs where no other room of the package is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conftest import REPOSITORY

ALONE = """
import importlib, importlib.abc, pkgutil, sys, types

GROUND = ("engine", "values", "building", "version")

class Walls(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        package, _, rest = name.partition(".")
        if package == "w2sweep" and rest.split(".")[0] not in GROUND:
            raise ImportError(f"{name} is not there")
        if package in ("torch", "wandb", "rich", "numpy", "hydra", "omegaconf"):
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Walls())
package = sys.modules["w2sweep"] = types.ModuleType("w2sweep")
package.__path__ = [sys.argv[1]]  # without what its own module imports

import w2sweep.engine
for module in pkgutil.iter_modules(w2sweep.engine.__path__, "w2sweep.engine."):
    importlib.import_module(module.name)

from arithmetic import Number, Sum
from w2sweep.engine.store import Store

total = Sum((Number(1), Number(2)))
store = Store(sys.argv[2])
store.ensure(total)
print(store.get(total))
"""


def test_the_engine_needs_no_other_room(tmp_path: Path):
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(REPOSITORY / "src" / "w2sweep"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(tests)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
