"""The page of a world and its ladder, with its figures and its numbers: all read from results that
are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from w2sweep.analyses.heldout_losses import HeldOutLosses
from w2sweep.analyses.knowledge import UNTRAINED, Bin, bin_records, overall
from w2sweep.analyses.power_law import Scaling
from w2sweep.analyses.read_ladder import ReadLadder
from w2sweep.analyses.samples import Samples, plain, samples
from w2sweep.engine.files import write_text
from w2sweep.engine.store import Store
from w2sweep.experiment.backbone import SmallLlama
from w2sweep.experiment.ladder import Rung
from w2sweep.report.csv_files import write_csv
from w2sweep.report.drawing import Drawing

HEADINGS = ("rung", "width × layers", "parameters", "tokens", "FLOPs", "held-out loss")


def write_page(ladders: Sequence[ReadLadder], store: Store, folder: Path) -> Path:
    """Writes the page, its figures and its numbers into `folder`, and returns the page.

    All results must be in the store. `ladders` differ in the seed alone.
    """
    from w2sweep.report.templates import render

    losses = HeldOutLosses.of(ladders, store)
    laws = {axis: Scaling.of(losses, axis) for axis in ("parameters", "compute")}
    bins = [b for ladder in ladders for b in ladder.bins(store)]
    shown = samples(ladders[0].corpus, ladders[0].setting.task)
    _write_numbers(folder, losses, list(filter(None, laws.values())), bins, shown)
    drawings = _draw(ladders[0], losses, laws, bins, folder)
    fields = {"name": folder.name, "fitted": any(laws.values()), "samples": shown}
    page = render("atlas.html", drawings, **fields, **_ladder(ladders[0], losses, _known(bins)))
    write_text(folder / "index.html", page)
    return folder / "index.html"


def _ladder(
    ladder: ReadLadder, losses: HeldOutLosses, known: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    """What the page says of the ladder."""
    knows = [f"knows {kind} %" for kind in known]
    return {
        "ladder": ladder.setting.ladder.name,
        "corpus": type(ladder.corpus).__name__,
        "seeds": losses.seeds,
        "several": losses.spread is not None,
        "untrained": {kind: rungs[UNTRAINED] for kind, rungs in known.items()},
        "headings": [*HEADINGS, *knows],
        "rungs": list(_lines(ladder, losses, known)),
    }


def _draw(
    ladder: ReadLadder,
    losses: HeldOutLosses,
    laws: Mapping[str, Scaling | None],
    bins: Sequence[Bin],
    folder: Path,
) -> list[Drawing]:
    from w2sweep.analyses.atlas_figures import draw_knowledge, draw_losses

    drawings = [draw_losses(losses, laws, folder)]
    if bins:
        titles = {question.kind: question.title for question in ladder.questions}
        drawings.append(draw_knowledge(bins, titles, folder))
    return drawings


def _write_numbers(
    folder: Path,
    losses: HeldOutLosses,
    laws: Sequence[Scaling],
    bins: Sequence[Bin],
    shown: Sequence[Samples],
) -> None:
    write_csv(folder / "losses.csv", losses.records)
    if laws:
        write_csv(folder / "scaling.csv", [law.record for law in laws])
    if bins:
        write_csv(folder / "knowledge.csv", bin_records(bins))
    write_text(folder / "samples.txt", plain(shown))


def _known(bins: Sequence[Bin]) -> dict[str, dict[str, str]]:
    """Kind of words -> rung -> accuracy of the probe over all of them, in percent."""
    known: dict[str, dict[str, str]] = {}
    for kind, rung in dict.fromkeys((b.kind, b.rung) for b in bins):
        known.setdefault(kind, {})[rung] = _percent(overall(bins, kind, rung))
    return known


def _percent(values: Sequence[float]) -> str:
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def _lines(
    ladder: ReadLadder, losses: HeldOutLosses, known: Mapping[str, Mapping[str, str]]
) -> Iterator[list[str]]:
    """A line of text for each rung, under HEADINGS and the kinds of words."""
    for r, (name, rung) in enumerate(ladder.rungs.items()):
        spread = "" if losses.spread is None else f" ± {losses.spread[r]:.3f}"
        loss = f"{losses.mean[r]:.3f}{spread}"
        yield [name, *_facts(name, rung), loss, *(rungs[name] for rungs in known.values())]


def _facts(name: str, rung: Rung) -> tuple[str, str, str, str]:
    model: Any = rung.backbone(name)
    shape = f"{model.width} × {model.depth}" if isinstance(model, SmallLlama) else ""
    return shape, f"{rung.size:,.0f}", f"{rung.tokens_read:,.0f}", f"{rung.compute:.1e}"
