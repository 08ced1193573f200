"""The record beside each result, `stage.json`: what it was computed from, how and by whom, and
which files it consists of."""

from __future__ import annotations

import difflib
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from w2sweep.engine import inventory
from w2sweep.engine.environment import environment
from w2sweep.engine.files import read_json, write_json
from w2sweep.engine.leases import Lease
from w2sweep.engine.stage import Stage, closure, hashed, identity
from w2sweep.engine.working import TEMPORARY

FILE = "stage.json"
NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
KEY = re.compile(r"[0-9a-f]{16}")
SHOWN = 4
"""Lines at most that tell how a record differs from the expected one."""

Signature = tuple[tuple[int, int, int], ...]
"""Of files: what changes with their content, at the price of asking the file system."""


class WrongRecord(RuntimeError):
    """A folder of the store does not hold what its name says. One line."""


def write(folder: Path, stage: Stage[Any], lease: Lease, facts: Mapping[str, Any]) -> None:
    """Writes the record of a result; `facts` say how it was computed. What it was computed with
    stands beside them, and in no identity."""
    inputs = closure(tuple(stage.inputs))
    record = {
        "what": stage.what,
        "stage": identity(stage),
        "inputs": {s.name: identity(s) for s in inputs},
        "computed": dict(facts),
        "environment": environment(),
        "lease": lease.number,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": lease.since,
        "seconds": lease.seconds,
        "files": inventory.taken(folder, without=(FILE, *TEMPORARY)),
    }
    write_json(folder / FILE, record)


def damage(folder: Path, stage: Stage[Any]) -> str | None:
    """What is wrong with the result of `stage` in `folder`, in words that follow its name; None
    where it is as it was written.

    Raises OSError where that cannot be told.
    """
    try:
        record = _read(folder)
        expected = identity(stage)
        if record["stage"] != expected:
            difference = _difference(expected, record["stage"])
            return f"holds another result (- expected, + found: {difference})"
        return _fault(folder, record, fully=False)
    except _NoRecord as none:
        return str(none)


def damage_of_any(folder: Path) -> str | None:
    """As `damage`, of a result of whatever stage, each file read from its beginning to its end."""
    try:
        record = _read(folder)
        name = (record["stage"].get("is"), hashed(record["stage"]))
        if name != (folder.parent.name, folder.name):
            return f"holds another result ({'/'.join(map(str, name))})"
        return _fault(folder, record, fully=True)
    except (_NoRecord, AttributeError) as none:
        return str(none)


def what(folder: Path) -> str:
    """What the result in a folder is called, as far as it says."""
    try:
        return str(_read(folder)["what"])
    except (OSError, KeyError, _NoRecord):
        return "nobody says of what"


def facts(folder: Path) -> dict[str, Any]:
    """How the result in a folder was computed, as far as it says."""
    try:
        return dict(_read(folder)["computed"])
    except (OSError, KeyError, TypeError, ValueError, _NoRecord):
        return {}


def read(folder: Path) -> dict[str, Any]:
    """All that the record of the result in a folder says; nothing where there is none."""
    try:
        return _read(folder)
    except (OSError, _NoRecord):
        return {}


def seconds(folder: Path) -> float | None:
    """How long the result in a folder took; None where nobody says."""
    try:
        return float(_read(folder)["seconds"])
    except (OSError, KeyError, TypeError, ValueError, _NoRecord):
        return None


def results(root: Path) -> Iterator[Path]:
    """The folders of all results of a store."""
    for folder in sorted(root.glob("*/*")):
        if KEY.fullmatch(folder.name) and folder.is_dir():
            yield folder


class Checks:
    """What this process has found to be as it was written, so that it looks once at what it reads
    often, and again only where a file has changed since."""

    def __init__(self):
        self._seen: dict[Path, tuple[list[Path], Signature]] = {}

    def damage(self, folder: Path, stage: Stage[Any]) -> str | None:
        """As `damage` below."""
        if self._unchanged(folder):
            return None
        found = damage(folder, stage)
        if found is None:
            files = [folder / FILE, *(folder / name for name in _read(folder)["files"])]
            self._seen[folder] = (files, _signature(files))
        return found

    def _unchanged(self, folder: Path) -> bool:
        if folder not in self._seen:
            return False
        files, signature = self._seen[folder]
        try:
            return _signature(files) == signature
        except OSError:
            return False


class _NoRecord(Exception):
    """There is no record that could be read."""


def _read(folder: Path) -> dict[str, Any]:
    try:
        record = read_json(folder / FILE)
    except (*NO_FILE, ValueError) as error:
        raise _NoRecord(f"has no readable {FILE} ({error})") from error
    if not isinstance(record, dict) or "stage" not in record:
        raise _NoRecord(f"has no readable {FILE} (it tells of no stage)")
    return record


def _fault(folder: Path, record: Mapping[str, Any], fully: bool) -> str | None:
    try:
        found = inventory.fault(folder, record["files"], fully)
    except (AttributeError, KeyError, TypeError):
        return f"has no readable {FILE} (it tells of no files)"
    return found and f"is damaged: {found}"


def _signature(files: list[Path]) -> Signature:
    stats = [file.stat() for file in files]
    return tuple((s.st_size, s.st_mtime_ns, s.st_ino) for s in stats)


def _difference(expected: Any, found: Any) -> str:
    """Some of the lines in which two records differ."""
    old, new = _lines(expected), _lines(found)
    _, _, *lines = difflib.unified_diff(old, new, lineterm="", n=0)
    differing = [" ".join(line.split()).rstrip(",") for line in lines if line[0] in "+-"]
    more = ["..."] if len(differing) > SHOWN else []
    return ", ".join([*differing[:SHOWN], *more])


def _lines(record: Any) -> list[str]:
    return json.dumps(record, indent=1, sort_keys=True).splitlines()
