"""Start-up: how long a command takes before it does anything, and a sweep before it trains.

    python benchmarks/startup.py
    python benchmarks/startup.py --against OTHER_CHECKOUT    # beside another one

A sweep of eight tiny cells that train for real, in a new store, in turn by each launcher: seconds
from the command to the first stage, to the first one that trains, and to the report; and the same
command again, which the store answers. Times are on the clock, so that the machine should be idle.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parents[1]
GRID = [
    *("task=sentiment", "strong=micro", "seed=0,1,2,3", "method=naive,bootstrap"),
    *("task.pool=600", "task.world.tokens=20000", "recipe.epochs=1"),
    "sizes={supervisor: 64, student: 64, validation: 16, test: 32}",
    *("ladder.rungs.nano.tokens=2000", "ladder.rungs.micro.tokens=2000"),
    *("tracking=none", "runtime.accelerator=cpu", "sweep=startup"),
]
LOCAL = "conf/hydra/launcher/stages_local.yaml"
LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "stages_local": ["hydra/launcher=stages_local", "hydra.launcher.n_jobs=2"],
}


def seconds(checkout: Path, folder: Path, *words: str) -> tuple[float, float]:
    """When a command of a checkout began, by the clock, and how long it took."""
    began = time.time()
    subprocess.run(
        [sys.executable, "-m", "w2sweep", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(checkout / "src")},
        capture_output=True,
        check=True,
    )
    return began, time.time() - began


def row(name: str, checkout: Path, launcher: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        words = [*GRID, *LAUNCHERS[launcher]]
        began, whole = seconds(checkout, Path(folder), *words)
        lines = Path(folder, "outputs/store/journal.jsonl").read_text().splitlines()
        _, again = seconds(checkout, Path(folder), *words)
    starts = [told for told in map(json.loads, lines) if told["event"] == "start"]
    first = min(told["time"] for told in starts) - began
    trains = [told["time"] for told in starts if told["stage"].startswith("Adapt/")]
    return f"{name:24}{first:8.1f}{min(trains) - began:8.1f}{whole:8.1f}{again:8.1f}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="another checkout")
    asked = parser.parse_args()
    checkouts = {"": HERE} | ({"other ": asked.against.resolve()} if asked.against else {})
    for name, checkout in checkouts.items():
        for word in ("--version", "--help"):
            took = [seconds(checkout, Path.cwd(), word)[1] for _ in range(3)]
            print(f"{name}w2sweep {word}: {min(took):.2f} s", flush=True)
    print(f"{'seconds until':24}{'begins':>8}{'trains':>8}{'report':>8}{'again':>8}")
    for name, checkout in checkouts.items():
        for launcher in LAUNCHERS:
            if launcher != "stages_local" or (checkout / LOCAL).exists():
                print(row(name + launcher, checkout, launcher), flush=True)


if __name__ == "__main__":
    main()
