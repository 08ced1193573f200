"""A store: computing once, reading, modes, failures, and several workers at once."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from arithmetic import Deed, Number, Sum, Told, events, hidden, telling, works

from w2sweep.engine import inventory, leases, owners, record
from w2sweep.engine import store as store_module
from w2sweep.engine.environment import environment
from w2sweep.engine.failures import Damaged, Interrupted, Missing, StageFailed
from w2sweep.engine.owners import Machine
from w2sweep.engine.record import WrongRecord
from w2sweep.engine.stage import closure
from w2sweep.engine.store import Store

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def nothing(out: Path) -> None: ...


def writing(text: str) -> Deed:
    return lambda out: (out / "text").write_text(text)


def looking(found: list[str]) -> Deed:
    """Notes what is there when the stage begins."""
    return lambda out: found.extend(entry.name for entry in out.iterdir())


# computing and reading


def test_a_stage_is_computed_once_with_its_inputs(root: Path):
    total = Sum((Number(1), Number(2), Sum((Number(1), Number(2)))))
    store = Store(root)
    assert not store.done(total)
    store.ensure(total, Number(1))
    Store(root).ensure(total)
    assert store.get(total) == 6
    assert events(root) == {"start": 4, "commit": 4}
    assert hidden(root) == []


def test_inputs_of_what_is_there_are_not_needed(root: Path):
    total = Sum((Number(1),))
    store = Store(root)
    store.ensure(total)
    store.path(Number(1)).rename(root / "elsewhere")
    store.ensure(total)
    assert not store.done(Number(1))


def test_reading_compares_the_record(root: Path):
    store = Store(root)
    store.ensure(Number(1))
    store.path(Number(1)).rename(store.path(Number(2)))
    with pytest.raises(WrongRecord, match=r'holds another result .*- "n": 2, \+ "n": 1\): it is '):
        store.get(Number(2))
    with pytest.raises(Missing, match="compute it first"):
        store.get(Number(1))


def swapped(file: Path) -> None:
    """A byte is another one; the size is the same."""
    content = file.read_bytes()
    file.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda file: file.write_text(""),
    "removed": lambda file: file.unlink(),
    "a list": lambda file: file.write_text("[]"),
    "null": lambda file: file.write_text("null"),
    "flipped": swapped,
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:-9]),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.fixture(params=["stage.json", "text", "deep/er"])
def damaged(request: pytest.FixtureRequest, root: Path) -> Path:
    """A file of a result, to be damaged."""

    def run(out: Path) -> None:
        (out / "deep").mkdir()
        for name in ("text", "deep/er"):
            (out / name).write_text("whole, and long enough")

    telling(root, run).ensure(Told())
    return root / Told().name / request.param


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_named_and_computed_again(root: Path, damage: str, damaged: Path):
    DAMAGES[damage](damaged)
    for mode in ("read-only", "cached"):
        with pytest.raises(WrongRecord, match=r"cache mode retry computes it again$") as wrong:
            Store(root, mode=mode).get(Told())
        [line] = str(wrong.value).splitlines()
        assert line.startswith(f"{root / Told().name}, the result of {Told()}, ")
        assert damaged.name in line
    store = telling(root, writing("new"))
    with pytest.raises(Damaged, match=r"it is computed again$"):
        store.get(Told())
    assert not store.done(Told())
    store.ensure(Told())
    assert (store.path(Told()) / "text").read_text() == "new"
    assert store.get(Told()) is None
    assert hidden(root) == []
    assert events(root)["damaged"] == 1


def test_what_reads_a_damaged_result_waits_until_it_is_computed_again(root: Path):
    total = Sum((Number(1), Number(2)))
    Store(root).ensure(Number(1), Number(2))
    (root / Number(1).name / "n").write_text("9")
    store = Store(root)
    store.ensure(total)
    assert store.get(total) == 3
    assert events(root) == {"start": 5, "damaged": 1, "interrupted": 1, "commit": 4}
    assert hidden(root) == []


def test_a_result_of_another_stage_is_not_read_for_this_one(root: Path):
    store = Store(root)
    store.ensure(Number(1), Number(2))
    shutil.copy(store.path(Number(2)) / "n", store.path(Number(1)) / "n")
    with pytest.raises(Damaged, match="n is not what was written"):
        store.get(Number(1))


def test_what_is_damaged_again_and_again_is_told_and_left(root: Path):
    store = telling(root, writing("text"))
    for _ in range(2):
        store.ensure(Told())
        (store.path(Told()) / "text").unlink()
        with pytest.raises(Damaged):
            store.get(Told())
    store.ensure(Told())
    (store.path(Told()) / "text").unlink()
    with pytest.raises(WrongRecord, match="again and again: is the disk in order"):
        store.get(Told())


def test_a_result_is_compared_once_a_process_and_again_where_it_changed(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    read: list[Path] = []
    checksum = inventory.checksum
    monkeypatch.setattr(
        inventory, "checksum", lambda file, size: read.append(file) or checksum(file, size)
    )
    Store(root).ensure(Number(1))
    store = Store(root)
    read.clear()
    for _ in range(3):
        assert store.get(Number(1)) == 1
    assert len(read) == 1
    os.utime(store.path(Number(1)) / "n", (1, 1))
    assert store.get(Number(1)) == 1
    assert len(read) == 2


def test_of_a_large_file_the_beginning_is_read(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inventory, "LARGE", 100)
    monkeypatch.setattr(inventory, "BEGINNING", 10)
    store = telling(root, lambda out: (out / "weights").write_bytes(bytes(1000)))
    store.ensure(Told())
    weights = store.path(Told()) / "weights"
    weights.write_bytes(bytes(999) + b"1")
    store.get(Told())
    assert record.damage_of_any(store.path(Told())) == (
        "is damaged: weights is not what was written (its checksum is another)"
    )
    weights.write_bytes(b"1" + bytes(999))
    with pytest.raises(Damaged, match="weights is not what was written"):
        store.get(Told())


def test_what_is_whole_and_cannot_be_read_is_no_damage(root: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(self: Number, path: Path) -> int:
        raise ValueError("another version\nof a library")

    store = Store(root)
    store.ensure(Number(1))
    monkeypatch.setattr(Number, "read", broken)
    with pytest.raises(WrongRecord, match=r"cannot be read .ValueError: another version of a lib"):
        store.get(Number(1))
    assert store.done(Number(1))


def test_the_record_tells_the_whole_story(root: Path):
    total = Sum((Number(1), Sum((Number(2),))))
    store = Store(root)
    store.ensure(total)
    said = json.loads((store.path(total) / "stage.json").read_text())
    one, two = {"stage": Number(1).name}, {"stage": Sum((Number(2),)).name}
    assert said["stage"]["of"] == [one, two]
    assert said["inputs"][Number(2).name]["n"] == 2  # also of what is read at second hand
    assert said["host"] == socket.gethostname()
    assert said["environment"] == environment()


def test_a_result_holds_neither_checkpoints_nor_progress(root: Path):
    def run(out: Path) -> None:
        (out / "checkpoint-1").mkdir()
        for name in ("checkpoint.pt", "checkpoint-1/weights", "progress.json", "result"):
            (out / name).write_text("x")

    store = telling(root, run)
    store.ensure(Told())
    assert {p.name for p in store.path(Told()).iterdir()} == {"result", "stage.json"}


# modes


def fail(out: Path) -> None:
    (out / "half").write_text("half a result")
    raise ValueError("the loss is nan\nat step 3")


def test_a_failure_is_one_line_and_leaves_nothing_half_done(root: Path):
    with pytest.raises(StageFailed) as raised:
        telling(root, fail).ensure(Told())
    failure = raised.value
    assert str(failure) == f"{Told().name} failed: ValueError: the loss is nan at step 3"
    assert (failure.error, failure.reason) == ("ValueError", "the loss is nan at step 3")
    assert 'raise ValueError("the loss' in failure.trace
    assert isinstance(failure.__cause__, ValueError)
    assert str(pickle.loads(pickle.dumps(failure))) == str(failure)
    assert not Store(root).done(Told())
    assert hidden(root) == []


def test_retry_tries_what_failed_before_this_sweep(root: Path):
    with pytest.raises(StageFailed):
        telling(root, fail).ensure(Told())
    time.sleep(0.02)
    telling(root, nothing).ensure(Told())
    assert events(root) == {"start": 3, "failed": 1, "commit": 2}
    assert not list(root.glob("*/.failed/*.json"))


def test_retry_does_not_compute_a_failure_twice_in_a_sweep(root: Path):
    first = telling(root, fail)
    for store in (first, first, telling(root, fail, since=first.since)):
        with pytest.raises(StageFailed, match="the loss is nan"):
            store.ensure(Told())
    assert events(root)["failed"] == 1


def test_cached_raises_what_failed_ever(root: Path):
    with pytest.raises(StageFailed):
        telling(root, fail).ensure(Told())
    time.sleep(0.02)
    with pytest.raises(StageFailed, match="the loss is nan"):
        telling(root, nothing, mode="cached").ensure(Told())


def test_force_computes_everything_again_once(root: Path):
    telling(root, writing("old")).ensure(Told())
    time.sleep(0.02)
    sweep = telling(root, writing("new"), mode="force")
    sweep.ensure(Told())
    sweep.ensure(Told())
    telling(root, writing("newer"), mode="force", since=sweep.since).ensure(Told())
    assert (sweep.path(Told()) / "text").read_text() == "new"
    assert {p.name for p in sweep.path(Told()).iterdir()} == {"text", "stage.json"}
    assert events(root) == {"start": 4, "commit": 4}  # twice with its input


def test_read_only_names_what_is_missing_and_touches_nothing(root: Path):
    store = Store(root, mode="read-only")
    with pytest.raises(Missing, match=rf"lacks 1 results \({Number(1).name}\)"):
        store.ensure(Number(1))
    assert not root.exists()


def test_an_unknown_mode_is_refused(root: Path):
    with pytest.raises(ValueError, match="choose one of retry, cached, force, read-only"):
        Store(root, mode="always")  # type: ignore[arg-type]


FULL = "No space left on device"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, FULL),
        MemoryError(),
        RuntimeError(f"while serializing: {FULL} (os error 28)"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        type("OutOfMemoryError", (RuntimeError,), {})("tried to allocate 2.00 GiB"),
    ],
)
def test_the_machines_fault_is_not_the_stages(root: Path, error: Exception):
    def full(out: Path) -> None:
        (out / "checkpoint.pt").write_text("half-way")
        (out / "result").write_text("half")
        raise error

    store = telling(root, full)
    with pytest.raises(StageFailed, match=type(error).__name__):
        store.ensure(Told())
    assert not store.done(Told())
    assert works(root) == ["checkpoint.pt"]
    found: list[str] = []
    telling(root, looking(found), since=store.since).ensure(Told())
    assert found == ["checkpoint.pt"]
    assert hidden(root) == []


def test_the_networks_fault_is_told_once_a_sweep_and_costs_no_checkpoint(root: Path):
    tries: list[int] = []

    def unreachable(out: Path) -> None:
        (out / "checkpoint.pt").write_text("half-way")
        tries.append(1)
        raise OSError("no such model") from ConnectionError("Name or service not known")

    store = telling(root, unreachable)
    for _ in range(3):
        with pytest.raises(StageFailed, match="no such model"):
            store.ensure(Told())
    assert len(tries) == 1
    assert works(root) == ["checkpoint.pt"]
    time.sleep(0.02)
    telling(root, nothing).ensure(Told())


def test_the_end_of_a_jobs_time_is_no_failure(root: Path):
    """A launcher tells by an ordinary exception, from a signal's handler."""

    def over(signum: int, frame: object) -> None:
        raise RuntimeError("the job's time is over")

    def run(out: Path) -> None:
        (out / "checkpoint.pt").write_text("half-way")
        signal.raise_signal(signal.SIGUSR2)

    before = signal.signal(signal.SIGUSR2, over)
    try:
        store = telling(root, run)
        with pytest.raises(Interrupted, match="the job's time is over") as interrupted:
            store.ensure(Told())
        assert signal.getsignal(signal.SIGUSR2) is over
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert isinstance(interrupted.value.error, RuntimeError)
    assert works(root) == ["checkpoint.pt"]
    assert not list(root.glob("*/.failed/*.json"))
    found: list[str] = []
    telling(root, looking(found), since=store.since).ensure(Told())
    assert found == ["checkpoint.pt"]


@pytest.mark.parametrize("text", ["", "null", "[]", '{"what": "x"}', "{", '{"another": 1}'])
def test_a_failure_that_cannot_be_read_is_none(root: Path, text: str):
    store = telling(root, fail)
    with pytest.raises(StageFailed):
        store.ensure(Told())
    [file] = root.glob("*/.failed/*.json")
    file.write_text(text)
    telling(root, nothing, since=store.since).ensure(Told())
    assert not file.exists()


def test_a_journal_with_a_line_cut_short_is_read(root: Path):
    Store(root).ensure(Number(1))
    with (root / "journal.jsonl").open("a") as journal:
        journal.write('{"event": "sta\nnull\n')
    Store(root).ensure(Number(2))
    assert events(root) == {"start": 2, "commit": 2}


@pytest.mark.parametrize("text", ["", "null", "{}"])
def test_a_torn_lease_costs_seconds(root: Path, text: str):
    torn = leases.claim((root / Number(1).name).parent, Number(1).key, lease_s=600)
    assert torn
    torn.file.write_text(text)
    os.utime(torn.file, (time.time() - 3, time.time() - 3))
    store = Store(root)
    store.ensure(Number(1))
    assert store.get(Number(1)) == 1


def test_what_is_waited_for_is_told(
    root: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(owners, "machine", lambda: Machine("elsewhere"))
    lease = leases.claim((root / Number(1).name).parent, Number(1).key, lease_s=600)
    monkeypatch.undo()
    monkeypatch.setattr(store_module, "WAITING_S", 0.1)
    assert lease
    threading.Timer(0.6, lease.release).start()
    with caplog.at_level(logging.INFO):
        Store(root, poll_s=0.1).ensure(Number(1))
    expected = f"waiting for {Number(1)}: held by elsewhere {os.getpid()}, last sign 0:00 ago"
    assert expected in caplog.messages


def test_a_disk_without_room_is_named_where_the_error_does_not(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(out: Path) -> None:
        raise OSError("1565159 requested and 178112 written")  # numpy

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * 2**20))
    with pytest.raises(StageFailed, match=f"178112 written .there are 3 MB left for {root}"):
        telling(root, full).ensure(Told())


def test_ctrl_c_keeps_the_checkpoint(root: Path):
    def interrupt(out: Path) -> None:
        (out / "checkpoint.pt").write_text("half-way")
        (out / "result").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        telling(root, interrupt).ensure(Told())
    assert works(root) == ["checkpoint.pt"]
    assert not list(root.glob("*/.failed/*.json"))


def test_a_real_full_disk_leaves_no_half_result(root: Path):
    """RLIMIT_FSIZE stands in for the disk: the write itself fails, as it would."""
    script = FORK.Process(target=_write_too_much, args=(root,))
    script.start()
    script.join()
    assert script.exitcode == 0
    assert hidden(root) == []
    assert not Store(root).done(Told())


def _write_too_much(root: Path) -> None:
    import resource

    store = telling(root, lambda out: (out / "big").write_bytes(bytes(10**6)))
    store.ensure(Number(7))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))
    with pytest.raises(StageFailed, match="File too large"):
        store.ensure(Told())


# several workers


def test_a_dead_workers_checkpoint_is_adopted_at_once(root: Path):
    def half(out: Path) -> None:
        (out / "checkpoint.pt").write_text("half-way")
        (out / "curves.jsonl").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)

    killed = FORK.Process(target=telling(root, half).ensure, args=(Told(),))
    killed.start()
    while killed.is_alive():
        time.sleep(0.01)
    found: list[str] = []
    telling(root, looking(found), lease_s=3600).ensure(Told())
    assert found == ["checkpoint.pt"]
    assert events(root) == {"start": 3, "adopted": 1, "commit": 2}
    assert hidden(root) == []


LAYOUTS = {
    "now": (".leases/{0:.3}/{0}.{1}", ".working/{0}.{1}"),
    "0.1": (".{0}.lease.{1}", ".{0}.{1}"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_of_several_dead_workers_the_last_checkpoint_is_adopted(root: Path, layout: str):
    folder = (root / Told().name).parent
    for number, files in enumerate((["checkpoint.pt"], ["checkpoint.pt", "log"], ["log"]), 1):
        lease, work = (folder / name.format(Told().key, number) for name in LAYOUTS[layout])
        lease.parent.mkdir(parents=True, exist_ok=True)
        lease.touch()
        os.utime(lease, (0, 0))
        work.mkdir(parents=True)
        for file in files:
            (work / file).write_text(str(number))
    found: list[str] = []
    told = telling(root, lambda out: found.extend(f.read_text() for f in out.iterdir()))
    told.ensure(Told())
    assert found == ["2"]
    assert [file.name for file in told.path(Told()).iterdir()] == ["stage.json"]
    assert hidden(root) == []


def give_back(folder: Path, number: int) -> None:
    os.utime(folder / ".leases" / Told().key[:3] / f"{Told().key}.{number}", (0, 0))


@pytest.mark.parametrize("finished_first", [True, False])
def test_a_worker_taken_for_dead_corrupts_nothing(
    root: Path, finished_first: bool, caplog: pytest.LogCaptureFixture
):
    """It wakes up in the middle of its work, while its successor is still at it or through."""
    successor = telling(root, writing("successor"))

    def overtaken(out: Path) -> None:
        give_back(out.parents[1], 1)  # as good as expired
        if finished_first:
            successor.ensure(Told())
        else:  # by this process, which goes on living
            assert leases.claim(out.parents[1], Told().key, 60)
            give_back(out.parents[1], 2)
        out.mkdir(exist_ok=True)
        (out / "text").write_text("zombie")

    tries = iter([overtaken, writing("successor")])
    slept = telling(root, lambda out: next(tries)(out))
    slept.ensure(Told())
    assert "another worker took over" in caplog.text
    assert (slept.path(Told()) / "text").read_text() == "successor"
    assert events(root) == {"start": 3, "lost": 1, "commit": 2}
    assert hidden(root) == []


def test_workers_share_one_sweep(root: Path):
    tops = [Sum(tuple(map(Number, range(i, i + 8)))) for i in range(8)]
    workers = [
        FORK.Process(target=Store(root, poll_s=0.1).ensure, args=tuple(tops)) for _ in range(6)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    distinct = closure(tuple(tops))
    assert events(root) == {"start": len(distinct), "commit": len(distinct)}
    totals = [Store(root).get(top) for top in tops]
    assert totals == [sum(range(i, i + 8)) for i in range(8)]
    assert hidden(root) == []
    assert not list(root.glob("*/.failed/*.json"))
