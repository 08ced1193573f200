"""`w2sweep-lab`: pictures of a world, and of the ladder that has read it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from w2sweep.engine.failures import StageFailed
from w2sweep.interface.console import answering, say, tell_version

NAME = "w2sweep-lab"
DESCRIPTION = """Pictures of the lab: samples of what is read, held-out losses along the ladder,
what each rung knows.

  w2sweep-lab seed=0,1,2                       the world that the text tasks ask about
  w2sweep-lab task=mate_in_one seed=0,1,2      chess
  w2sweep-lab ladder=lab_thorough              another ladder

Takes the overrides of w2sweep; seeds are averaged. Rungs that were pretrained before, by any sweep,
are not pretrained again. Everything goes to outputs/lab/LADDER-CORPUS, or to outputs/lab/NAME with
sweep=NAME: open index.html."""
FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns 1 where a stage failed, else 0; exits with 2 where the
    configuration is wrong."""
    asked = _asked(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as for the workers of w2sweep
    with answering(NAME):
        try:
            print(draw(asked.overrides, asked.workers))
        except StageFailed as failure:
            say(NAME, str(failure))
            return FAILED
    return 0


def draw(overrides: Sequence[str], workers: int) -> Path:
    """Draws what the overrides ask for, and returns the page."""
    from w2sweep.analyses.atlas import atlas
    from w2sweep.interface.composing import requested
    from w2sweep.sweep.sweep import open_store

    requests = requested(overrides)
    settings = [r.setting for r in requests]
    ladder, task = settings[0].ladder, settings[0].task
    corpus = type(ladder.reads(task.corpus)).__name__.lower()
    name = requests[0].sweep or f"{ladder.name}-{corpus}"
    return atlas(settings, open_store(requests[0], name), Path("outputs/lab") / name, workers)


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        NAME, description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as of w2sweep")
    cores, says = os.cpu_count() or 1, "processes that train side by side"
    parser.add_argument("--workers", type=int, default=cores, help=says)
    tell_version(parser)
    asked = parser.parse_args(arguments)
    if asked.workers < 1:
        parser.error(f"--workers {asked.workers}: expected at least 1")
    return asked
