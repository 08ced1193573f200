"""How well a cell's language models know the text that they have read a part of."""

from __future__ import annotations

from w2sweep.engine.files import read_json
from w2sweep.engine.store import Store
from w2sweep.experiment.backbone import HubModel
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.stages import Adapt
from w2sweep.results.cell import LanguageModel


def language_models(cell: Cell, store: Store) -> dict[str, LanguageModel]:
    """Name -> what a language model has read and how well it knows text of the kind."""
    return {name: _language_model(cell, of, store) for name, of in cell.language_models.items()}


def _language_model(cell: Cell, stage: Adapt, store: Store) -> LanguageModel:
    said = read_json(store.get(stage) / "pretrain.json")
    return LanguageModel(
        stage=stage.name,
        rung=stage.backbone.rung,
        tokens=said["tokens"],
        before=_read_before(cell, stage, store),
        loss=said["heldout_loss"],
    )


def _read_before(cell: Cell, stage: Adapt, store: Store) -> int:
    """How many tokens a language model had read before its text. Earlier stages say so; of a model
    of the hub the ladder does."""
    earlier = [read_json(store.get(of) / "pretrain.json")["tokens"] for of in earlier_of(stage)]
    from_hub = isinstance(stage.backbone, HubModel) and not stage.backbone.scratch
    rung = cell.setting.ladder.rungs[stage.backbone.rung]
    return sum(earlier) + (rung.tokens_read if from_hub else 0)


def earlier_of(stage: Adapt) -> list[Adapt]:
    """The language models that this one was made of, the last one first."""
    found = []
    while isinstance(stage.init, Adapt):
        stage = stage.init
        found.append(stage)
    return found
