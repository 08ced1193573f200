"""What a stage costs a store that computes nothing: claim, commit, and looks at the others.

    python benchmarks/empty_stages.py

Milliseconds of CPU a stage, against the number of stages that one worker is asked for at once. They
should not grow with it. Nothing is forced to the disk, which would be measured instead.

On one of two cores of an AMD EPYC that other work shared: 2.1 to 3.1 of 50 stages and 3.0 to 3.7 of
400. Before all stages were looked at once a second instead of after each: 4.4 to 4.8 and 14 to 16.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from large_store import Thing

from w2sweep.engine.store import Store

SIZES = (50, 100, 200, 400)


def main() -> None:
    """Prints the table."""
    os.fsync = lambda descriptor: None  # nothing here has to survive a power cut
    print(f"{'stages':>7}{'ensure':>9}{'ensure_only':>13}")
    for n in SIZES:
        stages = [Thing(i) for i in range(n)]
        with tempfile.TemporaryDirectory() as folder:
            runs = (Store(Path(folder, "a")).ensure, Store(Path(folder, "b")).ensure_only)
            costs = [milliseconds(run, stages) / n for run in runs]
        print(f"{n:>7}{costs[0]:>9.2f}{costs[1]:>13.2f}", flush=True)


def milliseconds(run, stages: list[Thing]) -> float:
    """Of the CPU."""
    began = time.process_time()
    run(*stages)
    return 1000 * (time.process_time() - began)


if __name__ == "__main__":
    main()
