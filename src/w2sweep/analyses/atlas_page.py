"""The page of a world and its ladder, with its figures and its numbers: all read from results that are there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from w2sweep.analyses.atlas import knowledge, samples
from w2sweep.analyses.knowledge import UNTRAINED, Bin, Question, questions
from w2sweep.analyses.power_law import Losses, Scaling
from w2sweep.engine.stage import Stage
from w2sweep.engine.store import Store
from w2sweep.experiment.ladder import HomegrownRung
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Adapt
from w2sweep.lab.text.world import World
from w2sweep.tasks.task import Corpus
from w2sweep.values import ConfigError


@dataclass(frozen=True)
class Chart:
    """A seed's world, and the ladder that reads it."""

    setting: Setting
    corpus: Corpus
    pretrained: dict[str, Adapt]
    questions: Sequence[Question]

    @staticmethod
    def of(setting: Setting) -> Chart:
        ladder, corpus = setting.ladder, setting.ladder.reads(setting.task.corpus)
        stages = {
            rung: setting.init(backbone)
            for rung, backbone in ladder.rungs.items()
            if backbone.pretrained
        }
        pretrained = {rung: stage for rung, stage in stages.items() if stage is not None}
        if len(pretrained) < len(ladder.rungs):
            raise ConfigError(
                f"ladder {ladder.name} has rungs that are not pretrained here: use lab or homegrown"
            )
        return Chart(
            setting, corpus, pretrained, questions(corpus) if isinstance(corpus, World) else []
        )

    @property
    def probed(self) -> list[Stage]:
        return [
            q.probed(self.setting, rung)
            for q in self.questions
            for rung in [*self.pretrained, UNTRAINED]
        ]

    def bins(self, store: Store) -> list[Bin]:
        """What each rung knows."""
        rungs = [*self.pretrained, UNTRAINED]
        return [
            b
            for q in self.questions
            for rung in rungs
            for b in q.answered(self.setting, rung, store)
        ]


def draw(worlds: Sequence[Chart], store: Store, folder: Path) -> Path:
    """The page, its figures and its numbers, of results that are all there."""
    from w2sweep.analyses.atlas_figures import draw_knowledge, draw_losses
    from w2sweep.report.summary import write_csv

    losses = heldout_losses(worlds, store)
    laws = {axis: Scaling.of(losses, axis) for axis in ("parameters", "compute")}
    bins = [b for w in worlds for b in w.bins(store)]
    shown = samples.samples(worlds[0].corpus, worlds[0].setting.task)
    drawings = [draw_losses(losses, laws, folder)]
    write_csv(folder / "losses.csv", losses.records)
    fitted = [s.record for s in laws.values() if s]
    if fitted:
        write_csv(folder / "scaling.csv", fitted)
    if bins:
        drawings.append(
            draw_knowledge(bins, {q.kind: q.title for q in worlds[0].questions}, folder)
        )
        write_csv(folder / "knowledge.csv", knowledge.records(bins))
    (folder / "samples.txt").write_text(samples.plain(shown), encoding="utf-8")
    page = folder / "index.html"
    page.write_text(
        _page(drawings, name=folder.name, of=worlds[0], losses=losses, shapes=_shapes(worlds[0]), laws=fitted,
              known=_known(bins), samples=shown),
        encoding="utf-8",
    )  # fmt: skip
    return page


def heldout_losses(worlds: Sequence[Chart], store: Store) -> Losses:
    """Of every rung in every seed."""
    rungs = worlds[0].pretrained

    def facts(stage: Adapt) -> dict[str, float]:
        return json.loads((store.get(stage) / "pretrain.json").read_text("utf-8"))

    def of(value: Callable[[Adapt], float]) -> np.ndarray:
        return np.array([value(stage) for stage in rungs.values()], float)

    return Losses(
        list(rungs), [w.setting.seed for w in worlds], of(lambda p: p.backbone.size), of(lambda p: p.backbone.tokens),
        of(lambda p: p.backbone.compute), np.array([[facts(w.pretrained[r])["heldout_loss"] for w in worlds]
                                                    for r in rungs]),
    )  # fmt: skip


def _known(bins: Sequence[Bin]) -> dict[str, dict[str, str]]:
    """Kind of words -> rung -> accuracy of the probe over all of them, in percent."""
    kinds, rungs = (dict.fromkeys(getattr(b, of) for b in bins) for of in ("kind", "rung"))
    return {
        kind: {rung: _percent(knowledge.overall(bins, kind, rung)) for rung in rungs}
        for kind in kinds
    }


def _percent(values: Sequence[float]) -> str:
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def _shapes(world: Chart) -> dict[str, str]:
    found = {rung: stage.backbone for rung, stage in world.pretrained.items()}
    return {
        rung: f"{b.width} × {b.depth}" for rung, b in found.items() if isinstance(b, HomegrownRung)
    }


def _page(drawings: Sequence, **fields: object) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from w2sweep.report.page import inline

    pages = Environment(
        loader=PackageLoader("w2sweep.lab.atlas", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return pages.get_template("page.html").render(
        **fields, figures=[(d, inline(d)) for d in drawings]
    )
