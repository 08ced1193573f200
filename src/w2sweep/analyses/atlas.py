"""Pictures of the lab: a world, and the ladder that has read it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from w2sweep.analyses.atlas_page import write_page
from w2sweep.analyses.read_ladder import ReadLadder
from w2sweep.engine.stage import Stage
from w2sweep.engine.store import Store
from w2sweep.engine.workers import ensure_in_processes
from w2sweep.experiment.setting import Setting
from w2sweep.values import ConfigError


def atlas(settings: Sequence[Setting], store: Store, folder: Path, workers: int = 1) -> Path:
    """Makes sure of all that is drawn, draws it into `folder`, and returns the page.

    Raises ConfigError where the settings differ in more than the seed, or where their ladder is not
    pretrained here.

    Args:
        settings: one for each seed.
        store: where results are, and where those that are missing go.
        folder: made where it is missing.
        workers: processes that train side by side.
    """
    ladders = [ReadLadder.of(setting) for setting in settings]
    _check_seeds([setting.seed for setting in settings])
    ensure_in_processes(store, _stages(ladders), workers, ("w2sweep.learning.everything",))
    folder.mkdir(parents=True, exist_ok=True)
    return write_page(ladders, store, folder)


def _stages(ladders: Sequence[ReadLadder]) -> list[Stage]:
    """All stages that are drawn: the largest models are trained before the others."""
    trained = [(rung, ladder) for ladder in ladders for rung in ladder.rungs]
    trained.sort(key=lambda pair: -pair[1].rungs[pair[0]].compute)
    probed = [stage for ladder in ladders for stage in ladder.probed]
    return [*(ladder.pretrained[rung] for rung, ladder in trained), *probed]


def _check_seeds(seeds: Sequence[int]) -> None:
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise ConfigError(
            f"found several worlds of seed {twice[0]}, expected one: let nothing vary but the seed"
        )
