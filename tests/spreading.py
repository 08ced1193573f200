"""Stages run by several processes that are started fast, and what tests do to one of them."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytest

from w2sweep.engine import ranks
from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Job, Stage
from w2sweep.engine.store import Store
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.weights import Weights

PRELOADED = ["toys", "w2sweep.learning.finetuning", "w2sweep.learning.pretraining"]


@contextmanager
def started_fast() -> Iterator[None]:
    """Ranks are copies of a process that has read torch and the rest once."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    with mock.patch.object(ranks, "SPAWN", "forkserver"):
        yield


@dataclass(frozen=True)
class Watched(Stage[Any]):
    """A stage of which each process notes what its model is like in the end."""

    spreads: ClassVar = True

    of: Stage[Any]
    killed: tuple[int, int] | None = None
    """A rank, and the step before which it is killed."""
    narrow: tuple[int, int] | None = None
    """A rank, and the tokens in one forward pass for which it has memory."""

    @property
    def inputs(self) -> list[Stage[Any]]:
        return self.of.inputs

    def run(self, job: Job) -> None:
        from w2sweep.learning import spread
        from w2sweep.learning.learner import Learner

        digests: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            self._watch(Learner, digests, patch)
            if self.killed and job.rank.number == self.killed[0]:
                _kill_at(Learner, self.killed[1], patch)
            if self.narrow and job.rank.number == self.narrow[0]:
                _narrow(self.narrow[1], patch)
            self.of.run(job)
        job.note(replicas=spread.together(range(spread.ranks()), lambda _: digests))

    def _watch(self, learner: Any, digests: list[str], patch: pytest.MonkeyPatch) -> None:
        trained = learner.trained

        def watched(self: Any) -> Any:
            parameters = [p.detach().numpy().tobytes() for p in self.net.parameters()]
            digests.append(hashlib.sha256(b"".join(parameters)).hexdigest())
            return trained(self)

        patch.setattr(learner, "trained", watched)


def _kill_at(learner: Any, at: int, patch: pytest.MonkeyPatch) -> None:
    original = learner.one_step

    def step(self: Any, batch: Any) -> None:
        if self.state.step == at:
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, batch)

    patch.setattr(learner, "one_step", step)


def _narrow(most: int, patch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import LlamaModel

    original = LlamaModel.forward

    def forward(self: LlamaModel, input_ids: Any, **more: Any) -> Any:
        if input_ids.numel() > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return original(self, input_ids=input_ids, **more)

    patch.setattr(LlamaModel, "forward", forward)


def spread_over(
    devices: int, stage: Stage[Any], folder: Path, shelf: Store, **runtime: Any
) -> dict[str, Any]:
    """Runs a stage whose inputs are in a store by so many processes into a folder, with the weights
    of what it finetunes in `weights` beside it; what was noted."""
    folder.mkdir(parents=True, exist_ok=True)
    of = stage.of if isinstance(stage, Watched) else stage
    planned = frozenset({Weights(of).name}) if isinstance(of, Finetune) else frozenset[str]()
    told = Runtime(accelerator="cpu", devices=devices, **runtime)
    with StoreJob(stage, folder, Circumstances(told, planned=planned), shelf.get) as job:
        ranks.run(job)
    for _, delivered in job.delivered:
        delivered.rename(folder / "weights")
    return job.facts
