"""Toy tasks in code, one a head: small enough to train in a second, with text that a word-level
model can learn. And what tests need to run stages by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from w2sweep.engine.job import Circumstances, StoreJob
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Stage
from w2sweep.engine.store import Store
from w2sweep.experiment.backbone import Tokenizer
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.ladder import HomegrownRung, Ladder, Rung
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Naive
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Sizes
from w2sweep.experiment.supervision import Weak
from w2sweep.experiment.tuning import Full
from w2sweep.results.cell import Place
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice, Completion, Head, Reward
from w2sweep.tasks.task import Corpus, Task
from w2sweep.tasks.wording import Wording
from w2sweep.values import named, value

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

GOOD, BAD = ("sun", "rose", "honey", "song"), ("mud", "rust", "thorn", "noise")


def sentence(rng: np.random.Generator, label: int) -> str:
    words = rng.choice(["the", "a", "one", "that", "this", "old", "new"], rng.integers(1, 9))
    return f"{' '.join(words)} {rng.choice(GOOD if label else BAD)}"


@value
class ToyCorpus(Corpus):
    documents_: int = 300

    def documents(self) -> Iterator[str]:
        rng = np.random.default_rng(0)
        for _ in range(self.documents_):
            label = int(rng.integers(2))
            yield f"{sentence(rng, label)} is {'fine' if label else 'poor'}"


@value
class Toy(Task):
    """Whether the noun is a good thing."""

    family: ClassVar = "nlp"
    name: str = named(default="toy")
    head: Head = named(default=Choice(init="zero"))
    wording: Wording | None = named(default=None)

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(1)
        for i in range(400):
            yield self.example(rng, i, i % 2)

    def example(self, rng: np.random.Generator, i: int, label: int) -> Example:
        return made((sentence(rng, label),), label, i)

    @property
    def corpus(self) -> Corpus:
        return ToyCorpus()


@value
class ToyPairs(Toy):
    """Which of two sentences names the good thing."""

    family: ClassVar = "reward"
    name: str = named(default="toy_pairs")
    head: Head = named(default=Reward(init="zero"))

    def example(self, rng: np.random.Generator, i: int, label: int) -> Example:
        return made((sentence(rng, 1 - label), sentence(rng, label)), label, i)


@value
class ToyCompletions(Toy):
    """Say whether it was fine or poor."""

    family: ClassVar = "chess"
    name: str = named(default="toy_completions")
    head: Head = named(default=Completion(max_new_tokens=3))

    def example(self, rng: np.random.Generator, i: int, label: int) -> Example:
        return made((sentence(rng, label) + " is",), " fine" if label else " poor", i)


def made(views: tuple[str, ...], label: int | str, i: int) -> Example:
    id = hashlib.sha256(f"{i} {views}".encode()).hexdigest()[:16]
    return Example(id, f"group {i // 4}", views, label)


def rung(width: int, tokens: int = 40_000) -> HomegrownRung:
    return HomegrownRung(
        lr=3e-3, width=width, depth=1, heads=2, tokens=tokens, pretrain_lr=1e-2, pretrain_batch=8
    )


def setting(task: Task | None = None, **changes: object) -> Setting:
    rungs: dict[str, Rung] = {"s": rung(8), "m": rung(12), "l": rung(24)}
    defaults: dict[str, Any] = {
        "task": task or Toy(),
        "ladder": Ladder("toys", rungs, Tokenizer("word", context=24)),
        "weak": "s",
        "strong": "l",
        "sizes": Sizes(supervisor=96, student=96, validation=32, test=64),
        "tuning": Full(),
        "recipe": Recipe(epochs=2, batch_size=16, head_lr=5.0, max_tokens=32, evaluations=2),
        "seed": 0,
        "supervision": Weak(),
    }
    return Setting(**{**defaults, **changes})


def cell(task: Task | None = None, **changes: object) -> Cell:
    return Cell(setting(task, **changes), Naive("naive", CrossEntropy()))


def store(root: Path, **runtime: object) -> Store:
    return Store(root, Circumstances(Runtime(accelerator="cpu", **runtime)))  # type: ignore[arg-type]


def pretrained_store(root: Path) -> Store:
    """A store in which the toys' ladder is pretrained; most of the time it is there already."""
    shelf, s = store(root), setting()
    stages = [s.pretrained(rung) for rung in s.ladder.rungs]
    shelf.ensure(s.splits, *(stage for stage in stages if stage is not None))
    return shelf


def below(shelf: Store, root: Path, **runtime: Any) -> Store:
    """A new store with what the toys' finetunings read."""
    new = store(root, **runtime)
    for folder in ("Splits", "Text", "Adapt"):
        (root / folder).symlink_to(shelf.root / folder)
    return new


def outspoken(config: PreTrainedConfig) -> PreTrainedModel:
    """A random language model with larger weights than is usual, so that nothing is close to
    anything."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    lm = AutoModelForCausalLM.from_config(config)
    for p in lm.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.2)
    lm.tie_weights()
    return lm


def run(stage: Stage, folder: Path, shelf: Store, **runtime: Any) -> dict[str, Any]:
    """Runs a stage whose inputs are in a store into a folder; what it noted of how it was done."""
    folder.mkdir(parents=True, exist_ok=True)
    circumstances = Circumstances(Runtime(accelerator="cpu", **runtime))
    with StoreJob(stage, folder, circumstances, shelf.get) as made:
        stage.run(made)
    return made.facts


@contextmanager
def by_transformers() -> Iterator[None]:
    """Small Llamas and GPT-2s are computed by Transformers' own modules, not as they are written
    out here."""
    from w2sweep.learning.model import Net

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Net, "fused_states", lambda net, batch: None)
        yield


class Killed(BaseException):
    """As sudden as a signal: no handler of the stage runs."""


@contextmanager
def killed_after(steps: int) -> Iterator[None]:
    """Training that takes more steps is killed; the block goes on behind it."""
    from w2sweep.learning.learner import Learner

    original = Learner.one_step

    def step(self: Any, batch: Any) -> None:
        if self.state.step == steps:
            raise Killed
        original(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "one_step", step)
        with pytest.raises(Killed):
            yield


def place(**changes: object) -> Place:
    """Where a toy cell lies, for what writes it down."""
    fields = {"task": "toy", "family": "nlp", "ladder": "toys", "weak": "s", "strong": "l"}
    defaults: dict[str, Any] = {**fields, "method": "naive", "seed": 0}
    return Place(**{**defaults, **changes})


@contextmanager
def job(
    folder: Path,
    stage: Stage | None = None,
    results: Mapping[Stage, Any] | None = None,
    runtime: Runtime | None = None,
) -> Iterator[StoreJob]:
    """A job that writes to a folder of its own and reads these results."""
    folder.mkdir(parents=True, exist_ok=True)
    circumstances = Circumstances(runtime or Runtime(accelerator="cpu"))
    of = stage or setting().splits
    with StoreJob(of, folder, circumstances, (results or {}).__getitem__) as made:
        yield made
