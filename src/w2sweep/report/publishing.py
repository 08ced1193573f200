"""From a sweep's folder to tables, figures and one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from w2sweep.engine.files import half_written, sweep_up, write_text
from w2sweep.report.best_of_told import best_of_records
from w2sweep.report.climb import climb_records, climbs
from w2sweep.report.csv_files import cell_records, summary_records, write_csv
from w2sweep.report.difficulty_csv import difficulty_records
from w2sweep.report.drawing import Drawing
from w2sweep.report.medians import medians
from w2sweep.report.outcomes import outcomes
from w2sweep.report.summary import SummaryRow, summarize
from w2sweep.report.transfer import transfer
from w2sweep.report.zoo import zoo
from w2sweep.results.cell import Failed, SkippedCell
from w2sweep.results.sweep_folder import SweepFolder, Unreadable, read_sweep

FAR = 0.02
"""By how much of itself a model's number of parameters may differ from what its ladder says."""
NOT_ALWAYS = (
    "best_of_n.csv",
    "climb.csv",
    "difficulty.csv",
    "transfer.csv",
    "transfer_laws.csv",
    "zoo.csv",
)
"""Tables that only some sweeps have."""


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
    index.html; climb.csv too where there are three rungs to climb, difficulty.csv where accuracies
    are told by difficulty, best_of_n.csv where replies are chosen, transfer.csv and
    transfer_laws.csv where language models are compared, and zoo.csv where there are many methods
    besides naive.

    Each file appears whole, and those of an earlier report go. Raises ConfigError where the folder
    is no sweep, or no cell of it has finished.
    """
    cells = read_sweep(sweep)
    rows = summarize(cells)
    rows = [*medians(rows), *rows]
    folder = sweep / "report"
    sweep_up(sweep)
    with TemporaryDirectory(prefix=half_written("report"), dir=sweep) as made:
        drawings = _write(cells, rows, Path(made))
        _replace(folder, Path(made))
    return Report(cells, rows, [folder / d.png.name for d in drawings], folder / "index.html")


def _write(cells: SweepFolder, rows: Sequence[SummaryRow], folder: Path) -> list[Drawing]:
    """Writes all files of a report into a folder; returns the figures."""
    from w2sweep.report.figures import draw
    from w2sweep.report.sweep_page import sweep_page

    climbed = climbs(cells)
    write_csv(folder / "cells.csv", cell_records(cells))
    write_csv(folder / "summary.csv", summary_records(rows))
    if graded := difficulty_records(rows):
        write_csv(folder / "difficulty.csv", graded)
    if chosen := best_of_records(rows):
        write_csv(folder / "best_of_n.csv", chosen)
    if climbed:
        write_csv(folder / "climb.csv", climb_records(climbed))
    transferred = transfer(rows)
    if transferred:
        write_csv(folder / "transfer.csv", transferred.records)
        write_csv(folder / "transfer_laws.csv", transferred.law_records)
    if many := zoo(rows):
        write_csv(folder / "zoo.csv", many.records)
    drawings = draw(rows, cells.ladders, folder)
    page = sweep_page(cells, rows, climbed, transferred, drawings)
    write_text(folder / "index.html", page)
    return drawings


def _replace(folder: Path, new: Path) -> None:
    """Puts a whole report in the place of the last one, file by file: a reader never meets half of
    one, and another process that reports the same sweep does not meet this one."""
    folder.mkdir(exist_ok=True)
    files = {file.name: file for file in new.iterdir()}
    drawn = (*folder.glob("*.png"), *folder.glob("*.svg"))
    for old in (*drawn, *(folder / name for name in NOT_ALWAYS)):
        if old.name not in files:
            old.unlink(missing_ok=True)
    for name, file in files.items():
        file.replace(folder / name)


def show(made: Report) -> None:
    """Prints the summary table, what came out, what failed, and where the page lies."""
    from rich.console import Console

    from w2sweep.report.table import terminal_table

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)  # a log has no width, and a folded table is unreadable in it
    console.print(terminal_table(made.summary, console))
    for line in _notes(made):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _notes(made: Report) -> list[str]:
    notes = [f"found    {said.family}: {said.sentence}" for said in outcomes(made.summary)]
    notes += [f"failed   {failure.title}: {failure.reason}" for failure in made.failures]
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
    notes += _miscounted(made.sweep)
    return [*notes, f"report   {made.page}"]


def _miscounted(sweep: SweepFolder) -> list[str]:
    """The rungs whose ladder says another number of parameters than the model's own
    configuration: axes of figures are wrong by as much."""
    found = []
    for ladder, rungs in sweep.ladders.items():
        for name, rung in rungs.items():
            told = rung.parameters or rung.size
            if rung.counted and abs(told / rung.counted - 1) > FAR:
                says = f"ladder {ladder} says {told:,} parameters of {name}"
                found.append(f"sizes    {says}, its config.json makes {rung.counted:,}")
    return found
