"""Kills random workers of a sweep, and compares what is left with an undisturbed run.

    python benchmarks/kill_storm.py outputs/storm --workers 4 --kills 20 -- \
        w2sweep -m task=sentiment weak=nano strong=micro,mini seed=0 tracking=none \
        runtime.checkpoint_seconds=2 store={store} hydra.sweep.dir={folder}

The short time between checkpoints makes them matter; `{store}` is the store that all workers share,
`{folder}` a folder of each worker's own. The command runs once undisturbed; then `--workers` copies
run at once on another store, and now and then a random one is killed (SIGKILL) and started again,
until `--kills` of them were; the rest may finish. Exit code 0: so many were killed, every result is
there, each file identical to the undisturbed run's, every execution accounted for, and no working
folder left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from w2sweep.engine.store import Store


@dataclass
class Storm:
    """Copies of a command, of which a random one is killed every so often."""

    command: list[str]
    root: Path
    kills: int
    every_s: float
    seed: int = 0
    killed: list[int] = field(default_factory=list)
    """The process ids."""

    def run(self, workers: int) -> None:
        """Until all finished.

        Raises:
            RuntimeError: a worker failed by itself.
        """
        chance = random.Random(self.seed)
        running = {i: self.start(i) for i in range(workers)}
        due = time.monotonic() + chance.expovariate(1 / self.every_s)
        try:
            while running:
                time.sleep(0.01)
                if time.monotonic() > due and len(self.killed) < self.kills:
                    self.kill(running, chance.choice(list(running)))
                    due = time.monotonic() + chance.expovariate(1 / self.every_s)
                self.release(running)
        finally:
            for worker in running.values():
                worker.kill()
                worker.wait()

    def release(self, running: dict[int, subprocess.Popen[bytes]]) -> None:
        """Takes those that finished out of `running`."""
        for i, worker in list(running.items()):
            if worker.poll() is not None:
                del running[i]
            if worker.returncode:
                said = self.root / f"{i}.log"
                raise RuntimeError(
                    f"worker {i} failed with exit code {worker.returncode}: see {said}"
                )

    def start(self, i: int) -> subprocess.Popen[bytes]:
        """Worker `i`, in a process group of its own."""
        places = {"store": self.root / "store", "folder": self.root / f"worker{i}"}
        command = [argument.format(**places) for argument in self.command]
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f"{i}.log").open("ab") as said:
            return subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)

    def kill(self, running: dict[int, subprocess.Popen[bytes]], i: int) -> None:
        """Kills worker `i` with all its children, and starts it again."""
        worker = running[i]
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            if worker.wait() == -signal.SIGKILL:
                self.killed.append(worker.pid)
                running[i] = self.start(i)


@dataclass
class Account:
    """Who ran what, from the journal and from the record beside each result."""

    distinct: int
    executed: int
    interrupted: int
    adopted: int
    unexplained: list[str]
    """Executions that neither made a result nor were killed."""

    @classmethod
    def of(cls, root: Path, killed: list[int]) -> Account:
        """Of the store at `root`, where the processes `killed` were."""
        lines = Store(root, mode="read-only").journal()
        starting = [line for line in lines if line["event"] == "start"]
        starts = {(line["stage"], line["lease"]): line["pid"] for line in starting}
        made = {(name, record["lease"]) for name, record in records(root).items()}
        futile = {execution: pid for execution, pid in starts.items() if execution not in made}
        unexplained = [f"{name} by {pid}" for (name, _), pid in futile.items() if pid not in killed]
        unexplained += [f"{name} was made by nobody" for name, _ in made - starts.keys()]
        adopted = sum(line["event"] == "adopted" for line in lines)
        return cls(len(made), len(starts), len(futile), adopted, unexplained)

    def __str__(self) -> str:
        sign = "=" if self.executed == self.distinct + self.interrupted else "!="
        parts = f"{self.distinct} distinct + {self.interrupted} interrupted"
        return (
            f"executed {self.executed} {sign} {parts}; "
            f"{self.adopted} resumed from a checkpoint; {len(self.unexplained)} unexplained"
        )


def records(root: Path) -> dict[str, dict]:
    """The record beside each result, by the stage's name."""
    files = sorted(root.glob("*/[!.]*/stage.json"))
    return {str(f.parent.relative_to(root)): json.loads(f.read_text("utf-8")) for f in files}


def differences(expected: Path, found: Path) -> list[str]:
    """Where two stores differ: in results, in their files, and in the contents of these but for the
    records' times and hosts."""
    ours, theirs = records(expected), records(found)
    said = [f"{name} is only in one of them" for name in sorted(ours.keys() ^ theirs.keys())]
    for name in ours.keys() & theirs.keys():
        here, there = contents(expected / name), contents(found / name)
        files = sorted(here.keys() | there.keys())
        said += [f"{name}/{file} differs" for file in files if here.get(file) != there.get(file)]
    return said + [f"{left.relative_to(found)} was left" for left in leftovers(found)]


def contents(result: Path) -> dict[str, bytes]:
    """The files of a result but for its record, and for a checkpoint whose owner was killed before
    it removed it."""
    files = {str(f.relative_to(result)): f for f in result.rglob("*") if f.is_file()}
    names = [n for n in files if n != "stage.json" and not n.startswith("checkpoint")]
    return {name: files[name].read_bytes() for name in names}


def leftovers(root: Path) -> list[Path]:
    """Working folders, and half-written failures."""
    return [p for p in root.glob("*/.*") if ".lease." not in p.name and p.name != ".clock"]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="a folder for both runs; emptied first")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--every", type=float, default=5.0, help="mean seconds between two kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    shutil.rmtree(given.root, ignore_errors=True)
    root = given.root.absolute()
    calm = Storm(given.command, root / "calm", kills=0, every_s=1)
    storm = Storm(given.command, root / "storm", given.kills, given.every, given.seed)
    for name, run, workers in (("undisturbed", calm, 1), ("storm", storm, given.workers)):
        started = time.monotonic()
        run.run(workers)
        account = Account.of(run.root / "store", run.killed)
        took = time.monotonic() - started
        print(f"{name}: {workers} workers, {len(run.killed)} kills, {took:.0f} s: {account}")
    wrong = [*account.unexplained, *differences(calm.root / "store", storm.root / "store")]
    print(
        "\n".join(wrong)
        or f"{account.distinct} results, each identical to the undisturbed run's; nothing left over"
    )
    return 1 if wrong or len(storm.killed) < given.kills else 0


if __name__ == "__main__":
    sys.exit(main())
