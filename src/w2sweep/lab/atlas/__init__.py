"""`w2sweep-lab`: pictures of a world, and of the ladder that has read it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from w2sweep.errors import mendable, one_line
from w2sweep.identity import Stage, closure
from w2sweep.lab.atlas import knowledge, samples
from w2sweep.lab.atlas.knowledge import UNTRAINED, Bin, Question, questions
from w2sweep.lab.atlas.scaling import Losses, Scaling
from w2sweep.lab.world import World
from w2sweep.ladder import Homegrown
from w2sweep.progress import Watch
from w2sweep.setting import Setting
from w2sweep.stages import Pretrain
from w2sweep.store import StageFailed, Store
from w2sweep.tasks import Corpus
from w2sweep.values import ConfigError

DESCRIPTION = """Pictures of the lab: samples of what is read, held-out losses along the ladder, what each rung knows.

  w2sweep-lab seed=0,1,2                       the world that sentiment, membership and preference ask about
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
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that train side by side")
    asked = parser.parse_args(arguments)
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
    from w2sweep.cli import requested
    from w2sweep.sweep import open_store

    requests = requested(overrides)
    settings = [r.setting for r in requests]
    s = settings[0]
    name = requests[0].sweep or f"{s.ladder.name}-{type(s.ladder.reads(s.task.corpus)).__name__.lower()}"
    return atlas(settings, open_store(requests[0], name), Path("outputs/lab") / name, workers)


def atlas(settings: Sequence[Setting], store: Store, folder: Path, workers: int = 1) -> Path:
    """Makes sure of all that is drawn, draws it into `folder`, and returns the page.

    `settings` differ in the seed alone. Raises ConfigError where they do not, or where their ladder is not pretrained
    here.
    """
    worlds = [Charted.of(setting) for setting in settings]
    _check(worlds)
    stages = sorted((p for w in worlds for p in w.pretrained.values()), key=lambda p: -p.backbone.compute)
    ensure(store, [*stages, *(f for w in worlds for f in w.probed)], workers)
    folder.mkdir(parents=True, exist_ok=True)
    return draw(worlds, store, folder)


@dataclass(frozen=True)
class Charted:
    """A seed's world, and the ladder that reads it."""

    setting: Setting
    corpus: Corpus
    pretrained: dict[str, Pretrain]
    questions: Sequence[Question]

    @staticmethod
    def of(setting: Setting) -> Charted:
        ladder, corpus = setting.ladder, setting.ladder.reads(setting.task.corpus)
        stages = {rung: setting.init(backbone) for rung, backbone in ladder.rungs.items() if backbone.pretrained}
        pretrained = {rung: stage for rung, stage in stages.items() if stage is not None}
        if len(pretrained) < len(ladder.rungs):
            raise ConfigError(f"ladder {ladder.name} has rungs that are not pretrained here: use lab or homegrown")
        return Charted(setting, corpus, pretrained, questions(corpus) if isinstance(corpus, World) else [])

    @property
    def probed(self) -> list[Stage]:
        return [q.probed(self.setting, rung) for q in self.questions for rung in [*self.pretrained, UNTRAINED]]

    def bins(self, store: Store) -> list[Bin]:
        """What each rung knows."""
        rungs = [*self.pretrained, UNTRAINED]
        return [b for q in self.questions for rung in rungs for b in q.answered(self.setting, rung, store)]


def _check(worlds: Sequence[Charted]) -> None:
    seeds = [w.setting.seed for w in worlds]
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise ConfigError(f"found several worlds of seed {twice[0]}, expected one: let nothing vary but the seed")


def ensure(store: Store, stages: Sequence[Stage], workers: int) -> None:
    """Computes what is missing, in so many processes, which share the work through the store's leases."""
    todo = closure(tuple(stages), known=store.done)
    if not todo:
        return
    with Watch({s.name: str(s) for s in todo}, store.root, store.since if store.mode == "force" else 0.0):
        if workers == 1:
            store.ensure(*stages)
            return
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            for worker in [pool.submit(store.ensure, *stages) for _ in range(workers)]:
                worker.result()


def draw(worlds: Sequence[Charted], store: Store, folder: Path) -> Path:
    """The page, its figures and its numbers, of results that are all there."""
    from w2sweep.lab.atlas.figures import draw_knowledge, draw_losses  # matplotlib
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
        drawings.append(draw_knowledge(bins, {q.kind: q.title for q in worlds[0].questions}, folder))
        write_csv(folder / "knowledge.csv", knowledge.records(bins))
    (folder / "samples.txt").write_text(samples.plain(shown), encoding="utf-8")
    page = folder / "index.html"
    page.write_text(
        _page(drawings, name=folder.name, of=worlds[0], losses=losses, shapes=_shapes(worlds[0]), laws=fitted,
              known=_known(bins), samples=shown),
        encoding="utf-8",
    )  # fmt: skip
    return page


def heldout_losses(worlds: Sequence[Charted], store: Store) -> Losses:
    """Of every rung in every seed."""
    rungs = worlds[0].pretrained

    def facts(stage: Pretrain) -> dict[str, float]:
        return json.loads((store.get(stage) / "pretrain.json").read_text("utf-8"))

    def of(value: Callable[[Pretrain], float]) -> np.ndarray:
        return np.array([value(stage) for stage in rungs.values()], float)

    return Losses(
        list(rungs), [w.setting.seed for w in worlds], of(lambda p: p.backbone.size), of(lambda p: p.backbone.tokens),
        of(lambda p: p.backbone.compute), np.array([[facts(w.pretrained[r])["heldout_loss"] for w in worlds]
                                                    for r in rungs]),
    )  # fmt: skip


def _known(bins: Sequence[Bin]) -> dict[str, dict[str, str]]:
    """Kind of words -> rung -> accuracy of the probe over all of them, in percent."""
    kinds, rungs = (dict.fromkeys(getattr(b, of) for b in bins) for of in ("kind", "rung"))
    return {kind: {rung: _percent(knowledge.overall(bins, kind, rung)) for rung in rungs} for kind in kinds}


def _percent(values: Sequence[float]) -> str:
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"


def _shapes(world: Charted) -> dict[str, str]:
    found = {rung: stage.backbone for rung, stage in world.pretrained.items()}
    return {rung: f"{b.width} × {b.depth}" for rung, b in found.items() if isinstance(b, Homegrown)}


def _page(drawings: Sequence, **fields: object) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from w2sweep.report.page import inline

    pages = Environment(
        loader=PackageLoader("w2sweep.lab.atlas", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return pages.get_template("page.html").render(**fields, figures=[(d, inline(d)) for d in drawings])
