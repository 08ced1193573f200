"""Trackers: where the curves of stages, the numbers of cells and the reports of sweeps are shown
beside the files that w2sweep itself writes.

A tracker never asks and never fails a stage: what it cannot do is said in one line and then left.
"""

from __future__ import annotations

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from w2sweep.values import value

log = logging.getLogger(__name__)


class Writer(Protocol):
    """An open run of some tracker. It may raise whatever it likes."""

    @property
    def url(self) -> str:
        """Where a browser shows the run; empty where none does."""
        ...

    def log(self, values: Mapping[str, Any], step: int | None) -> None:
        """Adds values at a step."""
        ...

    def summarize(self, values: Mapping[str, Any]) -> None:
        """Says the numbers, and words, that the whole run came to."""
        ...

    def show(
        self, rows: Sequence[Mapping[str, Any]], figures: Sequence[Path], page: Path | None
    ) -> None:
        """Adds a table, PNG figures and an HTML page."""
        ...

    def finish(self, exit_code: int) -> None:
        """Closes the run; it has failed unless the code is 0."""
        ...


class Run:
    """An open run, or one that tracks nothing.

    Args:
        writer: what the tracker has opened; None where nothing is tracked.
        tracker: what messages call the tracker.
    """

    def __init__(self, writer: Writer | None = None, tracker: str = "the tracker"):
        self._writer, self._tracker = writer, tracker

    @property
    def url(self) -> str:
        """Where a browser shows the run; empty where none does, as of files on this machine."""
        if self._writer is not None:
            with self._tolerated("say where the run is"):
                return self._writer.url
        return ""

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Adds `values` at a step. W&B ignores them where the step is before the last one."""
        if self._writer is not None:
            with self._tolerated("log"):
                self._writer.log(values, step)

    def summarize(self, values: Mapping[str, Any]) -> None:
        """Says what the run came to; of no value (None) nothing is said."""
        if self._writer is not None:
            with self._tolerated("take the results"):
                self._writer.summarize({k: v for k, v in values.items() if v is not None})

    def show(
        self, rows: Sequence[Mapping[str, Any]], figures: Sequence[Path], page: Path | None
    ) -> None:
        """Adds a table, PNG figures and an HTML page."""
        if self._writer is not None:
            with self._tolerated("show the summary"):
                self._writer.show(rows, figures, page)

    def finish(self, exit_code: int = 0) -> None:
        """Closes the run and waits until what was logged is written, or uploaded."""
        if self._writer is not None:
            with self._tolerated("finish"):
                self._writer.finish(exit_code)

    @contextmanager
    def _tolerated(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._writer = None
            wrong = f"{self._tracker} could not {what} ({brief(error)})"
            warn(f"{wrong}: the rest of the run is not tracked")


@value
class Tracker(ABC):
    """Where runs go: one for each trained stage, one for each cell, one for a sweep of several."""

    @abstractmethod
    def run(
        self,
        *,
        id: str,
        name: str,
        group: str,
        job_type: str,
        tags: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
        live: bool = False,
    ) -> AbstractContextManager[Run]:
        """An open run, finished whatever happens; marked as failed where the block raises.

        A run opened again with the same `id`, as that of a resumed stage, goes on where it was.

        Args:
            id: tells it from all others of the project.
            name: what people call it.
            group: the sweep that it belongs to.
            job_type: what it is a run of: the role of a stage, `cell` or `summary`.
            tags: what it can be found by, beside those of all runs.
            config: what it can be filtered by: text and numbers, and what is nested.
            live: whether what it tells of is computed meanwhile, by this process.
        """

    @abstractmethod
    def place(self, sweep: str) -> list[str]:
        """Where the runs of a sweep are. The record of a stage that has a run says so."""

    def check(self) -> None:  # noqa: B027 (most have nothing to say)
        """Raises ConfigError where this machine lacks what the tracker needs."""

    def summary(
        self,
        *,
        sweep: str,
        rows: Sequence[Mapping[str, Any]],
        figures: Sequence[Path] = (),
        page: Path | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """The run of a whole sweep: its configuration, its table, its figures and its page."""
        about: dict[str, Any] = {"name": f"{sweep}: summary", "job_type": "summary"}
        config = {"sweep": sweep, "role": "summary", **(config or {})}
        id = "sweep-" + "".join(c if c.isalnum() or c in "_.-" else "-" for c in sweep)[:100]
        with self.run(id=id, group=sweep, config=config, **about) as run:
            run.show(rows, figures, page)


def brief(error: Exception) -> str:
    """An error in a line."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]


@functools.cache
def warn(message: str) -> None:
    """Warns of something, once in a process."""
    log.warning(message)
