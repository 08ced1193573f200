"""Curves: what was logged while a stage trained, a row a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_curves(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes `curves.jsonl`."""
    lines = [json.dumps(row) + "\n" for row in rows]
    (folder / "curves.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
