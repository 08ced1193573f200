"""How far a sweep is: what each running stage says of itself, and a look at all of them from
outside."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Any, TextIO

from w2sweep.engine.files import read_json, write_json
from w2sweep.engine.leases import Held, held
from w2sweep.engine.working import begun, place

log = logging.getLogger(__name__)

WAITING_S = 60.0
"""Between two times that a sweep tells what it waits for."""
TIMED = 20
"""Stages of one class, found at one look, of which it is read how long they took."""
SHARE = 10
"""Of the time, one part in so many may be spent on looking."""
SHOWN = 4
"""Of what it waits for, lines at most."""


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
            write_json(self.out / "progress.json", said)
        except FileNotFoundError:
            raise
        except OSError as error:  # a full disk stops the stage soon enough, with a better message
            log.debug("no progress.json: %s", error)


@dataclass
class _Running:
    kind: str
    what: str
    step: int = 0
    steps: int = 0
    rate: float = 0.0
    unit: str = "steps/s"
    together: int = 1
    """How many stages its worker runs at the same time."""
    elsewhere: Held | None = None
    """Who has it, where that is a worker of another machine."""

    @property
    def part(self) -> float:
        return self.step / self.steps if self.steps else 0.0

    def __str__(self) -> str:
        return f"{self._line}, {self.elsewhere}" if self.elsewhere else self._line

    @property
    def _line(self) -> str:
        if not self.steps:
            return self.what
        done = f"{self.what}: {self.step}/{self.steps}"
        if not self.rate:  # nobody knows yet
            return done
        left = clock((self.steps - self.step) / self.rate)
        return f"{done}, {self.rate:.3g} {self.unit}, {left} left"


@dataclass
class _View:
    """A look at the store: which of the planned stages are done, and what runs. It takes as long as
    there are stages left, however large the store is."""

    root: Path
    stages: dict[str, str]
    since: float
    done: set[str] = field(default_factory=set)
    running: list[_Running] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """What finished stages took, by class: a pretraining takes a hundred times as long as a
    finetuning."""

    @property
    def left(self) -> float | None:
        """Seconds until the last stage, with as many workers as are at it now; None before each
        class that is to come had a stage that finished."""
        ahead = Counter(map(_kind, self.stages.keys() - self.done))
        if not ahead or not ahead.keys() <= self.seconds.keys():
            return None
        takes = {kind: fmean(seconds) for kind, seconds in self.seconds.items()}
        begun = sum(running.part * takes[running.kind] for running in self.running)
        work = sum(n * takes[kind] for kind, n in ahead.items())
        workers = sum(1 / running.together for running in self.running)
        return (work - begun) / max(1.0, workers)

    @property
    def waiting(self) -> list[str]:
        """What is waited for, where no worker of this machine has anything to do."""
        if any(running.elsewhere is None for running in self.running):
            return []
        return [f"waiting for {r.what}: {r.elsewhere}" for r in self.running]

    def look(self) -> None:
        """Looks again: at the places of what is not done yet, and at what is worked on."""
        left = self.stages.keys() - self.done
        found = {name for name in left if self._is_done(name)}
        self.done |= found
        for name in _some_of_each_kind(found):
            self._time(name)
        kinds = sorted(set(map(_kind, left - found)))
        self.running = [running for kind in kinds for running in self._at_work(kind)]

    def _is_done(self, name: str) -> bool:
        try:
            found = os.stat(f"{self.root}/{name}")  # noqa: PTH116 (Path takes ten times as long)
        except FileNotFoundError:
            return False
        return not self.since or found.st_mtime >= self.since

    def _at_work(self, kind: str) -> Iterator[_Running]:
        """What runs of a class, in the order of the keys."""
        folder = self.root / kind
        for key in dict.fromkeys(key for key, _ in begun(folder)):
            name = f"{kind}/{key}"
            counts = name in self.stages and name not in self.done
            if counts and (holder := held(folder, key)):
                work = place(folder, key, holder.number)
                elsewhere = None if holder.owner.here else holder
                yield _running(work, kind, self.stages[name], elsewhere)

    def _time(self, name: str) -> None:
        with suppress(OSError, ValueError, KeyError, TypeError):
            took = float(read_json(self.root / name / "stage.json")["seconds"])
            self.seconds.setdefault(_kind(name), []).append(took)


def _some_of_each_kind(names: Iterable[str]) -> Iterator[str]:
    """For each class that many whose records can be read in no time."""
    seen = Counter[str]()
    for name in sorted(names):
        seen[_kind(name)] += 1
        if seen[_kind(name)] <= TIMED:
            yield name


def _kind(name: str) -> str:
    """The class of a stage, from its name."""
    return name.partition("/")[0]


def _running(work: Path, kind: str, what: str, elsewhere: Held | None) -> _Running:
    """What a stage says of itself; many have nothing to say, or not yet."""
    try:
        said = read_json(work / "progress.json")
        step, steps, rate = int(said["step"]), int(said["steps"]), float(said["rate"])
        together = int(said.get("together", 1))
        return _Running(kind, what, step, steps, rate, str(said["unit"]), together, elsewhere)
    except (OSError, ValueError, KeyError, TypeError):
        return _Running(kind, what, elsewhere=elsewhere)


class Watch:
    """Shows on stderr how far a sweep is while the context is open, whatever workers it has on
    whatever machines.

    On a terminal: a live line for each running stage and one for the sweep. Elsewhere: a line when
    stages finished, at most every `every_s` seconds, and a last one; and now and then what is
    waited for, while only workers of other machines have something to do. It only looks, and
    whatever it meets, the sweep goes on.

    Args:
        stages: what to wait for, `<class>/<key>` -> what it is called.
        root: the store.
        since: results older than this do not count (for a sweep that computes everything again).
    """

    def __init__(
        self,
        stages: dict[str, str],
        root: Path | str,
        since: float = 0.0,
        every_s: float = 10.0,
        stream: TextIO | None = None,
    ):
        self._sweep = _View(Path(root), stages, since)
        self._every_s, self._stream = every_s, stream or sys.stderr
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._started = time.time()
        self._before, self._took = 0, 0.0

    def __enter__(self) -> Watch:
        self._look()
        self._before = len(self._sweep.done)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join(timeout=5)

    def _show(self) -> None:
        try:
            if self._stream.isatty():
                self._live()
            else:
                self._plain()
        except Exception:  # a closed terminal, no file system: no reason to stop a sweep
            log.debug("progress is not shown any more", exc_info=True)

    def _live(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        console = Console(file=self._stream)
        # above the lines what is printed scrolls by, unless stdout goes elsewhere
        options = {"transient": True, "redirect_stdout": sys.stdout.isatty()}
        with Live(console=console, auto_refresh=False, **options) as live:
            while not self._closed.wait(self._pause(1.0)):
                self._look()
                shown = self._lines(at_most=max(console.height - 4, 1))
                live.update(Text(shown, no_wrap=True, overflow="ellipsis"), refresh=True)
        self._last()

    def _lines(self, at_most: int) -> str:
        """Some of the running stages, and the sweep."""
        running = [f"  {stage}" for stage in self._sweep.running[:at_most]]
        return "\n".join([*running, self._line()])

    def _plain(self) -> None:
        told, quiet = self._before, WAITING_S
        while not self._closed.wait(pause := self._pause(self._every_s)):
            self._look()
            quiet += pause
            if len(self._sweep.done) > told:
                told, quiet = len(self._sweep.done), 0.0
                print(self._line(), file=self._stream, flush=True)
            elif self._sweep.waiting and quiet >= WAITING_S:
                quiet = 0.0
                print(*self._sweep.waiting[:SHOWN], sep="\n", file=self._stream, flush=True)
        self._last()

    def _last(self) -> None:
        self._look()
        print(self._line(), file=self._stream, flush=True)

    def _look(self) -> None:
        began = time.monotonic()
        try:
            self._sweep.look()
        except OSError as error:  # a result replaced, a worker's folder gone while we looked
            log.debug("no look at the store: %s", error)
        self._took = time.monotonic() - began

    def _pause(self, at_least: float) -> float:
        """Seconds until the next look."""
        return max(at_least, SHARE * self._took)

    def _line(self) -> str:
        sweep = self._sweep
        line = f"stages {len(sweep.done)}/{len(sweep.stages)} done"
        if sweep.running:
            line += f", {len(sweep.running)} running"
        line += f", {clock(time.time() - self._started)} elapsed"
        if sweep.left is not None:
            line += f", about {clock(sweep.left)} left"
        return line


def clock(seconds: float) -> str:
    """A time as a clock shows it: 1:05, or 2:03:40."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"
