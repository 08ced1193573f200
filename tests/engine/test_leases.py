"""Leases: who may compute what, whatever dies or sleeps."""

from __future__ import annotations

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
    assert [p.name for p in root.glob(".k.lease.*")] == [".k.lease.3"]
    now = leases._highest
    looks = iter([lambda *a: 0, now])  # it looked before the first claim, and slept until now
    monkeypatch.setattr(leases, "_highest", lambda *a: next(looks)(*a))
    assert leases.claim(root, "k", lease_s=60) is None
    monkeypatch.undo()
    assert [p.name for p in root.glob(".k.lease.*")] == [".k.lease.3"]


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
