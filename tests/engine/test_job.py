"""Jobs: what stages deliver beside their own result, what they note, and in which precision."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from arithmetic import events, hidden

from w2sweep.engine import devices, job, leases, working
from w2sweep.engine.files import read_json
from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Job, Stage
from w2sweep.engine.store import Mode, Store
from w2sweep.values import value

FORK = multiprocessing.get_context("fork")


@value
class Counting(Runtime):
    """Where trainings are counted."""

    file: str = ""


@dataclass(frozen=True)
class Trained(Stage[str]):
    """Stands for a finetuning: it keeps no model unless somebody wants it."""

    seed: int = 0

    def run(self, job: Job) -> None:
        text = train(job)
        (job.out / "text").write_text(text)
        job.note(precision="32-true", steps=3)
        if job.wants(Kept(self)):
            (job.deliver(Kept(self)) / "text").write_text(text)

    def read(self, path: Path) -> str:
        return (path / "text").read_text()


@dataclass(frozen=True)
class Kept(Stage[str]):
    """Stands for the weights of a finetuning."""

    of: Trained

    def run(self, job: Job) -> None:
        assert job.get(self.of)
        (job.out / "text").write_text(train(job))

    def read(self, path: Path) -> str:
        return (path / "text").read_text()


def train(job: Job) -> str:
    """Leaves a checkpoint, and a mark that it was done."""
    assert isinstance(job.runtime, Counting)
    with Path(job.runtime.file).open("a") as marks:
        marks.write("|")
    (job.out / "checkpoint.pt").write_text("half-way")
    return "trained"


FIRST = Trained()
SECOND = Kept(FIRST)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def store(root: Path, planned: tuple[Stage[Any], ...] = (), mode: Mode = "retry") -> Store:
    names = frozenset(stage.name for stage in planned)
    counting = Counting(file=str(root.parent / "marks"))
    return Store(root, Circumstances(counting, planned=names), mode)


def trainings(root: Path) -> int:
    return len((root.parent / "marks").read_text())


def both_are_whole(root: Path) -> bool:
    """Whether both results are there, and nothing else."""
    assert hidden(root) == []
    for stage in (FIRST, SECOND):
        assert store(root).get(stage) == "trained"
        files = {entry.name for entry in store(root).path(stage).iterdir()}
        assert files == {"text", "stage.json"}
    return True


def test_what_two_stages_have_in_common_is_computed_once(root: Path):
    store(root).ensure(FIRST, SECOND)
    assert trainings(root) == 1
    assert both_are_whole(root)
    assert events(root) == {"start": 2, "commit": 2}
    record = read_json(store(root).path(SECOND) / "stage.json")
    assert record["computed"] == {"precision": "32-true", "steps": 3, "delivered_by": FIRST.name}
    assert record["inputs"].keys() == {FIRST.name}


def test_it_is_computed_once_where_only_another_worker_needs_the_second(root: Path):
    store(root, planned=(FIRST, SECOND)).ensure(FIRST)
    store(root).ensure(SECOND)
    assert trainings(root) == 1
    assert both_are_whole(root)


def test_nothing_is_delivered_that_nobody_wants(root: Path):
    store(root).ensure(FIRST)
    assert not store(root).done(SECOND)


def test_what_is_wanted_later_is_computed_by_its_own_run(root: Path):
    store(root).ensure(FIRST)
    store(root).ensure(FIRST, SECOND)
    assert trainings(root) == 2
    assert both_are_whole(root)
    assert "delivered_by" not in read_json(store(root).path(SECOND) / "stage.json")["computed"]


def test_force_computes_both_again_once(root: Path):
    store(root).ensure(FIRST, SECOND)
    before = store(root).path(SECOND).stat().st_ino
    store(root, mode="force").ensure(FIRST, SECOND)
    assert store(root).path(SECOND).stat().st_ino != before
    assert trainings(root) == 2
    assert both_are_whole(root)


@pytest.mark.parametrize("mode", ["retry", "force"])
@pytest.mark.parametrize("victim", [FIRST, SECOND], ids=["between the commits", "before both"])
def test_a_kill_at_a_commit_loses_nothing_and_leaves_nothing(
    root: Path, victim: Stage[str], mode: Mode
):
    if mode == "force":
        store(root).ensure(FIRST, SECOND)
    sweep = store(root, mode=mode)
    killed = FORK.Process(target=_killed_when_committing, args=(sweep, victim))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert sweep.done(SECOND) == (victim == FIRST)
    sweep.ensure(FIRST, SECOND)
    assert both_are_whole(root)
    assert events(root)["adopted"] == 1


def _killed_when_committing(sweep: Store, victim: Stage[str]) -> None:
    rename = Path.rename

    def deadly(self: Path, target: Path) -> Path:
        if target == sweep.path(victim):
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    Path.rename = deadly  # type: ignore[method-assign]
    sweep.ensure(FIRST, SECOND)


def test_what_a_dead_worker_began_is_removed_with_a_delivery(root: Path):
    """One was killed while it computed the second by itself; then somebody deleted the first."""
    folder = store(root).path(SECOND).parent
    lease = leases.claim(folder, SECOND.key, lease_s=600)
    assert lease
    lease.release()
    working.folder_of(lease).mkdir(parents=True)
    (working.folder_of(lease) / "checkpoint.pt").touch()
    failure = folder / ".failed" / f"{SECOND.key}.json"
    failure.parent.mkdir()
    failure.write_text("{}")
    os.utime(failure, (0, 0))
    store(root).ensure(FIRST, SECOND)
    assert both_are_whole(root)
    assert not failure.exists()


def test_a_delivery_in_other_hands_is_left_to_them(root: Path):
    folder = store(root).path(SECOND).parent
    lease = leases.claim(folder, SECOND.key, lease_s=600)
    assert lease
    with lease:
        store(root, planned=(SECOND,)).ensure(FIRST)
        assert store(root).done(FIRST)
        assert not store(root).done(SECOND)
    assert hidden(root) == []
    assert {entry.name for entry in store(root).path(FIRST).iterdir()} == {"text", "stage.json"}


def test_notes_are_in_the_record(root: Path):
    store(root).ensure(FIRST)
    record = read_json(store(root).path(FIRST) / "stage.json")
    assert record["computed"] == {"precision": "32-true", "steps": 3}


def made(folder: Path, **runtime: Any) -> StoreJob:
    circumstances = Circumstances(Runtime(accelerator="cpu", **runtime))
    return StoreJob(FIRST, folder, circumstances, get=lambda stage: None)


@pytest.mark.parametrize("gains", [True, False])
def test_the_precision_is_what_the_runtime_says_or_what_the_machine_gains_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gains: bool
):
    monkeypatch.setattr(job, "gains_from_bf16", lambda device: gains)
    assert made(tmp_path, bf16="yes").bf16 is True
    assert made(tmp_path, bf16="no").bf16 is False
    assert made(tmp_path, bf16="auto").bf16 is gains


def test_the_device_is_noted(tmp_path: Path):
    here = made(tmp_path)
    assert here.facts == {}
    assert here.device == "cpu"
    assert here.facts == {"device": "cpu", "processor": devices.processor("cpu")}
    assert devices.device("cpu") == "cpu"
