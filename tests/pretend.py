"""A task whose stages pretend to train, so that sweeps can be tested in milliseconds, in any process, without torch.

Importing this module replaces what stages do: a launcher's workers import it when they build the task.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from w2sweep.predictions import Predictions
from w2sweep.stages import Finetune, Pretrain, Text
from w2sweep.store import Store
from w2sweep.tasks import Choice, Completion, Corpus, Example, Head, Task
from w2sweep.values import value

SIMULATED = 0.7
"""What a student takes the accuracy of a simulated supervisor for."""


@value
class Nothing(Corpus):
    def documents(self) -> Iterator[str]:
        return iter(())


@value
class Pretend(Task):
    """The larger its backbone, the better a model; a student is half-way between its supervisor and its ceiling."""

    family: ClassVar = "nlp"
    name: str = "pretend"
    head: Head = Choice()
    failing: str = ""
    """The role of the stages that raise an error."""
    deadly: str = ""
    """The role of the stages that kill their process, once."""
    lasting: str = ""
    """The role of the stages that take minutes."""

    def examples(self) -> Iterator[Example]:
        for i in range(400):
            yield Example.of(f"example {'i' * i}", label=i % 2)

    @property
    def corpus(self) -> Corpus:
        return Nothing()


@value
class PretendCompletions(Pretend):
    """The same, generating."""

    family: ClassVar = "chess"
    name: str = "pretend_completions"
    head: Head = Completion()

    def examples(self) -> Iterator[Example]:
        for i in range(400):
            yield Example.of(f"example {'i' * i}", label=" yes" if i % 2 else " no")

    def judge(self, example: Example, completion: str) -> dict[str, float]:
        return {"legality": float(completion.strip() in ("yes", "no"))}


def accuracy(stage: Finetune) -> float:
    """What a stage pretends to reach."""
    own = min(0.99, 0.6 + stage.backbone.size / 1e6)
    if stage.labels is None:
        return own
    return (own + (accuracy(stage.labels) if isinstance(stage.labels, Finetune) else SIMULATED)) / 2


def finetune(stage: Finetune, out: Path, store: Store) -> None:
    task = stage.splits.task
    assert isinstance(task, Pretend)
    if task.failing == stage.role:
        raise ValueError(f"{stage.role}s fail\nhere")
    if task.deadly == stage.role and not (store.root / "died").exists():
        (store.root / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with (store.root / "executed").open("a") as log:
        log.write(f"{stage.key}\n")
    if task.lasting == stage.role:
        time.sleep(300)
    splits, rng = store.get(stage.splits), np.random.default_rng(int(stage.key, 16))
    answers = {name: pretended(examples, accuracy(stage), rng) for name, examples in splits.items()}
    Predictions(answers).save(out)


def pretended(examples: list[Example], accuracy: float, rng: np.random.Generator) -> np.ndarray | list[str]:
    wrong = rng.random(len(examples)) > accuracy
    if isinstance(examples[0].label, str):
        return ["maybe" if w else str(e.label).strip() for w, e in zip(wrong, examples, strict=True)]
    labels = np.array([e.label for e in examples], dtype=int) ^ wrong
    return np.eye(2, dtype=np.float32)[labels]


def nothing(stage: object, out: Path, store: Store) -> None:
    """Leaves the folder empty."""


Finetune.run, Pretrain.run, Text.run = finetune, nothing, nothing  # type: ignore[method-assign]
