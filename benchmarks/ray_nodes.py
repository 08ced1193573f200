"""What a dying node costs: a sweep on a Ray cluster of two nodes on this machine, one of which is
killed in the middle.

    python benchmarks/ray_nodes.py outputs/ray_nodes
    python benchmarks/ray_nodes.py outputs/ray_nodes -- -cn quickstart seed=0

It needs `pip install 'w2sweep[ray]'`. The words behind `--` choose another sweep. It prints how
many stages there are, how many were started, how many of these were interrupted or killed, and
what is missing in the end, which should be nothing.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from ray.cluster_utils import Cluster

from w2sweep.engine import working
from w2sweep.engine.files import read_json
from w2sweep.engine.leases import holder
from w2sweep.engine.store import Store

ROOT = Path(__file__).parents[1]
SWEEP = ["task=sentiment", "weak=nano", "strong=micro,mini", "method=naive,confidence", "seed=0"]
RULES = "{data: {types: [Splits, Text], pack: 8}, all: {cpus: 1}}"
PART = 0.4
"""Share of the stages that are there when the node dies."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("folder", type=Path, help="a new one, for the store and the sweep")
    parser.add_argument("words", nargs="*", default=SWEEP, help="of w2sweep")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True)
    os.environ["RAY_AUTH_MODE"] = "disabled"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    doomed = cluster.add_node(num_cpus=1)
    began = time.monotonic()
    sweep = subprocess.Popen(command(asked.words, cluster.address), cwd=asked.folder, env=env())
    raylets = [info.process.pid for info in doomed.all_processes["raylet"]]
    await_work(asked.folder / "outputs", sweep, raylets)
    kill(raylets)
    print(f"a node died after {time.monotonic() - began:.0f} s", flush=True)
    code = sweep.wait()
    print(f"the sweep ended after {time.monotonic() - began:.0f} s with exit code {code}")
    cluster.shutdown()
    tell(asked.folder / "outputs")


def command(words: list[str], address: str) -> list[str]:
    own = ["tracking=none", "sweep=ray_nodes", "hydra/launcher=stages_ray"]
    where = [f"hydra.launcher.address='{address}'", f"hydra.launcher.resources={RULES}"]
    return [sys.executable, "-m", "w2sweep", *words, *own, *where]


def env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}


def plan(outputs: Path) -> dict:
    return read_json(outputs / "sweeps/ray_nodes/sweep.json")


def await_work(outputs: Path, sweep: subprocess.Popen, raylets: list[int]) -> None:
    """Returns when a part of the stages is there, and the node has another one in hand."""
    while sweep.poll() is None:
        time.sleep(0.5)
        if (outputs / "sweeps/ray_nodes/sweep.json").exists():
            store, names = outputs / "store", list(plan(outputs)["stages"])
            there = [name for name in names if (store / name).is_dir()]
            enough = len(there) >= PART * len(names)
            if enough and not at_work(store, names).isdisjoint(descendants(raylets)):
                return


def at_work(store: Path, names: list[str]) -> set[int]:
    """The processes that have a stage in hand."""
    found = set()
    for kind in {name.partition("/")[0] for name in names}:
        for key, _ in working.begun(store / kind):
            if held := holder(store / kind, key):
                found.add(held[1].pid)
    return found


def kill(raylets: list[int]) -> None:
    """The node's processes, and the workers and commands on it, as when a machine loses power."""
    for process in [*descendants(raylets), *raylets]:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def descendants(roots: list[int]) -> list[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = list(roots)
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[len(roots) :]


def tell(outputs: Path) -> None:
    store = Store(outputs / "store", mode="read-only")
    stages = list(plan(outputs)["stages"])
    missing = [name for name in stages if not (store.root / name).is_dir()]
    events = [line["event"] for line in store.journal()]
    starts, commits = events.count("start"), events.count("commit")
    print(f"{len(stages)} distinct stages, {len(missing)} missing")
    print(f"{starts} starts, {commits} results, {starts - commits} interrupted or killed,")
    print(f"of which {events.count('adopted')} went on from a checkpoint")


if __name__ == "__main__":
    main()
