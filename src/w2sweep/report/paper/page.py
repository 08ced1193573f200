"""The page: a section for each finding, in the order of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w2sweep.engine.files import write_text
from w2sweep.report.csv_files import write_csv
from w2sweep.report.drawing import Drawing
from w2sweep.report.medians import medians
from w2sweep.report.paper.finding import Finding, Judged
from w2sweep.report.summary import summarize
from w2sweep.results.intervals import Estimate
from w2sweep.results.sweep_folder import SweepFolder, read_sweep
from w2sweep.values import ConfigError

PAGE = "index.html"


@dataclass(frozen=True)
class Section:
    """What a page shows of a finding."""

    finding: Finding
    drawings: Sequence[Drawing]
    judged: Sequence[Judged]
    sweep: SweepFolder | None
    missing: str = ""
    """Why there is nothing to show."""

    @property
    def seeds(self) -> list[int]:
        """The seeds that its numbers are over."""
        return sorted({r.seed for r in self.sweep.results}) if self.sweep else []


def write_paper(findings: Sequence[Finding], sweeps: Path, folder: Path) -> Path:
    """Writes the page of the sweeps in the folder `sweeps` into `folder`: index.html, its figures,
    findings.csv and findings.md. Returns the page. A sweep that is not there is told as such."""
    from w2sweep.report.templates import inlined, render

    folder.mkdir(parents=True, exist_ok=True)
    sections = [_section(finding, sweeps / finding.sweep, folder) for finding in findings]
    write_csv(folder / "findings.csv", _records(sections))
    write_text(folder / "findings.md", markdown(sections))
    figures = {of.finding.title: inlined(of.drawings, f"{of.finding.sweep}-") for of in sections}
    fields = {"sections": sections, "drawn": figures, "numbers": numbers}
    write_text(folder / PAGE, render("paper.html", [], **fields))
    return folder / PAGE


def _section(finding: Finding, sweep: Path, folder: Path) -> Section:
    try:
        cells = read_sweep(sweep)
    except ConfigError as error:
        return Section(finding, [], [], None, str(error))
    judged = [claim.judged(cells) for claim in finding.claims]
    return Section(finding, _drawn(finding, cells, folder / finding.sweep), judged, cells)


def _drawn(finding: Finding, cells: SweepFolder, folder: Path) -> list[Drawing]:
    """The finding's figures, drawn into a folder of their own, for sweeps have some of the same
    name."""
    from w2sweep.report.figures import draw

    folder.mkdir(exist_ok=True)
    rows = summarize(cells)
    return draw([*medians(rows), *rows], cells.ladders, folder, finding.figures)


def numbers(judged: Judged) -> str:
    """What was measured, task by task: `sentiment +3.2 [+1.7, +4.6]; contrast ...`."""
    known = [f"{task} {told(found)}" for task, found in judged.found.items()]
    missing = [f"nothing on {', '.join(judged.missing)}"] if judged.missing else []
    return "; ".join([*known, *missing])


def told(found: Estimate) -> str:
    """A signed number with its interval, in as many digits as say something, and whether it is of
    one seed alone."""
    if found.value is None:
        return "undefined"
    bounds = (found.low, found.high)
    largest = max(abs(x) for x in (found.value, *bounds) if x is not None)
    digits = 1 if largest >= 2 else 2 if largest >= 0.1 else 3
    value = _signed(found.value, digits)
    if found.low is None or found.high is None:
        return f"{value} ({'one seed, ' if found.one_seed else ''}no interval)"
    interval = f"{value} [{_signed(found.low, digits)}, {_signed(found.high, digits)}]"
    return f"{interval} (one seed)" if found.one_seed else interval


def _signed(number: float, digits: int) -> str:
    return f"{number:+z.{digits}f}".replace("-", "−")


def markdown(sections: Sequence[Section]) -> str:
    """A table of all claims, as a document may include it."""
    lines = ["| sweep | what the paper found to be above or below zero | measured | verdict |"]
    lines.append("|---|---|---|---|")
    for section in sections:
        for judged in section.judged:
            says = f"{judged.claim.says} ({'> 0' if judged.claim.sign > 0 else '< 0'})"
            cells = (f"`{section.finding.sweep}`", says, numbers(judged), judged.verdict)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _records(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """For findings.csv, a line for each claim and task."""
    return [
        _record(section, judged, task)
        for section in sections
        for judged in section.judged
        for task in judged.found
    ]


def _record(section: Section, judged: Judged, task: str) -> dict[str, Any]:
    found = judged.found[task]
    return {
        "sweep": section.finding.sweep,
        "claim": judged.claim.says,
        "expected": "above 0" if judged.claim.sign > 0 else "below 0",
        "task": task,
        "value": found.value,
        "se": found.se,
        "low": found.low,
        "high": found.high,
        "one_seed": found.one_seed,
        "verdict": judged.verdict,
        "seeds": " ".join(map(str, section.seeds)),
    }
