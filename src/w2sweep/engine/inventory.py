"""The files of a result, and whether they are what was written.

A file's size and checksum are written down when its result appears. Who reads it compares them: of
large files only the beginning, for weights may have many gigabytes and are read by many workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

LARGE = 2**26
"""Bytes from which on only the beginning of a file is compared when it is read."""
BEGINNING = 2**20
"""Bytes of a large file that are compared: of safetensors, the names and shapes."""
_BLOCK = 2**20

Inventory = dict[str, dict[str, Any]]
"""Name of a file -> its size and checksums."""


def taken(folder: Path, without: tuple[str, ...] = ()) -> Inventory:
    """What there is below `folder`, but for entries of it that match one of `without`."""
    files = {file.relative_to(folder).as_posix(): file for file in _files(folder, without)}
    return {name: _described(files[name]) for name in sorted(files)}


def fault(folder: Path, inventory: Inventory, fully: bool) -> str | None:
    """What is wrong with the first file that is not as it was written; None where all are.

    `fully`: compare all of a large file. Raises OSError where a file cannot be read.
    """
    for name, written in inventory.items():
        try:
            size = (folder / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return f"{name} is missing"
        if size != written["size"]:
            return f"{name} has {size} bytes, expected {written['size']}"
        begins = not fully and "beginning" in written
        part, expected = (BEGINNING, written["beginning"]) if begins else (size, written["sha256"])
        if checksum(folder / name, part) != expected:
            return f"{name} is not what was written (its checksum is another)"
    return None


def checksum(file: Path, size: int) -> str:
    """The SHA-256 of the first `size` bytes of a file, in hex."""
    with file.open("rb") as opened:
        return _hashed(opened, size).hexdigest()


def _files(folder: Path, without: tuple[str, ...]) -> Iterator[Path]:
    for entry in folder.iterdir():
        if not any(entry.match(pattern) for pattern in without):
            below = entry.rglob("*") if entry.is_dir() else [entry]
            yield from (file for file in below if file.is_file())


def _described(file: Path) -> dict[str, Any]:
    size = file.stat().st_size
    described: dict[str, Any] = {"size": size, "sha256": checksum(file, size)}
    if size > LARGE:
        described["beginning"] = checksum(file, BEGINNING)
    return described


def _hashed(opened: BinaryIO, size: int) -> Any:
    found, left = hashlib.sha256(), size
    while left and (block := opened.read(min(_BLOCK, left))):
        found.update(block)
        left -= len(block)
    return found
