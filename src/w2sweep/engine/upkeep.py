"""Upkeep of a store: what is in it, how large that is, and how it is removed. It looks at every
folder of the store, as no sweep does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from w2sweep.engine import record, working
from w2sweep.engine.failures import FAILED
from w2sweep.engine.leases import claim, holder

LEASE_S = 600.0
"""After which a worker on another machine is taken for dead, as by stores."""


@dataclass(frozen=True)
class Stored:
    """Something in a store: a result, or what was left of work on one."""

    path: Path
    folder: Path
    """Of its class."""
    key: str
    size: int
    """Bytes of its files."""
    used: float
    """When one of them was written or read last, by the clock of the file system; to read the
    record alone is not to use it."""

    @property
    def stage(self) -> str:
        """The name of the stage that it belongs to."""
        return f"{self.folder.name}/{self.key}"


def stored(root: Path) -> list[Stored]:
    """All results of a store."""
    return [_measured(path, path.parent, path.name) for path in record.results(root)]


def in_hand(root: Path) -> set[str]:
    """Names of the stages that a worker has just now."""
    folders = [path.parent for path in root.glob(f"*/{working.WORKING}")]
    begun = {(folder, key) for folder in folders for key, _ in working.begun(folder)}
    return {f"{folder.name}/{key}" for folder, key in begun if holder(folder, key)}


def left_over(root: Path, named: Collection[str]) -> list[Stored]:
    """What nobody will go on with: working folders and failures of stages that are not `named`,
    working folders of stages that have their result, and those without a checkpoint."""
    works = [
        work
        for work in _left(root, f"*/{working.WORKING}/*", "*/.*.[0-9]*")
        if work.stage not in named
        or (root / work.stage).is_dir()
        or not any(work.path.glob(working.CHECKPOINTS))
    ]
    failures = _left(root, f"*/{FAILED}/*.json", "*/*.failed.json")
    return [*works, *(failure for failure in failures if failure.stage not in named)]


def remove_damaged(result: Path) -> bool:
    """Removes the folder of a result that is damaged, unless a worker is computing it just now or
    has replaced it. Returns whether it did."""
    return _remove(result, result.parent, result.name, lambda: record.damage_of_any(result))


def remove(found: Stored) -> bool:
    """Removes something, unless a worker has its stage just now, or somebody has used it since it
    was found. Returns whether it did."""

    def untouched() -> bool:
        return _measured(found.path, found.folder, found.key).used == found.used

    return _remove(found.path, found.folder, found.key, untouched)


def _remove(path: Path, folder: Path, key: str, may: Callable[[], object]) -> bool:
    lease = claim(folder, key, LEASE_S)
    if lease is None:
        return False
    with lease, suppress(FileNotFoundError):
        if may():
            working.take_away(path, lease)
            lease.tidy()
            return True
    return False


def _left(root: Path, *patterns: str) -> Iterator[Stored]:
    """What lies at such places and is called by the key of a stage."""
    for path in sorted(path for pattern in patterns for path in root.glob(pattern)):
        key = path.name.lstrip(".").partition(".")[0]
        if record.KEY.fullmatch(key) and ".lease." not in path.name:
            with suppress(FileNotFoundError):  # its worker has just ended
                yield _measured(path, root / path.relative_to(root).parts[0], key)


def _measured(path: Path, folder: Path, key: str) -> Stored:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    stats = [file.stat() for file in files]
    written = [path.stat().st_mtime, *(stat.st_mtime for stat in stats)]
    pairs = zip(files, stats, strict=True)
    read = [stat.st_atime for file, stat in pairs if file.name != record.FILE]
    return Stored(path, folder, key, sum(stat.st_size for stat in stats), max(written + read))
