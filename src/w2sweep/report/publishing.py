"""From a sweep's folder to tables, figures and one self-contained page."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from w2sweep.engine.files import write_text
from w2sweep.report.climb import climb_records, climbs
from w2sweep.report.csv_files import cell_records, summary_records, write_csv
from w2sweep.report.drawing import Drawing
from w2sweep.report.summary import SummaryRow, medians, summarize
from w2sweep.results.cell import Failed, SkippedCell
from w2sweep.results.sweep_folder import SweepFolder, Unreadable, read_sweep

DRAFT = ".report."


@dataclass(frozen=True)
class Report:
    """What a report says and where it lies."""

    sweep: SweepFolder
    summary: Sequence[SummaryRow]
    figures: Sequence[Path]
    """PNG files; an SVG of the same name lies beside each."""
    page: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The summary, as in summary.csv."""
        return summary_records(self.summary)

    @property
    def failures(self) -> Sequence[Failed | Unreadable]:
        """The cells that failed, or cannot be read."""
        return self.sweep.failures

    @property
    def skipped(self) -> Sequence[SkippedCell]:
        """The cells that had nothing to run."""
        return self.sweep.skipped


def report(sweep: Path) -> Report:
    """Writes `report/` into a sweep's folder: cells.csv, summary.csv, figures (PNG, SVG) and
    index.html; climb.csv too where there are three rungs to climb.

    Each file appears whole, and those of an earlier report go. Raises ConfigError where the folder
    is no sweep, or no cell of it has finished.
    """
    cells = read_sweep(sweep)
    rows = summarize(cells)
    rows = [*medians(rows), *rows]
    folder = sweep / "report"
    with _drafting(sweep) as draft:
        drawings = _write(cells, rows, draft)
        _replace(folder, draft)
    return Report(cells, rows, [folder / d.png.name for d in drawings], folder / "index.html")


@contextmanager
def _drafting(sweep: Path) -> Iterator[Path]:
    """A hidden folder beside the report, locked while it is in use; those that killed processes
    left behind go."""
    for folder in sweep.glob(f"{DRAFT}*"):
        with _locked(folder) as abandoned:
            if abandoned:
                shutil.rmtree(folder, ignore_errors=True)
    with TemporaryDirectory(prefix=DRAFT, dir=sweep) as made, _locked(Path(made)):
        yield Path(made)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Holds a folder's lock, which ends with the process; False where another one has it, where
    the folder is gone, and where the file system knows no locks."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        yield _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _write(cells: SweepFolder, rows: Sequence[SummaryRow], folder: Path) -> list[Drawing]:
    """Writes all files of a report into a folder; returns the figures."""
    from w2sweep.report.figures import draw
    from w2sweep.report.sweep_page import sweep_page

    climbed = climbs(cells)
    write_csv(folder / "cells.csv", cell_records(cells))
    write_csv(folder / "summary.csv", summary_records(rows))
    if climbed:
        write_csv(folder / "climb.csv", climb_records(climbed))
    drawings = draw(rows, cells.ladders, folder)
    write_text(folder / "index.html", sweep_page(cells, rows, climbed, drawings))
    return drawings


def _replace(folder: Path, new: Path) -> None:
    """Puts a whole report in the place of the last one, file by file: a reader never meets half of
    one, and another process that reports the same sweep does not meet this one."""
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


def _notes(made: Report) -> list[str]:
    notes = [f"failed   {failure.title}: {failure.reason}" for failure in made.failures]
    if made.skipped:
        reasons = dict.fromkeys(cell.skipped for cell in made.skipped)
        first, *others = reasons
        more = ", ..." if others else ""
        notes.append(f"skipped  {len(made.skipped)} cells: {first}{more}")
    if made.sweep.pending:
        notes.append(f"missing  {len(made.sweep.pending)} cells have no result yet")
    if made.sweep.earlier:
        cells = f"{len(made.sweep.earlier)} cells of an earlier run under this name"
        notes.append(f"earlier  {cells} are left out")
    return [*notes, f"report   {made.page}"]
