"""`w2sweep-report`: the report of a sweep, drawn again."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from w2sweep.interface.console import answering, tell_version
from w2sweep.interface.keeping import tracked_at
from w2sweep.report import report, show
from w2sweep.report.wandb_report import send

NAME = "w2sweep-report"
DESCRIPTION = """Writes a sweep's report: DIR/report/index.html (one page, readable offline),
figures as PNG and SVG, summary.csv (over seeds), cells.csv (cell by cell) and, of three rungs or
more, climb.csv (rung by rung)."""
EXIT_CODES = (
    "Exit code: 0; 1 if cells have failed; 2 if DIR is no sweep or no cell of it has finished."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns 1 where cells have failed, else 0; exits with 2 where there is
    nothing to report."""
    parser = argparse.ArgumentParser(NAME, description=DESCRIPTION, epilog=EXIT_CODES)
    says = "the sweep's folder, outputs/sweeps/<name>"
    parser.add_argument("sweep", type=Path, metavar="DIR", help=says)
    tell_version(parser)
    says = "also make a report in Weights & Biases, of the sweep's runs there, and tell its address"
    parser.add_argument("--wandb-report", action="store_true", help=says)
    words = parser.parse_args(arguments)
    with answering(NAME):
        made = report(words.sweep)
        show(made)
        if words.wandb_report:
            print(f"W&B      {send(words.sweep, *tracked_at(words.sweep))}")
    return 1 if made.failures else 0
