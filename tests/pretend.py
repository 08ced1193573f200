"""A task whose stages pretend to train, so that sweeps can be tested in milliseconds, in any
process, without torch.

A launcher's workers import this module when they build the task; from then on the stages of this
task, and of no other, pretend.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from w2sweep.engine.stage import Job, Stage
from w2sweep.experiment.backbone import SmallLlama
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.stages import Adapt, Finetune, Text
from w2sweep.learning.curves import write_curves
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice, Completion, Head
from w2sweep.tasks.task import Corpus, Task
from w2sweep.values import named, value

SIMULATED = 0.7
"""What a student takes the accuracy of a simulated supervisor for."""


@value
class Nothing(Corpus):
    def documents(self) -> Iterator[str]:
        return iter(())


@value
class Pretend(Task):
    """The larger its backbone, the better a model; a student is half-way between its supervisor and
    its ceiling."""

    family: ClassVar = "nlp"
    name: str = named(default="pretend")
    head: Head = named(default=Choice())
    failing: str = ""
    """The role of the stages that raise an error."""
    deadly: str = ""
    """The role of the stages that kill their process, once; `always`: all of them, each time."""
    lasting: str = ""
    """The role of the stages that take minutes, or until there is a file `enough` in the store."""

    def examples(self) -> Iterator[Example]:
        for i in range(400):
            yield Example.of(f"example {'i' * i}", label=i % 2)

    @property
    def corpus(self) -> Corpus:
        return Nothing()


@value
class PretendCompletions(Pretend):
    """`Pretend` with completions for answers."""

    family: ClassVar = "chess"
    name: str = named(default="pretend_completions")
    head: Head = named(default=Completion())

    def examples(self) -> Iterator[Example]:
        for i in range(400):
            yield Example.of(f"example {'i' * i}", label=" yes" if i % 2 else " no")

    def judge(self, example: Example, completion: str) -> dict[str, float]:
        return {"legality": float(completion.strip() in ("yes", "no"))}


def accuracy(stage: Finetune) -> float:
    """What a stage pretends to reach."""
    assert isinstance(stage.backbone, SmallLlama)
    own = min(0.99, 0.6 + stage.backbone.parameters / 1e6)
    if stage.labels is None:
        return own
    supervisor = accuracy(stage.labels) if isinstance(stage.labels, Finetune) else SIMULATED
    return (own + supervisor) / 2


def finetune(stage: Finetune, job: Job) -> None:
    task = stage.splits.task
    assert isinstance(task, Pretend)
    store = job.out.parents[2]
    if task.failing == stage.role:
        raise ValueError(f"{stage.role}s fail\nhere")
    if task.deadly == "always":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.deadly == stage.role and not (store / "died").exists():
        (store / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with (store / "executed").open("a") as log:
        log.write(f"{stage.key}\n")
    if task.lasting == stage.role:
        end = time.monotonic() + 300
        while time.monotonic() < end and not (store / "enough").exists():
            time.sleep(0.05)
    job.note(bf16=job.bf16, gpus=os.environ.get("CUDA_VISIBLE_DEVICES"))
    row = {"step": 1, "loss": 0.5, "validation/accuracy_own": accuracy(stage)}
    job.log(row)
    write_curves(job.out, [row])
    splits, rng = job.get(stage.splits), np.random.default_rng(int(stage.key, 16))
    reached = accuracy(stage)
    Predictions({n: pretended(its, reached, rng) for n, its in splits.items()}).save(job.out)


def pretended(
    examples: list[Example], accuracy: float, rng: np.random.Generator
) -> np.ndarray | list[str]:
    wrong = rng.random(len(examples)) > accuracy
    if isinstance(examples[0].label, str):
        truth = [str(e.label).strip() for e in examples]
        return ["maybe" if w else t for w, t in zip(wrong, truth, strict=True)]
    labels = np.array([e.label for e in examples], dtype=int) ^ wrong
    return np.eye(2, dtype=np.float32)[labels]


def nothing(stage: Stage, job: Job) -> None:
    """Leaves the folder empty."""


def pretending(
    run: Callable[[Any, Job], None],
    pretends: Callable[[Any], bool],
    pretended: Callable[[Any, Job], None],
) -> Any:
    """`run`, but for the stages that pretend."""
    return lambda stage, job: (pretended if pretends(stage) else run)(stage, job)


def alone(cls: Any, pretends: Callable[[Any], bool]) -> property:
    """`together`, but for the stages that pretend, which only `run` pretends for."""
    real = cls.together
    return property(lambda stage: None if pretends(stage) else real.fget(stage))


def _pretends(stage: Finetune) -> bool:
    return isinstance(stage.splits.task, Pretend)


def _reads_nothing(stage: Adapt) -> bool:
    return isinstance(stage.text.corpus, Nothing)


Finetune.run = pretending(Finetune.run, _pretends, finetune)
setattr(Finetune, "together", alone(Finetune, _pretends))  # noqa: B010, pyright knows no other way
Adapt.run = pretending(Adapt.run, _reads_nothing, nothing)
setattr(Adapt, "together", alone(Adapt, _reads_nothing))  # noqa: B010
Text.run = pretending(Text.run, lambda s: isinstance(s.corpus, Nothing), nothing)
