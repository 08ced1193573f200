"""The record beside each result, `stage.json`: what it was computed from, how, and by whom."""

from __future__ import annotations

import difflib
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from w2sweep.engine.files import read_json, write_json
from w2sweep.engine.leases import Lease
from w2sweep.engine.stage import Stage, closure, identity

FILE = "stage.json"


class WrongRecord(RuntimeError):
    """A folder of the store does not hold what its name says."""


def write(folder: Path, stage: Stage[Any], lease: Lease, facts: Mapping[str, Any]) -> None:
    """Writes the record of a result; `facts` say how it was computed."""
    inputs = closure(tuple(stage.inputs))
    record = {
        "what": stage.what,
        "stage": identity(stage),
        "inputs": {s.name: identity(s) for s in inputs},
        "computed": dict(facts),
        "lease": lease.number,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": lease.since,
        "seconds": time.time() - lease.since,
    }
    write_json(folder / FILE, record)


def check(folder: Path, stage: Stage[Any]) -> None:
    """Raises WrongRecord unless the record in `folder` is one of `stage`."""
    try:
        found = read_json(folder / FILE)["stage"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise wrong(folder, stage, f"has no readable {FILE} ({error})") from error
    expected = identity(stage)
    if found != expected:
        what = "holds another result (- expected, + found)"
        raise wrong(folder, stage, what, _difference(expected, found))


def wrong(folder: Path, stage: Stage[Any], what: str, more: str = "") -> WrongRecord:
    """What to raise where the result of `stage` in `folder` is not what it should be."""
    remedy = "delete it to compute it again"
    return WrongRecord(f"{folder}, the result of {stage}, {what}: {remedy}{more}")


def _difference(expected: Any, found: Any) -> str:
    """The lines in which two records differ, each after a line break."""
    old, new = _lines(expected), _lines(found)
    _, _, *lines = difflib.unified_diff(old, new, lineterm="", n=0)
    return "".join(f"\n{line}" for line in lines if not line.startswith("@@"))


def _lines(record: Any) -> list[str]:
    return json.dumps(record, indent=1, sort_keys=True).splitlines()
