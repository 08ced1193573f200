"""How far one stage is, as it says itself."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2sweep.engine.files import read_json, write_json

log = logging.getLogger(__name__)

FILE = "progress.json"
"""In the working folder of a stage: how far it is."""


class Progress:
    """How far one stage is, as `progress.json` in its working folder, written at most once a
    second.

    Args:
        out: the folder the stage writes to.
        what: what it is called in progress lines: `student small <- nano, sentiment`.
        steps: how many there are; with those that an adopted checkpoint spares.
        unit: what a step is.
        together: how many stages, itself included, its process runs at the same time.
    """

    def __init__(self, out: Path, what: str, steps: int, unit: str = "steps", together: int = 1):
        self.out, self.what, self.steps, self.unit = out, what, steps, unit
        self.together = together
        self._started = self._first_time = time.time()
        self._first_step: int | None = None
        self._written = 0.0

    def advance(self, step: int) -> None:
        """`step` of the steps are done.

        Raises:
            FileNotFoundError: the folder is gone: another worker took over, so there is no use in
                going on.
        """
        now = time.time()
        if self._first_step is None:  # not 0 after a resume: only what we did makes our rate
            self._first_step, self._first_time = step, now
        if now - self._written < 1 and step < self.steps:
            return
        self._written = now
        rate = (step - self._first_step) / max(now - self._first_time, 1e-9)
        said = {
            "what": self.what,
            "step": step,
            "steps": self.steps,
            "rate": round(rate, 3),
            "unit": f"{self.unit}/s",
            "started": self._started,
            "updated": now,
        }
        if self.together > 1:
            said["together"] = self.together
        self._write(said)

    def _write(self, said: dict[str, Any]) -> None:
        try:
            write_json(self.out / FILE, said)
        except FileNotFoundError:
            raise
        except OSError as error:  # a full disk stops the stage soon enough, with a better message
            log.debug("no progress: %s", error)


@dataclass(frozen=True)
class StageProgress:
    """What a stage has said of how far it is."""

    step: int
    steps: int
    rate: float
    """Steps a second; 0: nobody knows yet."""
    unit: str = "steps/s"
    together: int = 1
    """How many stages its worker runs at the same time."""
    started: float | None = None
    """When it began to count, by its own clock, and when it said this."""
    updated: float | None = None

    @property
    def part(self) -> float:
        """Of its steps, how much is done."""
        return self.step / self.steps if self.steps else 0.0

    def left(self, now: float) -> float | None:
        """Seconds until its last step; None where nobody knows how fast it is."""
        if not self.rate:
            return None
        since = max(0.0, now - self.updated) if self.updated else 0.0
        return max(0.0, (self.steps - self.step) / self.rate - since)

    def __str__(self) -> str:
        done = f"{self.step}/{self.steps}"
        if not self.rate:
            return done
        left = clock((self.steps - self.step) / self.rate)
        return f"{done}, {self.rate:.3g} {self.unit}, {left} left"


def said(work: Path) -> StageProgress | None:
    """What the stage that works in a folder has said; None where it says nothing, or not yet."""
    try:
        told = read_json(work / FILE)
        return StageProgress(
            step=int(told["step"]),
            steps=int(told["steps"]),
            rate=float(told["rate"]),
            unit=str(told.get("unit", "steps/s")),
            together=int(told.get("together", 1)),
            started=_time(told, "started"),
            updated=_time(told, "updated"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _time(told: dict[str, Any], name: str) -> float | None:
    return float(told[name]) if name in told else None


def clock(seconds: float) -> str:
    """A time as a clock shows it: 1:05, or 2:03:40."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"
