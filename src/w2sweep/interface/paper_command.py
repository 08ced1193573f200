"""`w2sweep-paper`: every sweep of the paper's figures, and one page of them."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from w2sweep.engine.stage import closure
from w2sweep.interface.console import WRONG, answering, say, tell_version
from w2sweep.values import ConfigError

NAME = "w2sweep-paper"
DESCRIPTION = """Runs the sweeps that make the figures of Burns et al. 2023, one after the other,
and writes one page of them to outputs/paper: each figure beside what the paper found, what was
measured here, and whether they agree.

  w2sweep-paper                              in the lab; what is there is not computed again
  w2sweep-paper seed=0,1                     overrides go to every sweep
  w2sweep-paper --only saliency,agreement    some of them; the page shows all that are there"""
EXIT_CODES = "Exit code: 0; 1 where a cell has no result; 2 where the configuration is wrong."
SWEEPS, FOLDER = Path("outputs/sweeps"), Path("outputs/paper")


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns 1 where a cell of a sweep has no result, else 0; exits with 2
    where the configuration is wrong, before anything is run."""
    with answering(NAME):
        asked = _asked(arguments)
        names = _chosen(asked.only)
        _check(names, asked.overrides)
        codes = [_run(name, asked.overrides) for name in names]
        _write()
    return max(codes)


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        NAME,
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as of w2sweep")
    parser.add_argument("--only", metavar="SWEEP,...", help="run these sweeps alone")
    tell_version(parser)
    return parser.parse_intermixed_args(arguments)


def _chosen(only: str | None) -> list[str]:
    """The sweeps to run, in the order of the paper."""
    from w2sweep.report.paper import FINDINGS

    names = list(dict.fromkeys(finding.sweep for finding in FINDINGS))
    if only is None:
        return names
    asked = [name.strip() for name in only.split(",")]
    for name in asked:
        if name not in names:
            raise ConfigError(f"--only: found '{name}', expected some of {', '.join(names)}")
    return [name for name in names if name in asked]


def _check(names: Sequence[str], overrides: Sequence[str]) -> None:
    """Plans all sweeps, so that what is wrong with one shows before any is run, and says how much
    there is to do."""
    from w2sweep.interface.composing import planned_by

    for override in overrides:
        if override.partition("=")[0].lstrip("+~") in ("sweep", "hydra.sweep.dir"):
            raise ConfigError(f"{override}: each sweep of the paper has its own name and folder")
    planned = [p for name in names for p in planned_by(name, overrides)]
    stages = [stage for p in planned if p.cell for stage in p.cell.stages]
    distinct = len(closure(tuple(stages)))
    say(NAME, f"{len(planned)} cells in {', '.join(names)}; {distinct} distinct stages")


def _run(name: str, overrides: Sequence[str]) -> int:
    """Runs a sweep in a process of its own. Returns its exit code; ends with it where the user
    interrupts or the machine cannot do what is asked for."""
    say(NAME, f"w2sweep -cn {name} {' '.join(overrides)}".rstrip())
    code = subprocess.run([sys.executable, "-m", "w2sweep", "-cn", name, *overrides]).returncode
    if code in (0, 1):
        return code
    sys.exit(code if code >= WRONG else 1)  # below zero: ended by a signal


def _write() -> None:
    from w2sweep.report.paper import FINDINGS, write_paper

    print(f"page     {write_paper(FINDINGS, SWEEPS, FOLDER)}")
