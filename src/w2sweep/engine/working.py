"""Working folders: where a stage is computed until its result is whole.

The owner of lease n on a key writes into the folder `.<key>.<n>`. A worker that was killed leaves
its folder behind, and the next owner goes on with the checkpoints in it.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from w2sweep.engine.leases import Lease

CHECKPOINTS = "checkpoint*"
REPLACED = ".replaced"
"""What mode `force` moves an earlier result to, within the folder of the new one."""
TEMPORARY = (CHECKPOINTS, "progress.json", REPLACED, ".dead.*")
"""What is in a working folder and is no part of the result."""


def folder_of(lease: Lease) -> Path:
    """Where the owner of `lease` works."""
    return lease.folder / f".{lease.key}.{lease.number}"


def adopt(lease: Lease) -> bool:
    """Makes the working folder, with the latest checkpoints that earlier owners left and nothing
    else. Returns whether there were any.

    Earlier owners may only have slept. A folder is taken from its owner by one rename, so that he
    cannot commit it any more, and only then are files removed from it.
    """
    work = folder_of(lease)
    for dead in _earlier(lease):
        if not work.exists() and any(dead.glob(CHECKPOINTS)):
            _take(dead, work)
    adopted = work.exists()
    work.mkdir(exist_ok=True)
    strip(work)
    work.mkdir(exist_ok=True)
    for dead in _earlier(lease):
        _take(dead, work / f".dead{dead.suffix}")
        shutil.rmtree(work / f".dead{dead.suffix}", ignore_errors=True)
    return adopted


def checkpoints(folder: Path, key: str) -> dict[str, int]:
    """The checkpoints that whoever worked on a key has left, and when they were written."""
    files = folder.glob(f".{key}.*/{CHECKPOINTS}")
    found = {}
    for file in files:
        with suppress(FileNotFoundError):  # committed, or adopted, just now
            found[file.name] = max(found.get(file.name, 0), file.stat().st_mtime_ns)
    return found


def discard(lease: Lease) -> None:
    """Removes what earlier owners left."""
    adopt(lease)
    remove(folder_of(lease))


def strip(work: Path) -> None:
    """Keeps the checkpoints of an interrupted worker, and nothing else."""
    for entry in list(work.iterdir()) if work.is_dir() else []:
        if not entry.match(CHECKPOINTS):
            remove(entry)
    with suppress(OSError):  # there are checkpoints
        work.rmdir()


def tidy(result: Path) -> None:
    """Removes what served only until the commit: were it removed before, a kill in between would
    cost it all."""
    for pattern in TEMPORARY:
        for entry in list(result.glob(pattern)):
            remove(entry)


def remove(path: Path) -> None:
    """Removes a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Everything below `folder` is on the disk, so that a result which is there after a power cut
    is whole."""
    for directory, _, files in os.walk(folder):
        for file in files:
            with Path(directory, file).open("rb") as f:
                os.fsync(f.fileno())
        sync_folder(Path(directory))


def sync_folder(folder: Path) -> None:
    """The names in `folder` are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _earlier(lease: Lease) -> list[Path]:
    """The folders of earlier owners, the last one first."""
    work = re.compile(rf"\.{lease.key}\.(\d+)")
    matches = [work.fullmatch(entry.name) for entry in lease.folder.iterdir()]
    numbers = sorted((int(m[1]) for m in matches if m), reverse=True)
    return [lease.folder / f".{lease.key}.{n}" for n in numbers if n < lease.number]


def _take(dead: Path, to: Path) -> None:
    with suppress(FileNotFoundError):  # its owner only slept, and now removed or committed it
        dead.rename(to)
