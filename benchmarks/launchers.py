"""Launchers: what each of them costs beside the stages, which here take no time.

    PYTHONPATH=tests python benchmarks/launchers.py
    PYTHONPATH=tests python benchmarks/launchers.py joblib stages_local

Each row is a sweep of stages that pretend, in a process of its own and a new store: seconds,
seconds a stage, and how many times those of the first row.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from commands import add_pretending_tasks

from w2sweep.engine.record import results

WORKERS = 2
LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={WORKERS}"],
    "stages_local": [
        "hydra/launcher=stages_local",
        f"hydra.launcher.n_jobs={WORKERS}",
        "hydra.launcher.preload=[]",
    ],
    "submitit_local": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"],
    "stages_ray": ["hydra/launcher=stages_ray", f"hydra.launcher.cpus={WORKERS}"],
}
GRID = ["task=pretend", "seed=0,1,2,3", "tracking=none", "runtime.accelerator=cpu", "sweep=bench"]


def swept(launcher: str, folder: Path) -> tuple[float, int]:
    """Seconds of a sweep, and its stages."""
    add_pretending_tasks(folder)
    path = [str(folder), *map(os.path.abspath, filter(None, sys.path))]
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "w2sweep", *GRID, *LAUNCHERS[launcher]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        check=True,
    )
    return time.monotonic() - began, len(list(results(folder / "outputs" / "store")))


def main() -> None:
    """The command line."""
    first = 0.0
    for launcher in sys.argv[1:] or LAUNCHERS:
        with tempfile.TemporaryDirectory() as folder:
            seconds, stages = swept(launcher, Path(folder))
        each = seconds / stages
        first = first or each
        print(f"{launcher:16}{seconds:7.1f} s{each:8.2f} s a stage{each / first:7.1f}", flush=True)


if __name__ == "__main__":
    main()
