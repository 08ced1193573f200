"""Toy tasks in code, one a head: small enough to train in a second, with text a word-level model can learn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from w2sweep.ladder import Homegrown, Ladder, Tokenizer
from w2sweep.losses import CrossEntropy
from w2sweep.methods import Naive
from w2sweep.recipe import Recipe
from w2sweep.runtime import How, Runtime
from w2sweep.setting import Cell, Setting
from w2sweep.stages import Sizes
from w2sweep.store import Store
from w2sweep.tasks import Choice, Completion, Corpus, Example, Head, Reward, Task
from w2sweep.tuning import Full
from w2sweep.values import value

GOOD, BAD = ("sun", "rose", "honey", "song"), ("mud", "rust", "thorn", "noise")


def sentence(rng: np.random.Generator, label: int) -> str:
    filler = " ".join(rng.choice(["the", "a", "one", "that", "this", "old", "new"], rng.integers(1, 9)))
    return f"{filler} {rng.choice(GOOD if label else BAD)}"


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
    name: str = "toy"
    head: Head = Choice(init="zero")

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
    name: str = "toy_pairs"
    head: Head = Reward(init="zero")

    def example(self, rng: np.random.Generator, i: int, label: int) -> Example:
        return made((sentence(rng, 1 - label), sentence(rng, label)), label, i)


@value
class ToyCompletions(Toy):
    """Say whether it was fine or poor."""

    family: ClassVar = "chess"
    name: str = "toy_completions"
    head: Head = Completion(max_new_tokens=3)

    def example(self, rng: np.random.Generator, i: int, label: int) -> Example:
        return made((sentence(rng, label) + " is",), " fine" if label else " poor", i)


def made(views: tuple[str, ...], label: int | str, i: int) -> Example:
    return Example(hashlib.sha256(f"{i} {views}".encode()).hexdigest()[:16], f"group {i // 4}", views, label)


def rung(width: int, tokens: int = 40_000) -> Homegrown:
    return Homegrown(lr=3e-3, width=width, depth=1, heads=2, tokens=tokens, pretrain_lr=1e-2, pretrain_batch=8)


def setting(task: Task | None = None, **changes: object) -> Setting:
    ladder = Ladder("toys", {"s": rung(8), "m": rung(12), "l": rung(24)}, Tokenizer("word", context=24))
    sizes = Sizes(supervisor=96, student=96, validation=32, test=64)
    recipe = Recipe(epochs=2, batch_size=16, head_lr=5.0, max_tokens=32, evaluations=2)
    defaults = {"task": task or Toy(), "ladder": ladder, "weak": "s", "strong": "l", "sizes": sizes, "tuning": Full(),
                "recipe": recipe, "seed": 0}  # fmt: skip
    return Setting(**{**defaults, **changes})  # type: ignore[arg-type]


def cell(task: Task | None = None, **changes: object) -> Cell:
    return Cell(setting(task, **changes), Naive("naive", CrossEntropy()))


def store(root: Path, **runtime: object) -> Store:
    return Store(root, how=How(Runtime(accelerator="cpu", **runtime)))  # type: ignore[arg-type]
