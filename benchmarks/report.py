"""What it takes to report a sweep, and to find all of its stages in the store, against the number
of cells; in one run of a few minutes.

    python benchmarks/report.py               # 100 and 2,000 cells
    python benchmarks/report.py --cells 500 --profile

CPU seconds of one process, and how many times as many they are as for the first number of cells.
Cells are finished ones with results from a made-up law: three tasks, six pairs of rungs, two
methods, seeds, one or two numbers of epochs, 400 test examples each. Of stages there are 1.6 a
cell, as in large sweeps (`planning.py`), each with a folder for its result.

On one of two cores of an AMD EPYC that other work shared, 90 and 1,980 cells were read in 0.05 and
1.07 s, summed up in 0.05 and 0.44 s and reported in 2.4 and 14.5 s; their stages were found in the
store in 0.07 s at most.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from large_store import Thing

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from fake_sweep import fake_sweep, results

from w2sweep.engine.store import Store
from w2sweep.report import report
from w2sweep.report.csv_files import cell_records
from w2sweep.report.summary import summarize
from w2sweep.results.sweep_folder import read_sweep

FEW, MANY = 100, 2_000
A_SEED, SEEDS = 30, 10
"""Cells of a seed, and from how many seeds on there are two numbers of epochs instead."""
STAGES_A_CELL = 1.6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[FEW, MANY])
    parser.add_argument("--profile", action="store_true", help="what a report spends its time on")
    asked = parser.parse_args()
    if asked.profile:
        profile(asked.cells[-1])
        return
    first: dict[str, float] = {}
    print(f"{'cells':>7}  {'':34}{'seconds':>9}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        report(sweep_of(A_SEED, Path(folder)))  # gets warm
    for cells in asked.cells:
        with tempfile.TemporaryDirectory() as folder:
            sweep = sweep_of(cells, Path(folder))
            there = len(results(sweep))
            for what, seconds in measured(sweep, there, Path(folder)):
                ratio = seconds / first.setdefault(what, seconds)
                print(f"{there:>7,}  {what:34}{seconds:>9.2f}{ratio:>8.1f}", flush=True)


def sweep_of(cells: int, folder: Path) -> Path:
    """A sweep's folder with about so many finished cells."""
    variants = [{"recipe.epochs": str(n)} for n in range(1, 3 if cells >= A_SEED * SEEDS else 2)]
    seeds = max(1, round(cells / A_SEED / len(variants)))
    return fake_sweep(folder / "large", seeds=seeds, variants=variants)


def measured(sweep: Path, cells: int, folder: Path) -> Iterator[tuple[str, float]]:
    """What is measured, and how many CPU seconds it takes."""
    store = Store(folder / "store")
    stages = [Thing(n) for n in range(int(STAGES_A_CELL * cells))]
    for stage in stages:
        store.path(stage).mkdir(parents=True)
    read = read_sweep(sweep)
    work: dict[str, Callable[[], object]] = {
        "stages found in the store": lambda: store.ensure(*stages),
        "cells read": lambda: read_sweep(sweep),
        "summed up": lambda: summarize(read),
        "cells.csv": lambda: cell_records(read),
        "the whole report": lambda: report(sweep),
    }
    for what, do in work.items():
        started = time.process_time()
        do()
        yield what, time.process_time() - started


def profile(cells: int) -> None:
    """Prints the functions in which a report spends most of its time."""
    with tempfile.TemporaryDirectory() as folder:
        sweep = sweep_of(cells, Path(folder))
        profiler = cProfile.Profile()
        profiler.runcall(report, sweep)
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main()
