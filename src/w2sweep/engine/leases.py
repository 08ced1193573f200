"""Who may compute what: numbered lease files whose numbers only grow.

Lease n on a key is the file `.<key>.lease.<n>`, made with O_EXCL and touched while its owner
works; the highest n rules. Once it is released, or its owner died on this machine, or it was not
touched for `lease_s`, anyone may make n + 1. Were leases taken over by rename, or deleted on
release, a slow claim could revive an old one and two workers would own the same key; both were seen
under a storm of kills.
"""

from __future__ import annotations

import functools
import json
import os
import re
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from w2sweep.engine.files import read_json

RELEASED = 0.0
"""The modification time of a lease that its owner gave back."""


def claim(folder: Path, key: str, lease_s: float) -> Lease | None:
    """A lease on `key`, or None while somebody else has one.

    Use it as a context, or it will not be kept alive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    latest = _highest(folder, key)
    if latest and not _free(_file(folder, key, latest), lease_s):
        return None
    lease = Lease(folder, key, latest + 1, lease_s)
    if not _made(lease):
        return None
    if not lease.held:  # we were slow: a higher number rules, below which ours was tidied away
        lease.file.unlink(missing_ok=True)
        return None
    return lease


def _made(lease: Lease) -> bool:
    """Writes the lease's file. Returns False where somebody else was faster."""
    try:
        descriptor = os.open(lease.file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "w") as f:
            json.dump(_owner(), f)
    except OSError:  # a full disk: give it back, rather than let everyone wait for it to expire
        lease.release()
        raise
    return True


class Lease:
    """The right to compute a key, kept by a thread for as long as the context is open."""

    def __init__(self, folder: Path, key: str, number: int, lease_s: float):
        self.folder, self.key, self.number, self.lease_s = folder, key, number, lease_s
        self.file = _file(folder, key, number)
        self.since = time.time()
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    @property
    def held(self) -> bool:
        """Whether nobody took it over, as from a worker that slept for longer than `lease_s`."""
        return _highest(self.folder, self.key) == self.number

    def release(self) -> None:
        """Anyone may have the next one."""
        with suppress(FileNotFoundError):
            os.utime(self.file, (RELEASED, RELEASED))

    def tidy(self) -> None:
        """Removes all earlier leases. The highest number stays, so that numbers go on growing."""
        for number in _numbers(self.folder, self.key):
            if number < self.number:
                _file(self.folder, self.key, number).unlink(missing_ok=True)

    def __enter__(self) -> Lease:
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._keeper.join()
        self.release()

    def _keep(self) -> None:
        while not self._closed.wait(self.lease_s / 10):
            with suppress(OSError):  # tidied away by a later owner, or no file system for a while
                os.utime(self.file)


def in_hand(folder: Path, key: str, number: int) -> bool:
    """Whether the owner of lease `number` still works, as far as can be told without waiting for
    the lease to expire."""
    lease = _file(folder, key, number)
    try:
        return lease.stat().st_mtime != RELEASED and not _died_here(lease)
    except FileNotFoundError:
        return False


def filesystem_time(folder: Path) -> float:
    """Now, by the clock that stamps the files of `folder`, which on a network file system is not
    this machine's."""
    clock = folder / ".clock"
    clock.touch()
    return clock.stat().st_mtime


def _file(folder: Path, key: str, number: int) -> Path:
    return folder / f".{key}.lease.{number}"


def _numbers(folder: Path, key: str) -> list[int]:
    lease = re.compile(rf"\.{key}\.lease\.(\d+)")
    matches = [lease.fullmatch(entry.name) for entry in folder.iterdir()]
    return [int(match[1]) for match in matches if match]


def _highest(folder: Path, key: str) -> int:
    return max(_numbers(folder, key), default=0)


def _free(lease: Path, lease_s: float) -> bool:
    try:
        touched = lease.stat().st_mtime
    except FileNotFoundError:  # tidied away since we looked, so a higher one rules
        return False
    if touched == RELEASED or _died_here(lease):
        return True
    return filesystem_time(lease.parent) - touched > lease_s


def _died_here(lease: Path) -> bool:
    """Whether its owner was a process of this machine and is gone: then nobody needs to wait for it
    to expire."""
    try:
        owner = read_json(lease)
    except (OSError, ValueError):  # being written just now
        return False
    if owner["machine"] != _machine():
        return False
    return _start(owner["pid"]) not in (owner["start"], "unknown")


def _owner() -> dict[str, object]:
    return {"machine": _machine(), "pid": os.getpid(), "start": _start(os.getpid())}


@functools.cache
def _machine() -> list[str]:
    """Where a process id means something: a boot of a host, and there a namespace, for containers
    share host names."""
    boot, namespace = "", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return [socket.gethostname(), boot, namespace]


def _start(pid: int) -> str | None:
    """When a process started, so that its id is not mistaken for an earlier one's; None if there is
    no such process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return "unknown"
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # not Linux
        return "unknown"
    if state in "ZX":  # killed, but its parent did not look yet
        return None
    return rest[18]  # starttime, field 22 of proc(5)
