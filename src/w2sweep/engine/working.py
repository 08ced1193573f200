"""Working folders: where a stage is computed until its result is whole.

The owner of lease n on a key writes into the folder `.working/<key>.<n>`. A worker that was killed
leaves its folder behind, and the next owner goes on with the checkpoints in it. So whoever wants to
know what is being computed, or was left, lists `.working`, and not the results.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from w2sweep.engine import progress
from w2sweep.engine.leases import Lease

WORKING = ".working"
CHECKPOINTS = "checkpoint*"
REPLACED = ".replaced"
"""What mode `force` moves an earlier result to, within the folder of the new one."""
TEMPORARY = (CHECKPOINTS, progress.FILE, REPLACED, ".dead.*")
"""What is in a working folder and is no part of the result."""


def folder_of(lease: Lease) -> Path:
    """Where the owner of `lease` works."""
    return place(lease.folder, lease.key, lease.number)


def place(folder: Path, key: str, number: int) -> Path:
    """Where the owner of a lease works, by the lease's folder, key and number."""
    return folder / WORKING / f"{key}.{number}"


def begun(folder: Path) -> list[tuple[str, Path]]:
    """Keys that are being computed, or were left, and the folders of their workers, in order."""
    try:
        works = sorted((folder / WORKING).iterdir())
    except FileNotFoundError:
        return []
    return [(work.name.rpartition(".")[0], work) for work in works]


def adopt(lease: Lease) -> bool:
    """Makes the working folder, with the latest checkpoints that earlier owners left and nothing
    else. Returns whether there were any.

    Earlier owners may only have slept. A folder is taken from its owner by one rename, so that he
    cannot commit it any more, and only then are files removed from it.
    """
    work = folder_of(lease)
    work.parent.mkdir(exist_ok=True)
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


def checkpoints(folder: Path) -> dict[tuple[str, str], int]:
    """The checkpoints that whoever worked in a folder has left: key and name -> when it was
    written."""
    found: dict[tuple[str, str], int] = {}
    for key, work in begun(folder):
        for file in work.glob(CHECKPOINTS):
            with suppress(FileNotFoundError):  # committed, or adopted, just now
                written = file.stat().st_mtime_ns
                found[key, file.name] = max(found.get((key, file.name), 0), written)
    return found


def discard(lease: Lease) -> None:
    """Removes what earlier owners left."""
    adopt(lease)
    remove(folder_of(lease))


def take_away(path: Path, lease: Lease) -> None:
    """Removes a result, or something else of the stage, by one rename: nobody meets half of it."""
    folder_of(lease).parent.mkdir(exist_ok=True)
    path.rename(folder_of(lease))
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
    numbers = range(lease.number - 1, 0, -1)
    ours = [place(lease.folder, lease.key, n) for n in numbers]
    of_version_0_1 = [lease.folder / f".{lease.key}.{n}" for n in numbers]
    return [folder for folder in [*ours, *of_version_0_1] if folder.is_dir()]


def _take(dead: Path, to: Path) -> None:
    with suppress(FileNotFoundError):  # its owner only slept, and now removed or committed it
        dead.rename(to)
