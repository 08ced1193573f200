"""Ranks: the processes of one stage, what becomes of what they write and say, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import joblib
import pytest
from arithmetic import events
from commands import environment

from w2sweep.engine import devices, ranks
from w2sweep.engine.devices import check_devices
from w2sweep.engine.failures import MachineFailed, StageFailed, is_networks_fault
from w2sweep.engine.files import read_json
from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Job, Stage
from w2sweep.engine.store import Store
from w2sweep.values import ConfigError


@dataclass(frozen=True)
class Source(Stage[str]):
    """Is read by the others. Nobody can run it together with others."""

    def run(self, job: Job) -> None:
        (job.out / "text").write_text(f"{job.rank}, process {os.getpid()}")

    def read(self, path: Path) -> str:
        return (path / "text").read_text()


@dataclass(frozen=True)
class Side(Source):
    """Is delivered."""

    of: Source


@dataclass(frozen=True)
class Deed(Stage[dict]):
    """What one of two ranks does, while the other waits for a word that never comes.

    `deed`: `all is well`, or how rank 1 ends, unless there is a checkpoint to go on from.
    """

    spreads: ClassVar = True

    source: Source
    deed: str = "all is well"
    witness: str = ""
    """Where each rank writes its process's number."""

    def run(self, job: Job) -> None:
        if self.witness:
            Path(self.witness, str(job.rank.number)).write_text(str(os.getpid()))
        text = {"rank": str(job.rank), "read": job.get(self.source)}
        if self.deed == "all is well" or (job.out / "checkpoint").exists():
            return self._finish(job, text)
        if job.rank.leads:
            (job.out / "checkpoint").touch()
            wait_as_for_others(self.deed)
        else:
            time.sleep(0.3)
            end_badly(self.deed)

    def _finish(self, job: Job, text: dict) -> None:
        job.log({"step": 1, "of": str(job.rank)})
        job.note(leads=job.rank.leads)
        (job.out / "text.json").write_text(json.dumps(text))
        job.progress(2).advance(2)
        if job.wants(Side(self.source)):
            (job.deliver(Side(self.source)) / "text").write_text(str(job.rank))

    def read(self, path: Path) -> dict:
        return read_json(path / "text.json")


def wait_as_for_others(deed: str) -> None:
    if deed != "die":
        time.sleep(600)
    time.sleep(0.4)  # the other one has been killed
    raise RuntimeError("Connection closed by peer")  # as gloo says it


class Unsendable(OSError):
    def __init__(self, one: int, two: int):
        super().__init__(f"{one} and {two}")


def end_badly(deed: str) -> None:
    if deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "wrong":
        raise ValueError("what the configuration says")
    if deed == "network":
        try:
            raise ConnectionResetError("no route")
        except ConnectionResetError as error:
            raise ValueError("no model") from error
    time.sleep(600)


SOURCE = Source()


def store(root: Path, devices: int = 2, planned: tuple[Stage, ...] = ()) -> Store:
    runtime = Runtime(accelerator="cpu", devices=devices)
    return Store(root, Circumstances(runtime, planned=frozenset(s.name for s in planned)))


def test_the_first_rank_writes_and_tells_and_the_worker_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    logged: list[dict] = []
    monkeypatch.setattr(StoreJob, "log", lambda self, row: logged.append(row))
    deed, side = Deed(SOURCE), Side(SOURCE)
    own = store(tmp_path, devices=3, planned=(side,))
    own.ensure(deed)
    assert own.get(deed)["rank"] == "rank 0 of 3"
    assert own.get(side) == "rank 0 of 3"
    assert own.get(SOURCE) == f"rank 0 of 1, process {os.getpid()}"  # it cannot be spread
    assert logged == [{"step": 1, "of": "rank 0 of 3"}]
    computed = read_json(own.path(deed) / "stage.json")["computed"]
    assert computed == {"leads": True, "devices": 3}
    assert {file.name for file in own.path(deed).iterdir()} == {"text.json", "stage.json"}


def test_with_one_device_it_is_this_process(tmp_path: Path):
    own = store(tmp_path, devices=1)
    own.ensure(Deed(SOURCE, witness=str(tmp_path)))
    assert (tmp_path / "0").read_text() == str(os.getpid())


def test_a_worker_of_joblib_has_ranks_too(tmp_path: Path):
    deed = Deed(SOURCE)
    joblib.Parallel(n_jobs=2)([joblib.delayed(store(tmp_path).ensure)(deed)])
    assert store(tmp_path).get(deed)["rank"] == "rank 0 of 2"


def test_the_death_of_a_rank_is_the_machines_fault_and_all_go_on_from_the_checkpoint(
    tmp_path: Path,
):
    """The other one hears of it as an error of the connection, and speaks first."""
    own, deed = store(tmp_path), Deed(SOURCE, "die")
    said = "ChildProcessError: rank 1 of 2 was killed by SIGKILL"
    with pytest.raises(MachineFailed, match=said):
        own.ensure(deed)
    assert events(tmp_path) == {"start": 2, "commit": 1, "interrupted": 1}
    own.ensure(deed)
    assert own.get(deed)["rank"] == "rank 0 of 2"
    assert events(tmp_path) == {"start": 3, "commit": 2, "interrupted": 1, "adopted": 1}


def test_what_a_rank_raises_is_raised_by_the_worker(tmp_path: Path):
    cause = "ValueError: what the configuration says"
    with pytest.raises(StageFailed, match=cause) as caught:
        store(tmp_path).ensure(Deed(SOURCE, "wrong", str(tmp_path)))
    assert type(caught.value) is StageFailed
    assert "in end_badly" in caught.value.trace
    assert all_end(tmp_path)


def test_an_error_that_cannot_be_sent_is_judged_as_it_would_be():
    told = ranks._relinked(ranks._portable(Unsendable(1, 2)))
    assert type(told) is OSError  # the machine's fault, as the error's own type is
    assert str(told) == "Unsendable: 1 and 2"


def test_what_stood_behind_an_error_is_carried_too():
    try:
        end_badly("network")
    except ValueError as error:
        told = ranks._relinked(ranks._portable(error))
    assert isinstance(told, ValueError)
    assert is_networks_fault(told)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_end(folder: Path, seconds: float = 20) -> bool:
    """Whether the processes of both ranks end soon."""
    until = time.monotonic() + seconds
    pids = [int((folder / number).read_text()) for number in "01"]
    while any(map(lives, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(lives, pids))


WORKER = """
import sys
from pathlib import Path
from test_ranks import SOURCE, Deed, store

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    store(folder / "store").ensure(Deed(SOURCE, "last", str(folder)))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ranks_end_with_their_worker(tmp_path: Path, number: signal.Signals):
    """Killed, or by a Ctrl-C that all of its processes get, and that only the worker answers."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    path = os.pathsep.join([environment()["PYTHONPATH"], str(Path(__file__).parent)])
    worker = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env={**environment(), "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not all((tmp_path / number).exists() for number in "01") and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.1)
    if number == signal.SIGKILL:
        worker.kill()
    else:
        os.killpg(worker.pid, number)
    _, said = worker.communicate(timeout=30)
    assert all_end(tmp_path)
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in said
        assert '"interrupted"' in (tmp_path / "store/journal.jsonl").read_text()


def test_more_gpus_than_there_are_is_said_at_once(monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(devices, "built_for_cpus", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"runtime.devices: found 3, but there are 2 GPUs here"):
        check_devices("auto", 3)
    check_devices("auto", 2)
    check_devices("cpu", 64)


def test_a_damaged_input_is_computed_again_first(tmp_path: Path):
    own, deed = store(tmp_path), Deed(SOURCE)
    own.ensure(SOURCE)
    (own.path(SOURCE) / "text").write_text("something else")
    own.ensure(deed)
    assert own.get(deed)["read"] == own.get(SOURCE) != "something else"
