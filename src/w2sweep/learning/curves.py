"""Curves: what was logged while a stage trained, a row a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FILE = "curves.jsonl"


def write_curves(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes `curves.jsonl`."""
    lines = [json.dumps(row) + "\n" for row in rows]
    (folder / FILE).write_text("".join(lines), encoding="utf-8", newline="\n")


def read_curves(folder: Path) -> list[dict[str, Any]]:
    """The rows that a stage has written into its folder; none where it has no curves, or where they
    cannot be read."""
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.split("\n") if line]
    except (OSError, ValueError):
        return []
