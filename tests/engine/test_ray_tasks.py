"""Stages as tasks of Ray, on a cluster of two nodes on this machine; one of them dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_kill_storm import Pace, Walk

from w2sweep.engine.failures import StageFailed
from w2sweep.engine.handover import DONE, FAILED, INTERRUPTED, LACKING, Handover, StageJob
from w2sweep.engine.job import Circumstances
from w2sweep.engine.owners import Owner, end_with
from w2sweep.engine.ray_tasks import RayOptions, Task, TaskEnd, run_jobs, run_task
from w2sweep.engine.resources import Rule
from w2sweep.engine.stage import Job, Stage, closure
from w2sweep.engine.store import Store
from w2sweep.values import ConfigError

CALL = "import sys, test_ray_tasks; sys.exit(test_ray_tasks.work(*sys.argv[1:]))"
PAUSE_S = 0.03


@dataclass(frozen=True)
class Moody(Stage[int]):
    """Fails, or has its process told to stop before it works the second time."""

    mood: str
    of: Stage[int] | None = None

    def run(self, job: Job) -> None:
        told = job.out.parents[2] / "told"
        if self.mood == "failing":
            raise ValueError("no")
        if self.mood == "interrupted" and not told.exists():
            told.touch()
            raise KeyboardInterrupt
        (job.out / "x").write_text("1")

    def read(self, path: Path) -> int:
        return int((path / "x").read_text())


def chain() -> Walk:
    """Three walks, each behind the other."""
    return Walk(2, labels=Walk(1, labels=Walk(0)))


def known() -> list[Stage[int]]:
    """All stages that the command can make sure of."""
    moody = [Moody("failing"), Moody("after", Moody("failing")), Moody("interrupted")]
    return [*closure((chain(), *map(Walk, range(10, 14)))), *moody]


def work(root: str, name: str) -> int:
    """What stands for w2sweep-stage here."""
    end_with(Owner.of(os.getppid()), every_s=0.1)
    (stage,) = (stage for stage in known() if stage.name == name)
    pace = Pace(steps=f"{root}/../steps", pause_s=PAUSE_S)
    try:
        wrong = Store(root, Circumstances(pace), poll_s=0.2).ensure_only(stage)
    except KeyboardInterrupt:
        return INTERRUPTED
    if wrong:
        return FAILED if isinstance(wrong[0], StageFailed) else LACKING
    return DONE


def handover(folder: Path, stages: Sequence[Stage], rule: Rule | None = None) -> Handover:
    """A job for each of the stages and of those that they read."""
    every = closure(tuple(stages))
    at = {stage.name: i for i, stage in enumerate(every)}
    jobs = [
        StageJob(
            name=stage.what,
            words=(stage.name,),
            stages=(stage.name,),
            rule="all",
            needs=tuple(at[of.name] for of in stage.inputs),
        )
        for stage in every
    ]
    store = folder / "store"
    store.mkdir(exist_ok=True)
    return Handover(
        jobs=jobs,
        command=(sys.executable, "-c", CALL, str(store)),
        rules={"all": rule or Rule()},
        name="night",
        stages=frozenset(at),
        folder=folder,
        store=store,
        report=(),
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of two cores each."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'w2sweep[ray]'")
    path = [str(Path(__file__).parent), *sys.path]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(path))
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

        node: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 100 * 2**20}
        made = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        made.add_node(**node)
        yield made
        made.shutdown()


def at(cluster: Any, **more: Any) -> RayOptions:
    return RayOptions(address=cluster.address, **more)


def events(folder: Path, event: str) -> list[str]:
    lines = Store(folder / "store", mode="read-only").journal()
    return [line["stage"] for line in lines if line["event"] == event]


def test_a_failure_stops_what_reads_it_and_nothing_else(cluster: Any, tmp_path: Path):
    stages = [Moody("after", Moody("failing")), Moody("interrupted"), Walk(10)]
    run_jobs(handover(tmp_path, stages), at(cluster), print)
    store = Store(tmp_path / "store")
    assert [store.done(stage) for stage in stages] == [False, True, True]
    assert events(tmp_path, "failed") == [Moody("failing").name]
    assert events(tmp_path, "interrupted") == [Moody("interrupted").name]  # and was run again
    assert stages[0].name not in events(tmp_path, "start")
    assert not list((tmp_path / "jobs/ray").glob(f"*{stages[0].key}*"))


def test_what_is_interrupted_again_and_again_is_lost(cluster: Any, tmp_path: Path):
    with pytest.raises(RuntimeError, match=r"1 of 1 tasks of Ray were lost: .*exit code 4"):
        run_jobs(handover(tmp_path, [Moody("interrupted")]), at(cluster, max_retries=0), print)


def test_what_no_node_could_run_is_told_at_once(cluster: Any, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"resources\.all: no node of Ray has 1 CPU, 8 GPU;"):
        run_jobs(handover(tmp_path, [Walk(10)], Rule(gpus=8)), at(cluster), print)


@pytest.mark.slow
def test_a_node_dies_and_another_goes_on(cluster: Any, tmp_path: Path):
    victim = cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20, resources={"v": 9})
    spread = Rule(options={"scheduling_strategy": "SPREAD"})
    work, stages = handover(tmp_path, [chain(), *map(Walk, range(10, 14))], spread), known()[:7]
    killer = subprocess.Popen([sys.executable, "-c", KILLER, str(tmp_path), str(raylet(victim))])
    run_jobs(work, at(cluster), print)
    assert killer.wait(60) == 0
    store = Store(tmp_path / "store")
    assert all(map(store.done, stages))
    started, made = events(tmp_path, "start"), events(tmp_path, "commit")
    assert sorted(made) == sorted(stage.name for stage in stages)
    cut_short = len(started) - len(made)
    assert 1 <= cut_short <= 2  # what the node was at, which has two cores
    assert len(events(tmp_path, "adopted")) == cut_short


KILLER = """
import json, os, signal, sys, time
from pathlib import Path
folder, raylet = Path(sys.argv[1]), int(sys.argv[2])
def parent(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
def at_work():
    journal = folder / "store/journal.jsonl"
    lines = list(map(json.loads, journal.read_text().splitlines())) if journal.exists() else []
    ended = {line["pid"] for line in lines if line["event"] == "commit"}
    begun = [line["pid"] for line in lines if line["pid"] not in ended]
    return any(parent(parent(pid)) == raylet for pid in begun)
end = time.monotonic() + 100
while not at_work():
    assert time.monotonic() < end, "nothing ran on the node"
    time.sleep(0.05)
time.sleep(0.8)  # in the middle: its walks take 2.4 s
pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
for pid in [raylet, *(pid for pid in pids if parent(pid) == raylet)]:
    os.kill(pid, signal.SIGKILL)
"""


def raylet(node: Any) -> int:
    """The process that is a node."""
    (process,) = node.all_processes["raylet"]
    return process.process.pid


def task(folder: Path, command: Sequence[str], *stages: str) -> Task:
    (folder / "store").mkdir(exist_ok=True)
    names = stages or (Walk(0).name,)
    places = {"store": str(folder / "store"), "notes": str(folder / "notes")}
    return Task(tuple(command), str(folder), None, **places, stages=names, run="1")


def test_a_task_ends_all_that_it_has_started(tmp_path: Path):
    end = run_task(task(tmp_path, ["sh", "-c", "sleep 300 & echo $! > pid"]))
    assert (end.code, end.nothing) == (0, True)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{pid}").exists()


def test_a_node_that_does_not_see_the_store_says_so(tmp_path: Path):
    lost = task(tmp_path, ["true"])
    (tmp_path / "store").rmdir()
    with pytest.raises(RuntimeError, match="on a file system that all nodes share"):
        run_task(lost)


def test_of_a_pack_all_is_tried_though_an_input_is_missing(tmp_path: Path):
    none = TaskEnd(FAILED, ("A/1",), True, "")
    assert run_task(task(tmp_path, ["sh", "-c", "exit 3"]), none).code == DONE  # not even begun
    packed = task(tmp_path, ["sh", "-c", "exit 3"], Walk(0).name, Walk(1).name)
    assert run_task(packed, none).code == LACKING


def test_without_ray_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'w2sweep\[ray\]'"):
        run_jobs(handover(tmp_path, [Walk(0)]), RayOptions(), print)
