"""Shows how far a sweep is while it runs: bars on a terminal, and elsewhere a line a minute."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from w2sweep.engine.paces import Loads, unknown
from w2sweep.engine.progress import clock
from w2sweep.engine.stage import Stage
from w2sweep.engine.standing import AtWork, Standing
from w2sweep.engine.store import Store

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

log = logging.getLogger(__name__)

SHARE = 10
"""Of the time, one part in so many may be spent on looking."""
SHOWN = 4
"""Of what runs, or has failed, how many are told in a line."""
LOOK_S = 10.0
"""Between two looks where there is no terminal."""


class Watch:
    """Shows on stderr how far a sweep is while the context is open, whatever workers it has on
    whatever machines. It only looks, and whatever it meets, the sweep goes on.

    On a terminal each worker that is at something has a bar, and so has the sweep. Elsewhere there
    is a line a minute, which says what runs and how far it is; in the first minute also when
    stages were finished. Either way a failure is told once it is there, and a last line at the end.

    Args:
        stages: what to wait for, inputs before their readers.
        store: where they are.
        workers: how many there are; None: that is for a cluster to say.
        loads: what stages have to do, for how long they take.
        every_s: seconds between two lines.
        stream: what to write to, instead of stderr.
    """

    def __init__(
        self,
        stages: Sequence[Stage[Any]],
        store: Store,
        workers: int | None = None,
        loads: Loads = unknown,
        every_s: float = 60.0,
        stream: TextIO | None = None,
    ):
        self.standing = Standing(stages, store, workers, loads)
        self._every_s, self._stream = every_s, stream or sys.stderr
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._started = time.time()
        self._took = 0.0
        self._told = set[str]()
        """Names of the failures that were told."""

    def __enter__(self) -> Watch:
        self.look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join(timeout=5)

    def look(self) -> None:
        """Looks at the store."""
        began = time.monotonic()
        try:
            self.standing.look()
        except OSError as error:  # a result replaced, a worker's folder gone while we looked
            log.debug("no look at the store: %s", error)
        self._took = time.monotonic() - began

    def _show(self) -> None:
        try:
            if self._stream.isatty():
                self._live()
            else:
                self._plain()
            self.look()
            self._say(*self._failures(), self.line())
        except Exception:  # a closed terminal, no file system: no reason to stop a sweep
            log.debug("progress is not shown any more", exc_info=True)

    def _plain(self) -> None:
        done, said = len(self.standing.done), time.time()
        while not self._closed.wait(self._pause(min(LOOK_S, self._every_s))):
            self.look()
            self._say(*self._failures())
            now, found = time.time(), len(self.standing.done)
            early = now - self._started <= self._every_s and found > done
            if early or now - said >= self._every_s:
                done, said = found, now
                self._say(self._whole_line())

    def _live(self) -> None:
        with _bars(self._stream) as bars:
            drawn: list[TaskID] = []
            while not self._closed.wait(self._pause(1.0)):
                self.look()
                for failure in self._failures():
                    bars.console.print(failure, markup=False, highlight=False)
                self._draw(bars, drawn)
                bars.refresh()

    def _draw(self, bars: Bars, drawn: list[TaskID]) -> None:
        """A bar for each worker that is at something, as far as there is room, and the sweep's."""
        while drawn:
            bars.remove_task(drawn.pop())
        at = self.standing
        for call in at.running[: max(bars.console.height - 4, 1)]:
            told = call[0].said
            step, steps = (told.step, told.steps) if told else (0, None)
            text = _told(call[0])
            drawn.append(bars.add_task(_called(call), total=steps, completed=step, said=text))
        said = self.line().partition(", ")[-1]
        done, of = len(at.done), len(at.stages)
        drawn.append(bars.add_task(f"stages {done}/{of}", total=of, completed=done, said=said))

    def _failures(self) -> list[str]:
        """What has failed since it was asked last, a line each."""
        new = [name for name in self.standing.failed if name not in self._told]
        self._told.update(new)
        lines = [str(self.standing.failed[name]) for name in new[:SHOWN]]
        return [*lines, f"{len(new) - SHOWN} more failed"] if len(new) > SHOWN else lines

    def _whole_line(self) -> str:
        """How far the sweep is, and what workers are at."""
        running = self.standing.running
        calls = [f"{_called(call)} {_told(call[0])}".rstrip() for call in running[:SHOWN]]
        more = [f"and {len(running) - SHOWN} more"] if len(running) > SHOWN else []
        return "; ".join([self.line(), *calls, *more])

    def _say(self, *lines: str) -> None:
        if lines:
            print(*lines, sep="\n", file=self._stream, flush=True)

    def _pause(self, at_least: float) -> float:
        """Seconds until the next look."""
        return max(at_least, SHARE * self._took)

    def line(self) -> str:
        """How far the sweep is, in a line."""
        at = self.standing
        running = sum(map(len, at.running))
        counts = {"failed": len(at.failed), "running": running}
        said = [f"stages {len(at.done)}/{len(at.stages)} done"]
        said += [f"{n} {state}" for state, n in counts.items() if n]
        said.append(f"{clock(time.time() - self._started)} elapsed")
        if at.left is not None and (at.running or at.left):
            said.append(f"about {clock(at.left)} left")
        return ", ".join(said)


def _called(call: Sequence[AtWork]) -> str:
    """The stages that a worker is at, by the first of them."""
    return f"{call[0].stage} (+{len(call) - 1})" if len(call) > 1 else str(call[0].stage)


def _told(running: AtWork) -> str:
    """How far a stage is, and in whose hands, where that is a worker of another machine."""
    said = [str(running.said)] if running.said else []
    return ", ".join([*said, str(running.by)] if running.elsewhere else said)


def _bars(stream: TextIO) -> Bars:
    """Bars that vanish at their end; what is printed meanwhile scrolls by above them, unless stdout
    goes elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    said = TextColumn("{task.fields[said]}", markup=False, table_column=Column(no_wrap=True))
    return Progress(
        name,
        BarColumn(bar_width=24),
        said,
        console=Console(file=stream),
        auto_refresh=False,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )
