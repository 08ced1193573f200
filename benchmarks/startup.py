"""Start-up: how long a command takes before it does anything, and a sweep before it trains.

    python benchmarks/startup.py
    python benchmarks/startup.py --against OTHER_CHECKOUT    # beside another one
    python benchmarks/startup.py --launchers stages_local --rounds 5

A sweep of eight tiny cells that train for real, in a new store, in turn by each launcher and each
checkout: seconds from the command to the first stage, to the first one that trains, and to the
report; and the same command again, which the store answers. These are on the clock, so that the
machine should be idle; the CPU seconds beside them are of all processes of the command. Medians of
the rounds.

The second core of two is idle while the workers' server imports, so that the gain on the clock is
one of machines with a core to spare, and the CPU seconds are what holds on busy ones too. On two
cores of an AMD EPYC (Zen 4) that other work shared, torch 2.13.0+cpu, OMP_NUM_THREADS=1, by
`--launchers stages_local --rounds 5`, twice; before is commit d15cac5:

                         begins  trains  report     CPU   again     CPU
    now                     4.9     5.3     7.9     9.4     2.7     2.7
    before                  7.1     7.5    12.7    13.1     2.8     2.7
    now, busier             8.7     9.6    14.5     9.6     4.0     2.8
    before, busier         10.6    11.3    17.3    13.6     4.3     2.8
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

HERE = Path(__file__).parents[1]
GRID = [
    *("task=sentiment", "strong=micro", "seed=0,1,2,3", "method=naive,bootstrap"),
    *("task.pool=600", "task.world.tokens=20000", "recipe.epochs=1"),
    "sizes={supervisor: 64, student: 64, validation: 16, test: 32}",
    *("ladder.rungs.nano.tokens=2000", "ladder.rungs.micro.tokens=2000"),
    *("tracking=none", "sweep=startup"),
]
LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "stages_local": ["hydra/launcher=stages_local", "hydra.launcher.n_jobs=2"],
}


@dataclass(frozen=True)
class Took:
    """What a command took."""

    began: float
    """When it began, by the clock."""
    seconds: float
    cpu: float


@dataclass(frozen=True)
class Row:
    """Seconds of a sweep, and of the same command again."""

    begins: float
    trains: float
    report: float
    cpu: float
    again: float
    cpu_again: float


def took(checkout: Path, folder: Path, *words: str) -> Took:
    """Runs a command of a checkout, and waits for all that it started."""
    before, began = _cpu(), time.time()
    subprocess.run(
        [sys.executable, "-m", "w2sweep", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(checkout / "src")},
        capture_output=True,
        check=True,
    )
    seconds = time.time() - began
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    return Took(began, seconds, _cpu() - before)


def row(checkout: Path, launcher: str) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        words = [*GRID, *LAUNCHERS[launcher]]
        first = took(checkout, Path(folder), *words)
        lines = Path(folder, "outputs/store/journal.jsonl").read_text().splitlines()
        again = took(checkout, Path(folder), *words)
    starts = [told for told in map(json.loads, lines) if told["event"] == "start"]
    begins = min(told["time"] for told in starts)
    trains = min(told["time"] for told in starts if told["stage"].startswith("Adapt/"))
    until = (begins - first.began, trains - first.began, first.seconds)
    return Row(*until, first.cpu, again.seconds, again.cpu)


def adopt() -> None:
    """Has the processes that outlive their parents become children of this one (on Linux), so that
    their CPU seconds are counted."""
    with suppress(OSError, AttributeError):
        subreaper = 36  # PR_SET_CHILD_SUBREAPER of prctl.h
        ctypes.CDLL(None).prctl(subreaper, 1, 0, 0, 0)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, help="another checkout")
    parser.add_argument("--launchers", nargs="+", default=[*LAUNCHERS], choices=[*LAUNCHERS])
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    adopt()
    checkouts = {"": HERE} | ({"other ": asked.against.resolve()} if asked.against else {})
    for name, checkout in checkouts.items():
        for word in ("--version", "--help"):
            found = [took(checkout, Path.cwd(), word).seconds for _ in range(3)]
            print(f"{name}w2sweep {word}: {min(found):.2f} s", flush=True)
    print(f"{'seconds until':24}{'begins':>8}{'trains':>8}{'report':>8}{'CPU':>8}", end="")
    print(f"{'again':>8}{'CPU':>8}")
    for launcher in asked.launchers:
        rows: dict[str, list[Row]] = {name: [] for name in checkouts}
        for _ in range(asked.rounds):
            for name, checkout in checkouts.items():
                rows[name].append(row(checkout, launcher))
        for name, found in rows.items():
            medians = map(statistics.median, zip(*map(astuple, found), strict=True))
            print(f"{name + launcher:24}" + "".join(f"{m:8.1f}" for m in medians), flush=True)


def _cpu() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
