"""From a sweep's folder to tables, figures and one self-contained page: `w2sweep-report outputs/sweeps/<name>`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from w2sweep.report import climb
from w2sweep.report.summary import SummaryRow, cell_records, medians, records, summarize, write_csv
from w2sweep.results.sweep_folder import Failed, Skipped, Sweep, Unreadable, read_sweep
from w2sweep.values import ConfigError

DESCRIPTION = """Writes a sweep's report: DIR/report/index.html (one page, readable offline), figures as PNG and SVG,
summary.csv (over seeds), cells.csv (cell by cell) and, of three rungs or more, climb.csv (rung by rung)."""
EXIT_CODES = (
    "Exit code: 0; 1 if cells have failed; 2 if DIR is no sweep or no cell of it has finished."
)


@dataclass(frozen=True)
class Report:
    """What a report says and where it lies."""

    sweep: Sweep
    summary: Sequence[SummaryRow]
    figures: Sequence[Path]
    """PNG files; an SVG of the same name lies beside each."""
    page: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The summary, as in summary.csv."""
        return records(self.summary)

    @property
    def failures(self) -> Sequence[Failed | Unreadable]:
        return self.sweep.failures

    @property
    def skipped(self) -> Sequence[Skipped]:
        return self.sweep.skipped


def report(sweep: Path) -> Report:
    """Writes `report/` into a sweep's folder: cells.csv, summary.csv, figures (PNG, SVG) and index.html; climb.csv too
    where there are three rungs to climb. Each file appears whole, and those of an earlier report go.

    Raises ConfigError where the folder is no sweep, or no cell of it has finished.
    """
    from w2sweep.report.figures import draw
    from w2sweep.report.page import render

    cells = read_sweep(sweep)
    rows = summarize(cells)
    rows = [*medians(rows), *rows]
    climbed = climb.climbs(cells)
    folder = sweep / "report"
    with TemporaryDirectory(prefix=".report.", dir=sweep) as made:
        new = Path(made)
        write_csv(new / "cells.csv", cell_records(cells))
        write_csv(new / "summary.csv", records(rows))
        if climbed:
            write_csv(new / "climb.csv", climb.records(climbed))
        drawings = draw(rows, cells.ladders, new)
        (new / "index.html").write_text(render(cells, rows, climbed, drawings), encoding="utf-8")
        _replace(folder, new)
    return Report(cells, rows, [folder / d.png.name for d in drawings], folder / "index.html")


def _replace(folder: Path, new: Path) -> None:
    """Puts a whole report in the place of the last one, file by file: a reader never meets half of one, and another
    process that reports the same sweep does not meet this one."""
    folder.mkdir(exist_ok=True)
    files = {file.name: file for file in new.iterdir()}
    for old in (*folder.glob("*.png"), *folder.glob("*.svg"), folder / "climb.csv"):
        if old.name not in files:
            old.unlink(missing_ok=True)
    for name, file in files.items():
        file.replace(folder / name)


def show(made: Report) -> None:
    """Prints the summary table, what failed, and where the page lies."""
    from rich.console import Console

    from w2sweep.report.table import terminal_table

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # a log has no width, and a folded table is unreadable in it
    console.print(terminal_table(made.summary, console))
    for line in _notes(made):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command: returns 0, 1 where cells have failed, or 2 where there is nothing to report."""
    parser = argparse.ArgumentParser("w2sweep-report", description=DESCRIPTION, epilog=EXIT_CODES)
    parser.add_argument(
        "sweep", type=Path, metavar="DIR", help="the sweep's folder, outputs/sweeps/<name>"
    )
    try:
        made = report(parser.parse_args(argv).sweep)
    except ConfigError as error:
        print(f"w2sweep-report: {error}", file=sys.stderr)
        return 2
    try:
        show(made)
        sys.stdout.flush()
    except BrokenPipeError:  # of `| head`, and not to be said again when Python closes the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1 if made.failures else 0


def _notes(made: Report) -> list[str]:
    failed = [f"failed   {f.title}: {f.reason}" for f in made.failures]
    reasons = list(dict.fromkeys(s.skipped for s in made.skipped))
    more = ", ..." if len(reasons) > 1 else ""
    skipped = [f"skipped  {len(made.skipped)} cells: {reasons[0]}{more}"] if made.skipped else []
    pending = (
        [f"missing  {len(made.sweep.pending)} cells have no result yet"]
        if made.sweep.pending
        else []
    )
    return [*failed, *skipped, *pending, f"report   {made.page}"]
