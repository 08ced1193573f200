"""Processes as owners of work: which one it is, and whether it still lives."""

from __future__ import annotations

import functools
import hashlib
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

UNKNOWN = "unknown"
"""When a process started that lives, where nobody says since when."""


@dataclass(frozen=True)
class Machine:
    """Where a process id means something: a boot of a host, and there a namespace of ids.

    Containers share host names, so the name alone is not enough.
    """

    host: str
    boot: str = ""
    namespace: str = ""
    hardware: str = ""
    """What stays the same when the machine is started again: its /etc/machine-id."""

    def started_again(self, then: Machine) -> bool:
        """Whether this is the machine that `then` was before it was started again."""
        same = (self.host, self.hardware) == (then.host, then.hardware)
        return same and "" not in (self.boot, then.boot) and self.boot != then.boot


@dataclass(frozen=True)
class Owner:
    """A process, somewhere."""

    machine: Machine
    pid: int
    start: str | None
    """When it started, so that its id is not mistaken for an earlier one's."""

    @classmethod
    def this(cls) -> Self:
        """The process that asks."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Self:
        """A process of this machine that lives."""
        return cls(machine(), pid, _start(pid))

    @classmethod
    def told(cls, said: Any) -> Self:
        """The owner that `plain` wrote down. Raises ValueError where it is none."""
        try:
            where, pid, start = Machine(**said["machine"]), said["pid"], said["start"]
        except (TypeError, KeyError) as error:
            raise ValueError(f"no owner: {said!r:.80}") from error
        names = list(asdict(where).values())
        if not isinstance(pid, int) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"no owner: {said!r:.80}")
        return cls(where, pid, start)

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @property
    def here(self) -> bool:
        """Whether its id means something to the process that asks."""
        return self.machine == machine()

    @property
    def dead(self) -> bool:
        """Whether it is known to be gone. False too where nobody here can tell."""
        if machine().started_again(self.machine):
            return True
        return self.here and _start(self.pid) not in (self.start, UNKNOWN)

    def __str__(self) -> str:
        return f"{self.machine.host} {self.pid}"


@functools.cache
def machine() -> Machine:
    """The machine of the process that asks."""
    return Machine(
        socket.gethostname(),
        _said(Path("/proc/sys/kernel/random/boot_id")),
        _namespace(),
        _said(Path("/etc/machine-id")),
    )


def mark() -> str:
    """What the names of half-written files say of who writes them."""
    return f"{_place()}-{os.getpid()}"


def gone(mark: str) -> bool:
    """Whether the process of a mark is one of this machine, at whatever boot, and has ended."""
    where, _, pid = mark.partition("-")
    return where == _place() and _start(int(pid)) is None


@functools.cache
def _place() -> str:
    here = machine()
    text = "\n".join((here.host, here.namespace, here.hardware))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@functools.cache
def end_with(owner: Owner, every_s: float = 1.0) -> None:
    """Ends this process, without a word, soon after another one of this machine has ended: a worker
    whose launcher was killed would idle for ever. Does nothing where the other cannot be seen."""
    if owner.here and owner.pid != os.getpid():
        threading.Thread(target=_outlive, args=(owner, every_s), daemon=True).start()


def _outlive(owner: Owner, every_s: float) -> None:
    while not owner.dead:
        time.sleep(every_s)
    os._exit(1)  # a worker may be killed at any time: it loses what it did since its checkpoint


def _said(file: Path) -> str:
    """What a file of the system says; nothing where it is not Linux."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


def _start(pid: int) -> str | None:
    """When a process started; None if there is no such process."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        return UNKNOWN
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # not Linux
        return UNKNOWN
    if state in "ZX":  # killed, but its parent did not look yet
        return None
    return rest[18]  # starttime, field 22 of proc(5)
