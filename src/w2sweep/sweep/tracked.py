"""What a tracker is told of a sweep once it has run: a run for each cell, and runs for the stages
that the store had already. What was shown is not shown again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from w2sweep.engine.files import read_json, write_json
from w2sweep.engine.job import replay
from w2sweep.engine.record import facts
from w2sweep.engine.stage import Stage
from w2sweep.engine.store import Store
from w2sweep.engine.tracker import Tracker
from w2sweep.learning.curves import read_curves
from w2sweep.results.cell import Result
from w2sweep.results.sweep_folder import SHOWN
from w2sweep.sweep.joining import RUNS
from w2sweep.sweep.naming import numbers_of, run_of_cell, runs_of_stages
from w2sweep.sweep.plan import Planned

Finished = tuple[Planned, Result]


class Account:
    """What a sweep tells its tracker.

    Args:
        tracker: which it tells.
        sweep: its name.
        folder: where it is.
        say: tells the user a line.
    """

    def __init__(self, tracker: Tracker, sweep: str, folder: Path, say: Callable[[str], object]):
        self._tracker, self._sweep, self._folder, self._say = tracker, sweep, folder, say

    def prepare(self, planned: Sequence[Planned]) -> None:
        """Tells workers what the runs of their stages are called. Raises OSError where the folder
        cannot be written to."""
        write_json(self._folder / RUNS, runs_of_stages(planned))

    def settle(self, stages: Iterable[Stage[Any]], store: Store, cells: Iterable[Finished]) -> int:
        """Shows what is there and was not shown before: curves of stages, and how cells ended.
        Returns how many runs that were."""
        shown = self._shown()
        earlier = [s for s in stages if s.name not in shown["stages"] and store.done(s)]
        return self._show_stages(earlier, store, shown) + self._show_cells(cells, shown)

    def _show_stages(self, there: Sequence[Stage[Any]], store: Store, shown: Any) -> int:
        here = self._tracker.place(self._sweep)
        found = []
        for stage in there:
            folder = store.path(stage)
            tracked = facts(folder).get("tracked")
            if tracked != here and (rows := read_curves(folder)):
                found.append((stage, rows, tracked))
        if found:
            self._say(f"the tracker is given the curves of {len(found)} stages that were there")
        abouts = self._runs() if found else {}
        for stage, rows, tracked in found:
            about = abouts.get(stage.name, {})
            url = replay(stage, rows, tracked, self._tracker, self._sweep, about)
            shown["stages"].append(stage.name)
            shown["urls"][stage.name] = url
            self._keep(shown)
        return len(found)

    def _show_cells(self, cells: Iterable[Finished], shown: Any) -> int:
        """A run a cell: what it was, and what it came to. It is written at once and whole, when all
        is known, for the runs of its models are finished then, and others share them."""
        new = 0
        for p, result in cells:
            about, numbers = run_of_cell(p, result), numbers_of(result)
            said = _hash([about, numbers])
            if shown["cells"].get(p.folder) == said:
                continue
            config = {**about["config"], "sweep": self._sweep}
            how: dict[str, Any] = {"name": about["name"], "tags": about["tags"], "config": config}
            id = f"cell-{_hash([self._sweep, p.folder])}"
            with self._tracker.run(id=id, group=self._sweep, job_type="cell", **how) as run:
                run.summarize(numbers)
                shown["urls"][p.folder] = run.url
            shown["cells"][p.folder] = said
            new += 1
        if new:
            self._keep(shown)
        return new

    def _runs(self) -> Mapping[str, Any]:
        with suppress(OSError, ValueError):
            return read_json(self._folder / RUNS)
        return {}

    def _shown(self) -> dict[str, Any]:
        """What was shown at this very place, and where a browser shows it."""
        here = self._tracker.place(self._sweep)
        with suppress(OSError, ValueError, TypeError, KeyError):
            found = read_json(self._folder / SHOWN)
            if isinstance(found, list):  # of 0.1: the stages alone
                found = {"at": here, "stages": found, "cells": {}}
            if found["at"] == here:
                urls = dict(found.get("urls", {}))
                kept = {"stages": [*found["stages"]], "cells": dict(found["cells"])}
                return {"at": here, **kept, "urls": urls}
        return {"at": here, "stages": [], "cells": {}, "urls": {}}

    def _keep(self, shown: Any) -> None:
        write_json(self._folder / SHOWN, shown)


def _hash(said: Any) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
