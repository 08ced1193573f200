"""Kills random processes of sweeps, and compares what is left with an undisturbed run.

    python benchmarks/kill_storm.py outputs/storm --workers 3 --kills 34 -- \
        w2sweep -m task=sentiment weak=nano strong=micro,mini seed=0,1 tracking=none \
        hydra/launcher=joblib hydra.launcher.n_jobs=2 runtime.checkpoint_seconds=2 \
        store={store} hydra.sweep.dir={folder}

The short time between checkpoints makes them matter; `{store}` is the store that all sweeps share,
`{folder}` a folder of each sweep's own. The command runs once undisturbed; then there is a storm
for each kind of `--victims`, in which `--workers` copies run at once on another store, and now and
then one is hit (SIGKILL), until `--kills` were; the rest may finish.

    group: a sweep with all its processes; it is started again
    launcher: the sweep's own process, so that its workers have to end by themselves; likewise
    helper: one of its other processes, so that it has to start again by itself what is missing

Exit code 0: so many were killed, every result is there, each file identical to the undisturbed
run's and to its checksum, every execution accounted for, no working folder left, and no process.
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
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from w2sweep.engine import record
from w2sweep.engine.store import Store

VICTIMS = ("group", "launcher", "helper")


@dataclass
class Storm:
    """Copies of a command, of which a random one is hit every so often."""

    command: list[str]
    root: Path
    kills: int
    every_s: float
    seed: int = 0
    victim: str = "group"
    hits: int = 0
    again: int = 0
    """Starts of a command that gave up after it had lost helpers."""
    killed: list[int] = field(default_factory=list)
    """The ids of all processes that a kill has ended, or was to end."""
    sessions: list[int] = field(default_factory=list)

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
                if time.monotonic() > due and self.hits < self.kills:
                    self.kill(running, chance.choice(list(running)), chance)
                    due = time.monotonic() + chance.expovariate(1 / self.every_s)
                self.release(running)
        finally:
            for worker in running.values():
                worker.kill()
                worker.wait()

    def release(self, running: dict[int, subprocess.Popen[bytes]]) -> None:
        """Takes those that finished out of `running`. One that was hit again and again before it
        could do anything says that it is to be started again."""
        for i, worker in list(running.items()):
            if worker.poll() is not None:
                del running[i]
            if worker.returncode == 1 and self.victim == "helper":
                self.again += 1
                running[i] = self.start(i)
            elif worker.returncode:
                said = self.root / f"{i}.log"
                raise RuntimeError(
                    f"worker {i} failed with exit code {worker.returncode}: see {said}"
                )

    def start(self, i: int) -> subprocess.Popen[bytes]:
        """Worker `i`, in a session of its own."""
        places = {"store": self.root / "store", "folder": self.root / f"worker{i}"}
        command = [argument.format(**places) for argument in self.command]
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f"{i}.log").open("ab") as said:
            worker = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        self.sessions.append(worker.pid)
        return worker

    def kill(
        self, running: dict[int, subprocess.Popen[bytes]], i: int, chance: random.Random
    ) -> None:
        """Hits worker `i`, and starts it again where it is dead."""
        worker = running[i]
        members = session(worker.pid)
        others = [pid for pid in members if pid != worker.pid]
        if worker.poll() is not None or (self.victim == "helper" and not others):
            return
        if self.victim == "helper":
            with suppress(ProcessLookupError):
                os.kill(chance.choice(others), signal.SIGKILL)
            self.killed += others  # the pool of processes that has lost one ends all
            self.hits += 1
            return
        end = os.killpg if self.victim == "group" else os.kill
        end(worker.pid, signal.SIGKILL)
        if worker.wait() == -signal.SIGKILL:
            self.killed += [worker.pid, *others]
            self.hits += 1
            running[i] = self.start(i)

    def left(self) -> list[int]:
        """Processes that still live when all should be over, after some seconds' grace."""
        end = time.monotonic() + 10
        while (found := [p for s in self.sessions for p in session(s)]) and time.monotonic() < end:
            time.sleep(0.2)
        return found


def session(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, its, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(its) == leader and state not in "ZX":
                found.append(int(folder.name))
    return found


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
    return [*root.glob("*/.working/*"), *root.glob("*/.failed/.*")]


def damaged(root: Path) -> list[str]:
    """Results that are not what their checksums say."""
    found = {result: record.damage_of_any(result) for result in record.results(root)}
    return [f"{result} {damage}" for result, damage in found.items() if damage]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="a folder for all runs; emptied first")
    parser.add_argument("--workers", type=int, default=3, help="copies of the command")
    parser.add_argument("--kills", type=int, default=34, help="of each storm")
    parser.add_argument("--every", type=float, default=5.0, help="mean seconds between two kills")
    parser.add_argument("--victims", default=",".join(VICTIMS), help="kinds of storms")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    shutil.rmtree(given.root, ignore_errors=True)
    root = given.root.absolute()
    calm = Storm(given.command, root / "calm", kills=0, every_s=1)
    wrong = told("undisturbed", calm, workers=1)
    for seed, victim in enumerate(given.victims.split(","), given.seed):
        storm = Storm(given.command, root / victim, given.kills, given.every, seed, victim)
        wrong += told(victim, storm, given.workers)
        wrong += differences(calm.root / "store", storm.root / "store")
        if storm.hits < given.kills:
            wrong.append(f"{victim}: over after {storm.hits} kills")
    print("\n".join(wrong) or "all identical to the undisturbed run; nothing left over")
    return 1 if wrong else 0


def told(name: str, storm: Storm, workers: int) -> list[str]:
    """Runs a storm and prints a line about it. What is wrong with what it left."""
    started = time.monotonic()
    storm.run(workers)
    took = time.monotonic() - started
    store, left = storm.root / "store", storm.left()
    account, broken = Account.of(store, storm.killed), damaged(store)
    checked = f"{len(broken)} damaged, {len(left)} processes left"
    kills = f"{storm.hits} kills ({storm.again} times started by hand)"
    print(f"{name}: {kills}, {took:.0f} s: {account}; {checked}", flush=True)
    outlived = [f"process {pid} outlived its sweep" for pid in left]
    return [*account.unexplained, *broken, *outlived]


if __name__ == "__main__":
    sys.exit(main())
