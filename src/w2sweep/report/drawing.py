"""A figure on disk, as pages show it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Drawing:
    """A figure's two files, and what is said of it."""

    title: str
    caption: str
    png: Path
    svg: Path
    width: float
    """In inches."""
