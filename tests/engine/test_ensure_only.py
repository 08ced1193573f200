"""A store that is asked for certain stages and no others: what it runs, and what it waits for."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest
from arithmetic import Number, Sum, Told, events, telling

from w2sweep.engine.failures import MachineFailed, Missing, StageFailed
from w2sweep.engine.leases import claim
from w2sweep.engine.store import Store

A, B = Number(1), Number(2)
TOTAL = Sum((A, B))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", poll_s=0.05)


def test_inputs_are_not_run(store: Store):
    (why,) = store.ensure_only(TOTAL)
    assert isinstance(why, Missing)
    assert f"reads what is not in {store.root}: {A}, {B}" in str(why)
    assert events(store.root) == {}
    assert store.ensure_only(A, B) == []
    assert store.ensure_only(TOTAL) == []
    assert store.get(TOTAL) == 3


def test_stages_that_read_each_other_are_run_in_their_order(store: Store):
    assert store.ensure_only(TOTAL, B, A) == []
    assert store.get(TOTAL) == 3


def failing(out: Path) -> None:
    raise ValueError("no")


def test_one_that_fails_does_not_stop_the_others_but_those_that_read_it(tmp_path: Path):
    store = telling(tmp_path / "store", failing)
    failed, lacking = store.ensure_only(Told(), Told().seven, Sum((Told(),)), A)  # type: ignore[arg-type]
    assert isinstance(failed, StageFailed)
    assert not isinstance(failed, MachineFailed)
    assert isinstance(lacking, Missing)
    assert store.done(A)
    assert isinstance(store.ensure_only(Told())[0], StageFailed)  # and is not tried again
    assert events(store.root)["failed"] == 1


def full(out: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_fault_of_the_machine_is_told_apart(tmp_path: Path):
    store = telling(tmp_path / "store", full)
    (why,) = store.ensure_only(Told().seven, Told())
    assert isinstance(why, MachineFailed)
    assert store.failure(Told()) is None


def test_what_is_in_other_hands_is_waited_for_last(store: Store):
    lease = claim(store.path(A).parent, A.key, 600.0)
    assert lease is not None
    done: list[float] = []

    def other() -> None:
        time.sleep(0.4)
        done.append(store.done(B))
        lease.release()

    thread = threading.Thread(target=other)
    thread.start()
    assert store.ensure_only(A, B, TOTAL) == []
    thread.join()
    assert done == [True]  # the rest was done meanwhile
    assert store.get(TOTAL) == 3
