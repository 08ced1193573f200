"""Whether models of the hub can be had, which is asked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from w2sweep.engine.stage import Stage
from w2sweep.experiment.backbone import HubModel
from w2sweep.experiment.shape import config_of_model
from w2sweep.tasks.asking import silence
from w2sweep.values import ConfigError


def check_reach(stages: Iterable[Stage[Any]]) -> None:
    """Raises ConfigError where stages run models of the hub that this machine has never fetched,
    and the hub does not answer. Asks nobody where all of them are here."""
    backbones = {getattr(stage, "backbone", None) for stage in stages}
    models = [found for found in backbones if isinstance(found, HubModel)]
    absent = sorted(m.model for m in models if config_of_model(m.model, m.revision) is None)
    if not absent or not (reason := silence()):
        return
    raise ConfigError(
        f"{', '.join(dict.fromkeys(absent))}: not on this machine, and the Hugging Face hub does "
        f"not answer ({reason:.120}): check the network, or give folders that have them "
        "(ladder.rungs.NAME.model=FOLDER)"
    )
