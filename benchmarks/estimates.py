"""What a sweep says of how long it still takes, against how long it took.

    python benchmarks/estimates.py                                   # five to ten minutes
    python benchmarks/estimates.py -cn quickstart weak=nano strong=micro,mini seed=8

Runs the sweep of these words in a new store, looks at it every two seconds as its own display does,
and tells at 10, 25, 50, 75 and 90 % of its time what was said to be left and what was.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from w2sweep.engine.stage import closure
from w2sweep.engine.standing import Standing
from w2sweep.engine.store import Store
from w2sweep.interface.composing import planned_by
from w2sweep.interface.launching import cores
from w2sweep.sweep.comparison import needed
from w2sweep.sweep.estimates import load

WORDS = ("-cn", "quickstart", "weak=nano", "strong=micro", "seed=8")
LOOK_S = 2.0
AT = (0.1, 0.25, 0.5, 0.75, 0.9)


def main() -> None:
    """Prints the table."""
    given = sys.argv[1:] or list(WORDS)
    named = "-cn" in given
    config = given[given.index("-cn") + 1] if named else "config"
    words = [word for word in given if word not in ("-cn", config)]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder, "store"))
        more = [f"store={store.root}", "tracking=none", f"hydra.sweep.dir={folder}/sweep"]
        cells = [p.cell for p in planned_by(config, [*words, *more]) if p.cell]
        stages = closure(tuple(stage for cell in cells for stage in needed(cell)))
        said = watched([*given, *more], Standing(stages, store, cores(), load))
    whole = said[-1][0]
    print(f"{len(stages)} stages, {whole:.0f} s")
    print(f"{'at':>6}{'elapsed':>9}{'said':>9}{'was':>9}{'ratio':>7}")
    for part in AT:
        elapsed, left = next(look for look in said if look[0] >= part * whole)
        row = f"{part:>6.0%}{elapsed:>9.0f}"
        if left is None:
            print(f"{row}{'-':>9}{whole - elapsed:>9.0f}")
        else:
            print(f"{row}{left:>9.0f}{whole - elapsed:>9.0f}{left / (whole - elapsed):>7.2f}")


def watched(words: list[str], standing: Standing) -> list[tuple[float, float | None]]:
    """Seconds since the start, and what was said to be left; last the end of the last stage."""
    began, said = time.time(), list[tuple[float, float | None]]()
    command = [sys.executable, "-m", "w2sweep", *words]
    sweep = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(standing.done) < len(standing.stages) and sweep.poll() is None:
        standing.look()
        said.append((time.time() - began, standing.left))
        time.sleep(LOOK_S)
    if sweep.wait():
        sys.exit("the sweep failed")
    return said


if __name__ == "__main__":
    main()
