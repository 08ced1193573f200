"""Identity, caching, failures, adoption and leases, on stages that do arithmetic."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import multiprocessing
import os
import pickle
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pydantic
import pytest

from w2sweep.engine import leases
from w2sweep.engine.stage import Stage, closure, identity
from w2sweep.engine.store import Missing, StageFailed, Store, WrongRecord
from w2sweep.values import value


@value
class Rate:
    per_second: float
    unit: str = "Hz"


@dataclass(frozen=True)
class Number(Stage[int]):
    n: int

    def run(self, out: Path, store: Store) -> None:
        (out / "n").write_text(str(self.n))

    def read(self, path: Path) -> int:
        return int((path / "n").read_text())


@dataclass(frozen=True)
class Sum(Stage[int]):
    of: tuple[Stage[int], ...]

    def run(self, out: Path, store: Store) -> None:
        (out / "n").write_text(str(sum(store.get(s) for s in self.of)))

    def read(self, path: Path) -> int:
        return int((path / "n").read_text())


@dataclass(frozen=True)
class Told(Stage[None]):
    """Does what the store's `how` tells it: a stage cannot hold a function."""

    label: str = "x"
    seven: Number = field(default_factory=lambda: Number(7))

    def run(self, out: Path, store: Store) -> None:
        store.how(out)

    def read(self, path: Path) -> None:
        return None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def events(root: Path) -> Counter[str]:
    return Counter(line["event"] for line in Store(root, mode="read-only").journal())


def hidden(root: Path) -> list[str]:
    """What running workers leave; nothing, once they are through."""
    return [
        str(p.relative_to(root))
        for p in root.glob("*/.*")
        if ".lease." not in p.name and p.name != ".clock"
    ]


# identity


def test_equal_values_have_one_identity():
    assert (
        identity(Rate(1))
        == identity(Rate(1.0))
        == {"is": f"{__name__}.Rate", "per_second": 1.0, "unit": "Hz"}
    )
    assert identity({"b": (1, 2), "a": None}) == {"a": None, "b": [1, 2]}
    assert Number(3).key == Number(3).key != Number(4).key
    assert len(Number(3).key) == 16
    assert Number(3).name == f"Number/{Number(3).key}"


@pytest.mark.parametrize(
    "x", [math.nan, math.inf, Path("/data"), print, {1, 2}, b"x", object(), {1: 2}, Rate]
)
def test_what_has_no_stable_identity_is_refused(x: Any):
    for held in (x, [x], {"k": x}):
        with pytest.raises(TypeError, match="no stable identity: use finite numbers"):
            identity(held)


def test_a_value_may_answer_for_itself():
    @dataclass(frozen=True)
    class File:
        path: Path

        def identity(self) -> str:
            return "digest of its content"

    assert identity(File(Path("/here"))) == identity(File(Path("/there")))


def test_a_new_version_is_another_stage():
    class Newer(Number):
        version: ClassVar[int] = 2

    Newer.__qualname__ = Number.__qualname__
    assert Newer(1).key != Number(1).key


def test_a_field_added_later_counts_only_off_its_default():
    @dataclass(frozen=True)
    class Old(Stage[None]):
        a: int

    @value
    class New(Stage[None]):
        a: int
        b: int = 5
        c: pydantic.PositiveInt = pydantic.Field(default=6)
        d: tuple[int, ...] = field(default_factory=lambda: (1, 2))
        added: ClassVar[frozenset[str]] = frozenset({"b", "c", "d"})

    New.__qualname__ = Old.__qualname__
    assert identity(New(1)) == identity(Old(1))
    assert (
        len(
            {New(1).key, New(1, b=6).key, New(1, c=7).key, New(1, d=(1,)).key, New(1, d=(1, 3)).key}
        )
        == 5
    )


def test_inputs_are_found_wherever_they_are():
    @dataclass(frozen=True)
    class Mixture:
        parts: tuple[Stage[int], ...]
        weights: dict[str, Stage[int]]

    @dataclass(frozen=True)
    class Mixed(Stage[int]):
        mixture: Mixture
        other: Stage[int] | None

    one, two, three = Number(1), Number(2), Number(3)
    assert Mixed(Mixture((one,), {"w": two}), three).inputs == [one, two, three]


def test_a_deep_graph_costs_one_visit_a_stage():
    top: Stage[int] = Number(1)
    for _ in range(50):  # along all paths it would be 2^50 stages
        top = Sum((top, top))
    assert len(closure((top,))) == 51


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
    with pytest.raises(WrongRecord, match=r'holds another result .*\n-\s+"n": 2\n\+\s+"n": 1$'):
        store.get(Number(2))
    with pytest.raises(Missing, match="compute it first"):
        store.get(Number(1))


@pytest.mark.parametrize("file", ["stage.json", "n"])
@pytest.mark.parametrize("damage", [lambda f: f.write_text(""), lambda f: f.unlink()])
def test_a_damaged_result_is_named_and_may_be_deleted(
    root: Path, file: str, damage: Callable[[Path], object]
):
    store = Store(root)
    store.ensure(Number(1))
    damage(store.path(Number(1)) / file)
    with pytest.raises(WrongRecord) as wrong:
        store.get(Number(1))
    assert str(wrong.value).startswith(str(store.path(Number(1))))
    assert str(wrong.value).endswith("delete it to compute it again")
    shutil.rmtree(store.path(Number(1)))
    store.ensure(Number(1))
    assert store.get(Number(1)) == 1


def test_the_record_tells_the_whole_story(root: Path):
    total = Sum((Number(1), Sum((Number(2),))))
    store = Store(root)
    store.ensure(total)
    record = json.loads((store.path(total) / "stage.json").read_text())
    assert record["stage"]["of"] == [{"stage": Number(1).name}, {"stage": Sum((Number(2),)).name}]
    assert record["inputs"][Number(2).name]["n"] == 2  # also of what is read at second hand


def test_a_result_holds_neither_checkpoints_nor_progress(root: Path):
    def run(out: Path) -> None:
        (out / "checkpoint-1").mkdir()
        for name in ("checkpoint.pt", "checkpoint-1/weights", "progress.json", "result"):
            (out / name).write_text("x")

    store = Store(root, how=run)
    store.ensure(Told())
    assert {p.name for p in store.path(Told()).iterdir()} == {"result", "stage.json"}


# modes


def fail(out: Path) -> None:
    (out / "half").write_text("half a result")
    raise ValueError("the loss is nan\nat step 3")


def test_a_failure_is_one_line_and_leaves_nothing_half_done(root: Path):
    with pytest.raises(StageFailed) as raised:
        Store(root, how=fail).ensure(Told())
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
        Store(root, how=fail).ensure(Told())
    time.sleep(0.02)
    Store(root, how=lambda out: None).ensure(Told())
    assert events(root) == {"start": 3, "failed": 1, "commit": 2}
    assert not list(root.glob("*/*.failed.json"))


def test_retry_does_not_compute_a_failure_twice_in_a_sweep(root: Path):
    first = Store(root, how=fail)
    for store in (first, first, Store(root, how=fail, since=first.since)):
        with pytest.raises(StageFailed, match="the loss is nan"):
            store.ensure(Told())
    assert events(root)["failed"] == 1


def test_cached_raises_what_failed_ever(root: Path):
    with pytest.raises(StageFailed):
        Store(root, how=fail).ensure(Told())
    time.sleep(0.02)
    with pytest.raises(StageFailed, match="the loss is nan"):
        Store(root, how=lambda out: None, mode="cached").ensure(Told())


def test_force_computes_everything_again_once(root: Path):
    def write(text: str):
        return lambda out: (out / "text").write_text(text)

    Store(root, how=write("old")).ensure(Told())
    time.sleep(0.02)
    sweep = Store(root, how=write("new"), mode="force")
    sweep.ensure(Told())
    sweep.ensure(Told())
    Store(root, how=write("newer"), mode="force", since=sweep.since).ensure(Told())
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
    ],
)
def test_the_machines_fault_is_not_the_stages(root: Path, error: Exception):
    def full(out: Path) -> None:
        (out / "checkpoint.pt").write_text("half-way")
        (out / "result").write_text("half")
        raise error

    store = Store(root, how=full)
    with pytest.raises(StageFailed, match=type(error).__name__):
        store.ensure(Told())
    assert not store.done(Told())
    assert [p.name for p in root.glob("Told/.*.1/*")] == ["checkpoint.pt"]
    left: list[str] = []
    again = Store(
        root, how=lambda out: left.extend(p.name for p in out.iterdir()), since=store.since
    )
    again.ensure(Told())
    assert left == ["checkpoint.pt"]
    assert hidden(root) == []


def test_a_disk_without_room_is_named_where_the_error_does_not(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(out: Path) -> None:
        raise OSError("1565159 requested and 178112 written")  # numpy

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * 2**20))
    with pytest.raises(StageFailed, match=f"178112 written .there are 3 MB left for {root}"):
        Store(root, how=full).ensure(Told())


def test_ctrl_c_keeps_the_checkpoint(root: Path):
    def interrupt(out: Path) -> None:
        (out / "checkpoint.pt").write_text("half-way")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Store(root, how=interrupt).ensure(Told())
    assert [p.name for p in root.glob("Told/.*.1/*")] == ["checkpoint.pt"]
    assert not list(root.glob("*/*.failed.json"))


def test_a_real_full_disk_leaves_no_half_result(root: Path):
    """RLIMIT_FSIZE stands in for the disk: the write itself fails, as it would."""
    script = multiprocessing.get_context("fork").Process(target=_write_too_much, args=(root,))
    script.start()
    script.join()
    assert script.exitcode == 0
    assert hidden(root) == []
    assert not Store(root).done(Told())


def _write_too_much(root: Path) -> None:
    import resource

    store = Store(root, how=lambda out: (out / "big").write_bytes(bytes(10**6)))
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

    killed = multiprocessing.get_context("fork").Process(
        target=Store(root, how=half).ensure, args=(Told(),)
    )
    killed.start()
    while killed.is_alive():
        time.sleep(0.01)
    seen: list[str] = []
    Store(root, how=lambda out: seen.extend(p.name for p in out.iterdir()), lease_s=3600).ensure(
        Told()
    )
    assert seen == ["checkpoint.pt"]
    assert events(root) == {"start": 3, "adopted": 1, "commit": 2}
    assert hidden(root) == []


def test_a_worker_elsewhere_is_dead_when_its_lease_is_old(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = root / "Number"
    monkeypatch.setattr(leases, "_machine", lambda: ["elsewhere", "", ""])
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
    monkeypatch.setattr(leases, "_died_here", lambda lease: False)
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


@pytest.mark.parametrize("finished_first", [True, False])
def test_a_worker_taken_for_dead_corrupts_nothing(
    root: Path, finished_first: bool, caplog: pytest.LogCaptureFixture
):
    """It wakes up in the middle of its work, while its successor is still at it or through."""
    successor = Store(root, how=lambda out: (out / "result").write_text("successor"))

    def overtaken(out: Path) -> None:
        lease = root / "Told" / f".{Told().key}.lease.1"
        os.utime(lease, (0, 0))  # as good as expired
        if finished_first:
            successor.ensure(Told())
        else:
            assert leases.claim(
                root / "Told", Told().key, 60
            )  # by this process, which goes on living
            os.utime(root / "Told" / f".{Told().key}.lease.2", (0, 0))
        out.mkdir(exist_ok=True)
        (out / "result").write_text("zombie")

    tries = iter([overtaken, lambda out: (out / "result").write_text("successor")])
    slept = Store(root, how=lambda out: next(tries)(out))
    slept.ensure(Told())
    assert "another worker took over" in caplog.text
    assert (slept.path(Told()) / "result").read_text() == "successor"
    assert events(root) == {"start": 3, "lost": 1, "commit": 2}
    assert hidden(root) == []


def test_two_workers_never_own_one_key(root: Path):
    """Many processes claim, work, die, and are too slow for their lease; each notes when it owned what.

    Ownership is exclusive in this sense: number n is over (released, or its owner dead) before n + 1 begins.
    """
    context = multiprocessing.get_context("fork")
    root.mkdir()
    until = time.time() + 6
    workers = [context.Process(target=_claim_and_die, args=(root, until, i)) for i in range(8)]
    for worker in workers:
        worker.start()
    spawned = 8
    while time.time() < until:
        for i, worker in enumerate(workers):
            if not worker.is_alive():
                workers[i] = context.Process(target=_claim_and_die, args=(root, until, spawned))
                workers[i].start()
                spawned += 1
        time.sleep(0.005)
    for worker in workers:
        worker.join()
    spans = [tuple(json.loads(line)) for line in (root / "spans").read_text().splitlines()]
    assert len(spans) > 200
    assert spawned > 30
    for key in {key for key, *_ in spans}:
        own = [(n, what, t) for k, n, what, t in spans if k == key]
        begins = {n: t for n, what, t in own if what == "begin"}
        assert len(begins) == sum(what == "begin" for _, what, _ in own), (
            "one number had two owners"
        )
        ends = {n: t for n, what, t in own if what == "end"}
        assert not [n for n in begins for m in ends if m < n and ends[m] > begins[n]], (
            "two owners at once"
        )


def _claim_and_die(root: Path, until: float, seed: int) -> None:
    chance = random.Random(seed)
    log = os.open(root / "spans", os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    def note(*line: Any) -> None:
        os.write(log, (json.dumps([*line, time.monotonic()]) + "\n").encode())

    while time.time() < until:
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


def test_workers_share_one_sweep(root: Path):
    context = multiprocessing.get_context("fork")
    tops = [Sum(tuple(Number(n) for n in range(i, i + 8))) for i in range(8)]
    workers = [
        context.Process(target=Store(root, poll_s=0.1).ensure, args=tuple(tops)) for _ in range(6)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    distinct = closure(tuple(tops))
    assert events(root) == {"start": len(distinct), "commit": len(distinct)}
    assert [Store(root).get(t) for t in tops] == [sum(range(i, i + 8)) for i in range(8)]
    assert hidden(root) == []
    assert not list(root.glob("*/*.failed.json"))


def test_keys_do_not_depend_on_the_process():
    assert dataclasses.replace(Number(3), n=4).key == Number(4).key
    text = '{"is":"a.B","x":1}'  # what is hashed, so that a change of the hash is noticed: it loses everyone's results

    @dataclass(frozen=True)
    class B(Stage[None]):
        x: int

    B.__module__, B.__qualname__ = "a", "B"
    assert json.dumps(identity(B(1)), separators=(",", ":")) == text
    assert B(1).key == "51cb33a87c63733c"
