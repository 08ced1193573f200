"""The journal of a store: who started, finished and failed what, and when."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from w2sweep.engine.leases import Lease
from w2sweep.engine.stage import Stage


class Journal:
    """A file of JSON lines to which any number of processes append."""

    def __init__(self, file: Path):
        self.file = file

    def tell(self, stage: Stage[Any], lease: Lease, event: str, **more: Any) -> None:
        """Adds a line, unless the disk is full: that must not undo a commit."""
        line = {
            "event": event,
            "stage": stage.name,
            "what": stage.what,
            "lease": lease.number,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "time": time.time(),
            "seconds": lease.seconds,
            **more,
        }
        with suppress(OSError):
            self._append(json.dumps(line) + "\n")

    def _append(self, text: str) -> None:
        descriptor = os.open(self.file, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o666)
        try:
            os.write(descriptor, text.encode())  # in one call, so that lines do not mix
        finally:
            os.close(descriptor)

    def read(self) -> list[dict[str, Any]]:
        """All lines, oldest first. A line that was cut short, by a full disk or a power cut, is
        left out."""
        if not self.file.exists():
            return []
        lines = self.file.read_text("utf-8", errors="replace").split("\n")
        return [told for told in map(_told, lines) if told]


def _told(line: str) -> dict[str, Any] | None:
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None
