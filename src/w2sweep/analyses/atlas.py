"""`w2sweep-lab`: pictures of a world, and of the ladder that has read it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from w2sweep.analyses.atlas_page import Chart, draw
from w2sweep.engine.progress import Watch
from w2sweep.engine.stage import Stage, closure
from w2sweep.engine.store import StageFailed, Store
from w2sweep.experiment.setting import Setting
from w2sweep.interface.explaining import mendable, one_line
from w2sweep.values import ConfigError

DESCRIPTION = """Pictures of the lab: samples of what is read, held-out losses along the ladder, what each rung knows.

  w2sweep-lab seed=0,1,2                       the world that the text tasks ask about
  w2sweep-lab task=mate_in_one seed=0,1,2      chess
  w2sweep-lab ladder=lab_thorough              another ladder

Takes the overrides of w2sweep; seeds are averaged. Rungs that were pretrained before, by any sweep, are not pretrained
again. Everything goes to outputs/lab/LADDER-CORPUS, or to outputs/lab/NAME with sweep=NAME: open index.html."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns 1 where a stage failed, 2 where the configuration is wrong."""
    parser = argparse.ArgumentParser(
        "w2sweep-lab", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as of w2sweep")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes that train side by side"
    )
    asked = parser.parse_args(arguments)
    if asked.workers < 1:
        parser.error(f"--workers {asked.workers}: expected at least 1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as for the workers of w2sweep
    try:
        print(_atlas(asked.overrides, asked.workers))
    except KeyboardInterrupt:
        return _say("interrupted: run the same command again, which goes on from here", 130)
    except (StageFailed, BrokenProcessPool) as failure:
        return _say(str(failure), 1)
    except Exception as error:
        if not mendable(error):
            raise
        return _say(one_line(error), 2)
    return 0


def _say(line: str, code: int) -> int:
    print(f"w2sweep-lab: {line}", file=sys.stderr)
    return code


def _atlas(overrides: Sequence[str], workers: int) -> Path:
    from w2sweep.interface.command import requested
    from w2sweep.sweep.sweep import open_store

    requests = requested(overrides)
    settings = [r.setting for r in requests]
    s = settings[0]
    name = (
        requests[0].sweep
        or f"{s.ladder.name}-{type(s.ladder.reads(s.task.corpus)).__name__.lower()}"
    )
    return atlas(settings, open_store(requests[0], name), Path("outputs/lab") / name, workers)


def atlas(settings: Sequence[Setting], store: Store, folder: Path, workers: int = 1) -> Path:
    """Makes sure of all that is drawn, draws it into `folder`, and returns the page.

    `settings` differ in the seed alone. Raises ConfigError where they do not, or where their ladder is not pretrained
    here.
    """
    worlds = [Chart.of(setting) for setting in settings]
    _check(worlds)
    stages = sorted(
        (p for w in worlds for p in w.pretrained.values()), key=lambda p: -p.backbone.compute
    )
    ensure(store, [*stages, *(f for w in worlds for f in w.probed)], workers)
    folder.mkdir(parents=True, exist_ok=True)
    return draw(worlds, store, folder)


def _check(worlds: Sequence[Chart]) -> None:
    seeds = [w.setting.seed for w in worlds]
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise ConfigError(
            f"found several worlds of seed {twice[0]}, expected one: let nothing vary but the seed"
        )


def ensure(store: Store, stages: Sequence[Stage], workers: int) -> None:
    """Computes what is missing, in so many processes, which share the work through the store's leases."""
    todo = closure(tuple(stages), known=store.done)
    if not todo:
        return
    with Watch(
        {s.name: str(s) for s in todo}, store.root, store.since if store.mode == "force" else 0.0
    ):
        if workers == 1:
            store.ensure(*stages)
            return
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            for worker in [pool.submit(store.ensure, *stages) for _ in range(workers)]:
                worker.result()
