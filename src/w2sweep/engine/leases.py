"""Who may compute what: numbered lease files whose numbers only grow.

Lease n on a key is the file `.leases/<beginning of the key>/<key>.<n>`, which appears whole, to one
claimant only, and is touched while its owner works; the highest n rules. Once it is released, or
its owner died on this machine, or it was not touched for `lease_s`, or nobody can read whose it is,
anyone may make n + 1. Were leases taken over by rename, or deleted on release, a slow claim could
revive an old one and two workers would own the same key; both were seen under a storm of kills.

The folders by the key's beginning keep a claim short: it lists one of them, a 4096th of all leases,
and not the results.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from w2sweep.engine.files import read_json
from w2sweep.engine.owners import Owner

RELEASED = 0.0
"""The modification time of a lease that its owner gave back."""
UNREADABLE_S = 2.0
"""For how long nobody takes over a lease that cannot be read: where a file system has no links, it
may be being written."""
WITHOUT_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV)
"""What file systems say that have no hard links."""


def claim(folder: Path, key: str, lease_s: float) -> Lease | None:
    """A lease on `key`, or None while somebody else has one.

    Use it as a context, or it will not be kept alive.
    """
    _shelf(folder, key).mkdir(parents=True, exist_ok=True)
    latest = _highest(folder, key)
    ruling = _file(folder, key, latest)
    if not latest:
        latest = _highest_before(folder, key)
        ruling = file_before(folder, key, latest)
    if latest and not _free(ruling, folder, lease_s):
        return None
    lease = Lease(folder, key, latest + 1, lease_s)
    if not _made(lease):
        return None
    if not lease.held:  # we were slow: a higher number rules, below which ours was tidied away
        lease.file.unlink(missing_ok=True)
        return None
    return lease


def _made(lease: Lease) -> bool:
    """Makes the lease's file, with its content. Returns False where somebody else was faster."""
    text = json.dumps(Owner.this().plain)
    new = lease.file.with_name(f"{lease.file.name}.{secrets.token_hex(4)}")
    try:
        new.write_text(text, encoding="utf-8")
        return _linked(new, lease.file)
    except FileNotFoundError:  # tidied away with what was left by the dead
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        return _written(lease.file, text)
    finally:
        new.unlink(missing_ok=True)


def _linked(new: Path, file: Path) -> bool:
    try:
        os.link(new, file)
    except FileExistsError:
        # a network file system may say so of its own first try, whose answer was lost
        return file.exists() and file.samefile(new)
    return True


def _written(file: Path, text: str) -> bool:
    try:
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    try:
        with os.fdopen(descriptor, "w") as f:
            f.write(text)
    except OSError:  # a full disk: give it back, rather than let everyone wait for it to expire
        os.utime(file, (RELEASED, RELEASED))
        raise
    return True


class Lease:
    """The right to compute a key, kept by a thread for as long as the context is open."""

    def __init__(self, folder: Path, key: str, number: int, lease_s: float):
        self.folder, self.key, self.number, self.lease_s = folder, key, number, lease_s
        self.file = _file(folder, key, number)
        self.since, self.stages = time.time(), 1
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    @property
    def seconds(self) -> float:
        """Since it was claimed; of `stages` that its owner computes at the same time, each has its
        share of that."""
        return (time.time() - self.since) / self.stages

    @property
    def held(self) -> bool:
        """Whether nobody took it over, as from a worker that slept for longer than `lease_s`."""
        return _highest(self.folder, self.key) == self.number

    def release(self) -> None:
        """Anyone may have the next one."""
        with suppress(FileNotFoundError):
            os.utime(self.file, (RELEASED, RELEASED))

    def tidy(self) -> None:
        """Removes all earlier leases, and what claimants left who were killed. The highest number
        stays, so that numbers go on growing."""
        for end in _ends(self.folder, self.key):
            number, _, of_claimant = end.partition(".")
            if int(number) < self.number + bool(of_claimant):
                (_shelf(self.folder, self.key) / f"{self.key}.{end}").unlink(missing_ok=True)
        for number in range(1, self.number):
            file_before(self.folder, self.key, number).unlink(missing_ok=True)

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


@dataclass(frozen=True)
class Held:
    """A lease in somebody's hands, as far as can be told without waiting for it to expire."""

    number: int
    owner: Owner
    silent_s: float
    """Seconds since its last sign of life."""

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.silent_s), 60)
        return f"held by {self.owner}, last sign {minutes}:{seconds:02} ago"


def held(folder: Path, key: str) -> Held | None:
    """Who has the lease on a key; None where nobody has."""
    found = holder(folder, key)
    if found is None:
        return None
    number, owner, touched = found
    return Held(number, owner, max(0.0, filesystem_time(folder) - touched))


def holder(folder: Path, key: str) -> tuple[int, Owner, float] | None:
    """The number of the lease in force on a key, its owner, and when that one gave a sign of life
    last, by the clock of the file system; None where nobody has it. Nothing is written."""
    number = _highest(folder, key)
    lease = _file(folder, key, number)
    try:
        touched, owner = lease.stat().st_mtime, _owner(lease)
    except (OSError, ValueError):
        return None
    return None if touched == RELEASED or owner.dead else (number, owner, touched)


def abandoned(folder: Path, key: str) -> int | None:
    """The number of the lease that a worker of this machine left who was killed; None where the
    last one gave it back, or nobody here can tell."""
    try:
        number = _highest(folder, key)
        lease = _file(folder, key, number)
        left = lease.stat().st_mtime != RELEASED and _owner(lease).dead
    except (OSError, ValueError):
        return None
    return number if left else None


def give_back(folder: Path, key: str, owner: Owner) -> bool:
    """Releases the lease on a key if it is that of an owner who is known to be dead, so that nobody
    waits for it to expire on another machine. Returns whether it did."""
    lease = _file(folder, key, _highest(folder, key))
    try:
        if _owner(lease) != owner or lease.stat().st_mtime == RELEASED:
            return False
        os.utime(lease, (RELEASED, RELEASED))
    except (OSError, ValueError):
        return False
    return True


def filesystem_time(folder: Path) -> float:
    """Now, by the clock that stamps the files of `folder`, which on a network file system is not
    this machine's."""
    clock = folder / ".clock"
    clock.touch()
    return clock.stat().st_mtime


def file_before(folder: Path, key: str, number: int) -> Path:
    """Where version 0.1 had a lease. Those are respected, and what it began is gone on with."""
    return folder / f".{key}.lease.{number}"


def _highest_before(folder: Path, key: str) -> int:
    """Of version 0.1, which removed none before the key had its result."""
    numbers = itertools.count(1)
    return next(n for n in numbers if not file_before(folder, key, n).exists()) - 1


def _shelf(folder: Path, key: str) -> Path:
    return folder / ".leases" / key[:3]


def _file(folder: Path, key: str, number: int) -> Path:
    return _shelf(folder, key) / f"{key}.{number}"


def _ends(folder: Path, key: str) -> list[str]:
    """What stands behind the key in the names of its files: a number, and in those of claimants
    more."""
    try:
        names = [file.name for file in _shelf(folder, key).iterdir()]
    except FileNotFoundError:
        return []
    begin = f"{key}."
    ends = [name.removeprefix(begin) for name in names if name.startswith(begin)]
    return [end for end in ends if end.partition(".")[0].isdecimal()]


def _highest(folder: Path, key: str) -> int:
    return max((int(end) for end in _ends(folder, key) if end.isdecimal()), default=0)


def _free(lease: Path, folder: Path, lease_s: float) -> bool:
    try:
        touched = lease.stat().st_mtime
    except FileNotFoundError:  # tidied away since we looked, so a higher one rules
        return False
    if touched == RELEASED:
        return True
    age = filesystem_time(folder) - touched
    try:
        return _owner(lease).dead or age > lease_s
    except ValueError:
        return age > min(UNREADABLE_S, lease_s)
    except OSError:  # tidied away, or not ours to read
        return age > lease_s and lease.exists()


def _owner(lease: Path) -> Owner:
    """Whose it is. Raises ValueError where it does not say."""
    return Owner.told(read_json(lease))
