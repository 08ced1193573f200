"""Runs as W&B wrote them offline, read back as `wandb leet` reads them."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def runs(folder: Path) -> list[Path]:
    """The files of all runs, oldest first."""
    return sorted(folder.glob("wandb/*run-*/*.wandb"), key=lambda file: file.stat().st_mtime_ns)


@functools.cache
def records(file: Path) -> list[dict[str, Any]]:
    """All that is in a file, by W&B's own program: by the part of it that is not Python, which
    takes a twentieth of the time, where it understands this."""
    from wandb.util import get_core_path

    direct = [get_core_path(), "leet", "inspect", "--no-observability", "--json"]
    done = subprocess.run(
        [*direct, "--run-file", str(file), str(file.parents[1])], capture_output=True, text=True
    )
    if done.returncode:
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def record(file: Path, kind: str) -> dict[str, Any]:
    [found] = [r[kind] for r in records(file) if r["type"] == kind]
    return found


def config(file: Path) -> dict[str, Any]:
    """What the run can be filtered by, without W&B's own."""
    written = record(file, "run")["config"]["update"]
    return {key: held for key, held in written.items() if key != "_wandb"}


def summary(file: Path) -> dict[str, Any]:
    """What the run came to, without W&B's own clocks."""
    updates = [r["summary"]["update"] for r in records(file) if r["type"] == "summary"]
    return {k: v for update in updates for k, v in update.items() if not k.startswith("_")}


def history(file: Path) -> list[dict[str, Any]]:
    """What was logged, without W&B's own clocks."""
    items = [r["history"]["item"] for r in records(file) if r["type"] == "history"]
    return [_without_clocks(item) for item in items]


def _without_clocks(item: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in item.items() if k not in ("_runtime", "_timestamp")}
