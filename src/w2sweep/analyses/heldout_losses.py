"""Held-out losses along a ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2sweep.analyses.read_ladder import ReadLadder
from w2sweep.engine.files import read_json
from w2sweep.engine.store import Store
from w2sweep.experiment.stages import Adapt


@dataclass(frozen=True)
class HeldOutLosses:
    """The loss of R rungs in S seeds, on text that was held out from pretraining."""

    rungs: Sequence[str]
    """[R], weakest first."""
    seeds: Sequence[int]
    """[S]"""
    parameters: NDArray[np.float64]
    """[R], without embeddings."""
    tokens: NDArray[np.float64]
    """[R], of pretraining."""
    compute: NDArray[np.float64]
    """[R], FLOPs of pretraining."""
    loss: NDArray[np.float64]
    """[R, S], nats a token."""

    @staticmethod
    def of(ladders: Sequence[ReadLadder], store: Store) -> HeldOutLosses:
        """The losses of ladders that differ in the seed alone, and whose rungs are all in the
        store."""
        names, rungs = list(ladders[0].rungs), ladders[0].rungs.values()
        seeds = [ladder.setting.seed for ladder in ladders]
        stages = [ladder.pretrained[name] for name in names for ladder in ladders]
        losses = np.array([_heldout_loss(stage, store) for stage in stages])
        return HeldOutLosses(
            rungs=names,
            seeds=seeds,
            parameters=np.array([rung.size for rung in rungs], float),
            tokens=np.array([rung.tokens_read for rung in rungs], float),
            compute=np.array([rung.compute for rung in rungs], float),
            loss=losses.reshape(len(names), len(seeds)),
        )

    @property
    def mean(self) -> NDArray[np.float64]:
        """[R], over seeds."""
        return self.loss.mean(1)

    @property
    def spread(self) -> NDArray[np.float64] | None:
        """[R], standard deviation over seeds; None where there is one."""
        return self.loss.std(1, ddof=1) if self.loss.shape[1] > 1 else None

    @property
    def records(self) -> list[dict[str, Any]]:
        """A record for each rung and seed, for `losses.csv`."""
        return [self._record(r, s) for r, s in product(*map(range, self.loss.shape))]

    def _record(self, r: int, s: int) -> dict[str, Any]:
        return {
            "rung": self.rungs[r],
            "seed": self.seeds[s],
            "parameters": int(self.parameters[r]),
            "tokens": int(self.tokens[r]),
            "compute": self.compute[r],
            "heldout_loss": self.loss[r, s],
        }


def _heldout_loss(stage: Adapt, store: Store) -> float:
    return read_json(store.get(stage) / "pretrain.json")["heldout_loss"]
