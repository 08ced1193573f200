"""Planning: what it takes from the words of a command to all cells, stages, keys and the outlook of
`plan=true`, against the number of cells.

    python benchmarks/planning.py            # 100, 1,000 and 10,000 cells
    python benchmarks/planning.py --large    # 100,000 too: about two minutes

On one of two cores that others used too:

    cells     stages  planned s  outlook s  ms a cell   alone ms      ratio    peak MB
       96        158        0.8        0.0       8.52      19.03        1/2         61
    1,008      1,659        1.1        0.2       1.31      20.57       1/16         67
    9,984     16,432        4.4        2.1       0.65      20.45       1/31        136
   99,984    164,557       39.5       25.0       0.65      21.09       1/33        834

Each row is a process of its own. Beside the seconds stands what a cell costs in them, and how many
times that is what a cell costs which Hydra and OmegaConf compose by themselves, as the worker does
that runs it; both are CPU seconds of the same process, without what it takes to import.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from hydra.types import RunMode

from w2sweep.interface.composer import Composed, Composer
from w2sweep.interface.composing import of_any_seed, opened, planned_by, points
from w2sweep.interface.origins import Origins
from w2sweep.sweep.outlook import Means, outlook
from w2sweep.sweep.plan import Planned
from w2sweep.sweep.request import request

SIZES, LARGE = (100, 1_000, 10_000), 100_000
ALONE = 20
"""Cells that are composed by themselves."""
GRID = (
    "task=sentiment,preference",
    "weak=nano,micro",
    "strong=mini,small",
    "method=naive,confidence",
    "recipe.epochs=1,2,3",
    "tracking=none",
)
A_SEED = 48
"""Cells of the grid."""
COLUMNS = ("cells", "stages", "planned s", "outlook s", "ms a cell", "alone ms", "ratio", "peak MB")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--large", action="store_true", help=f"{LARGE:,} cells too")
    parser.add_argument("--only", type=int, metavar="CELLS", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(measured(given.only)))
        return
    print("  ".join(f"{title:>9}" for title in COLUMNS))
    for cells in (*SIZES, *([LARGE] if given.large else [])):
        call = [sys.executable, __file__, "--only", str(cells)]
        found = subprocess.run(call, check=True, capture_output=True, text=True).stdout
        print("  ".join(f"{number:>9}" for number in json.loads(found)))


def measured(cells: int) -> list[str]:
    """A row of the table, for about so many cells."""
    words = [*GRID, f"seed=range(0,{max(1, round(cells / A_SEED))})"]
    alone, one = one_by_one(ALONE)
    planning, grid = seconds(lambda: planned_by("config", words))
    telling, told = seconds(lambda: outlook(grid, Means()))
    each = (planning + telling) / len(grid)
    by_itself = alone / len(one)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        f"{len(grid):,}",
        f"{len(told.rows):,}",
        f"{planning:.1f}",
        f"{telling:.1f}",
        f"{1000 * each:.2f}",
        f"{1000 * by_itself:.2f}",
        f"1/{by_itself / each:.0f}",
        f"{peak:,.0f}",
    ]


def one_by_one(cells: int) -> tuple[float, list[Planned]]:
    """CPU seconds of cells that share the files they are read from, and nothing else; and they
    themselves."""
    loader = opened()
    config = loader.load_configuration("config", [], RunMode.MULTIRUN)
    compose = Composer(loader, config, Origins(loader, config, []))
    words = [word.partition(",")[0] for word in GRID]
    grid = points(loader, [*words, f"seed=range(0,{cells})"])
    compose.afresh(grid[0])  # which reads the files

    def made() -> list[Planned]:
        return [planned(compose.afresh(point)) for point in grid]

    return seconds(made)


def planned(composed: Composed) -> Planned:
    """A cell, from its configuration."""
    found = request(composed.plain)
    return Planned(composed.overrides, found, of_any_seed(found, composed, request))


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Of the CPU, and what the work returns."""
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


if __name__ == "__main__":
    main()
