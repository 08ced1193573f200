"""Leases: who may compute what, whatever dies or sleeps."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from w2sweep.engine import leases, owners
from w2sweep.engine.owners import Machine, Owner


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_a_worker_elsewhere_is_dead_when_its_lease_is_old(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = root / "Number"
    monkeypatch.setattr(owners, "machine", lambda: Machine("elsewhere"))
    lease = leases.claim(folder, "k", lease_s=1)
    monkeypatch.undo()
    assert lease is not None
    assert leases.claim(folder, "k", lease_s=1) is None
    os.utime(lease.file, (time.time() - 2, time.time() - 2))
    assert leases.claim(folder, "k", lease_s=3) is None
    successor = leases.claim(folder, "k", lease_s=1)
    assert successor is not None
    assert successor.number == 2
    assert (lease.held, successor.held) == (False, True)


def left_by(owner: object, folder: Path) -> Path:
    """A lease that says so of its owner, in force since just now."""
    lease = folder / ".leases/k/k.1"
    lease.parent.mkdir(parents=True)
    lease.write_text(json.dumps(owner))
    return lease


def test_a_lease_of_version_0_1_is_respected(root: Path):
    root.mkdir()
    for number in (1, 2):
        leases.file_before(root, "k", number).write_text(json.dumps(Owner.this().plain))
    os.utime(leases.file_before(root, "k", 1), (0, 0))
    assert leases.claim(root, "k", lease_s=600) is None
    os.utime(leases.file_before(root, "k", 2), (0, 0))
    lease = leases.claim(root, "k", lease_s=600)
    assert lease
    assert (lease.number, lease.held) == (3, True)
    assert leases.claim(root, "k", lease_s=600) is None
    lease.tidy()
    assert list(root.glob(".k.*")) == []


def owner(**machine: str) -> dict[str, Any]:
    """This process, but for its machine."""
    plain = Owner.this().plain
    return {**plain, "machine": {**plain["machine"], **machine}}


def test_a_machine_that_was_started_again_owns_nothing_any_more(root: Path):
    left_by(owner(boot="before"), root)
    assert leases.held(root, "k") is None
    assert leases.claim(root, "k", lease_s=600)


@pytest.mark.parametrize(
    "machine",
    [
        {"host": "another"},
        {"host": "another", "boot": "before"},
        {"namespace": "a container's"},
        {"boot": "before", "hardware": "of the same name"},
    ],
    ids=str,
)
def test_of_a_worker_that_nobody_here_can_see_the_lease_is_waited_for(
    root: Path, machine: dict[str, str]
):
    left_by(owner(**machine), root)
    assert leases.claim(root, "k", lease_s=600) is None
    held = leases.held(root, "k")
    host = machine.get("host", Owner.this().machine.host)
    assert str(held) == f"held by {host} {os.getpid()}, last sign 0:00 ago"


UNREADABLE = ("", "null", "{}", "[]", '{"machine": [], "pid": 1, "start": "1"}', "{", "\0\0\0")


@pytest.mark.parametrize("text", [*UNREADABLE, json.dumps({**owner(), "pid": "1"})])
def test_a_lease_that_cannot_be_read_is_nobodys(root: Path, text: str):
    lease = left_by(None, root)
    lease.write_text(text)
    assert leases.held(root, "k") is None
    assert leases.claim(root, "k", lease_s=600) is None  # it may be being written
    os.utime(lease, (time.time() - 3, time.time() - 3))
    assert leases.claim(root, "k", lease_s=600)


def test_a_lease_appears_whole_and_nothing_is_left_of_its_making(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    link, shelf = os.link, root / ".leases/k"
    seen: list[list[str]] = []

    def watched(new: Path, file: Path) -> None:
        seen.append([p.name for p in shelf.glob("k.1")])
        link(new, file)

    monkeypatch.setattr(os, "link", watched)
    lease = leases.claim(root, "k", lease_s=600)
    assert lease
    assert seen == [[]]
    assert Owner.told(json.loads(lease.file.read_text())) == Owner.this()
    assert [p.name for p in shelf.iterdir()] == ["k.1"]
    (shelf / "k.1.0123abcd").touch()  # of a claimant who was killed
    lease.tidy()
    assert [p.name for p in shelf.iterdir()] == ["k.1"]


def test_a_file_system_without_links_will_do(root: Path, monkeypatch: pytest.MonkeyPatch):
    def none(new: Path, file: Path) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", none)
    lease = leases.claim(root, "k", lease_s=600)
    assert lease
    assert leases.claim(root, "k", lease_s=600) is None
    lease.release()
    assert leases.claim(root, "k", lease_s=600)


def test_age_is_judged_by_the_clock_of_the_file_system(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Owner, "dead", False)
    assert leases.claim(root, "k", lease_s=60)
    monkeypatch.setattr(time, "time", lambda: 4e9)  # a host whose clock is half a century ahead
    assert leases.claim(root, "k", lease_s=60) is None


def test_a_kept_lease_does_not_expire(root: Path):
    lease = leases.claim(root, "k", lease_s=0.2)
    assert lease
    with lease:
        time.sleep(0.5)
        assert leases.claim(root, "k", lease_s=0.2) is None
    assert leases.claim(root, "k", lease_s=0.2)


def test_a_claim_that_slept_does_not_revive_a_number(root: Path, monkeypatch: pytest.MonkeyPatch):
    for _ in range(3):
        lease = leases.claim(root, "k", lease_s=60)
        assert lease
        lease.release()
        lease.tidy()
    assert [p.name for p in root.glob(".leases/k/*")] == ["k.3"]
    now = leases._highest
    looks = iter([lambda *a: 0, now])  # it looked before the first claim, and slept until now
    monkeypatch.setattr(leases, "_highest", lambda *a: next(looks)(*a))
    assert leases.claim(root, "k", lease_s=60) is None
    monkeypatch.undo()
    assert [p.name for p in root.glob(".leases/k/*")] == ["k.3"]


def test_two_workers_never_own_one_key(root: Path):
    """Many processes claim, work, die, and are too slow for their lease; each notes when it owned
    what.

    Ownership is exclusive in this sense: number n is over (released, or its owner dead) before
    n + 1 begins.
    """
    root.mkdir()
    _let_many_claim_and_die(root, deaths=25, spans=250)
    spans = _spans(root)
    for key in "ab":
        begun = [(n, t) for k, n, what, t in spans if (k, what) == (key, "begin")]
        ended = [(n, t) for k, n, what, t in spans if (k, what) == (key, "end")]
        begins = dict(begun)
        assert len(begins) == len(begun), "one number had two owners"
        for number, end in ended:
            early = [n for n, begin in begins.items() if n > number and begin < end]
            assert early == [], "two owners at once"


def _let_many_claim_and_die(root: Path, deaths: int, spans: int) -> None:
    """Keeps eight processes at it until so many of them died and so much was noted."""
    context = multiprocessing.get_context("fork")

    def started(seed: int) -> BaseProcess:
        process = context.Process(target=_claim_and_die, args=(root, seed))
        process.start()
        return process

    workers = [started(seed) for seed in range(8)]
    died = 0
    while died < deaths or len(_spans(root)) < spans:
        for i, worker in enumerate(workers):
            if not worker.is_alive():
                died += 1
                workers[i] = started(seed=8 + died)
        time.sleep(0.005)
    (root / "enough").touch()
    for worker in workers:
        worker.join()


def _spans(root: Path) -> list[Any]:
    """Key, number, "begin" or "end", and time, of all that was noted."""
    file = root / "spans"
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def _claim_and_die(root: Path, seed: int) -> None:
    chance = random.Random(seed)
    log = os.open(root / "spans", os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def note(*line: Any) -> None:
        os.write(log, (json.dumps([*line, time.monotonic()]) + "\n").encode())

    while not (root / "enough").exists():
        key = chance.choice("ab")
        lease = leases.claim(root, key, lease_s=60)
        if lease is None:
            continue
        with lease:
            note(key, lease.number, "begin")
            time.sleep(chance.random() * 0.004)
            note(key, lease.number, "end")
            if chance.random() < 0.1:
                os.kill(os.getpid(), signal.SIGKILL)
            if chance.random() < 0.3:
                lease.tidy()
