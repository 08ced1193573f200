"""What a method costs: the training that its student takes beyond what every method of a cell finds
there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from w2sweep.engine import record
from w2sweep.engine.stage import Stage, closure
from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.flops import Known, Texts, asked, steps, work
from w2sweep.experiment.kinds import Rows
from w2sweep.experiment.splits import Answered
from w2sweep.experiment.stages import Adapt
from w2sweep.experiment.weights import Weights
from w2sweep.results.cost import Cost
from w2sweep.tasks.example import Example


def cost(cell: Cell, splits: Mapping[str, Sequence[Example]], store: Store) -> Cost:
    """Of the student and of all that it reads, but for the cell's supervisor, which is there
    whatever the method, and the pretrained rungs of the ladder.

    So intermediate students count, probes, further supervisors, and texts that are read before.
    Each stage counts once, and in full also where another method of the sweep shares it.
    """
    own = own_stages(cell)
    known = _known(cell, splits, own, store)
    done = [of for stage in own if (of := work(stage, known))]
    trained = sum(steps(stage, known) for stage in own)
    return Cost(steps=trained, flops=sum(of.flops for of in done))


def own_stages(cell: Cell) -> list[Stage[Any]]:
    """The stages that a cell's method is charged with, inputs before their readers."""
    setting = cell.setting
    shared = {stage.name for stage in closure((setting.supervisor, setting.splits))}
    needed = closure((cell.student,))
    return [stage for stage in needed if stage.name not in shared and not _is_free(stage)]


def _is_free(stage: Stage[Any]) -> bool:
    """Whether it is a rung as the ladder gives it, or kept of a training that counts already."""
    return isinstance(stage, Weights) or (isinstance(stage, Adapt) and stage.role == "pretrain")


def _known(
    cell: Cell, splits: Mapping[str, Sequence[Example]], own: Sequence[Stage[Any]], store: Store
) -> Known:
    """What the store says of the cell's own splits; of others what is asked for."""
    examples = {name: len(its) for name, its in splits.items()}
    chosen = [s for s in closure(tuple(own)) if isinstance(s, Rows) and store.done(s)]
    rows = {of.name: len(store.get(of)) for of in chosen}
    said = record.facts(store.path(cell.student)).get("tokens_per_text")
    tokens = float(said) if isinstance(said, int | float) and said > 0 else None
    found = Texts(examples, tokens, rows)

    def known(of: Answered) -> Texts:
        if of.name == cell.setting.splits.name:
            return found
        return Texts(asked(of).examples, tokens, rows)

    return known
