"""What a task is: where its examples come from, and which head answers them."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal

from w2sweep.tasks.difficulty import Scale
from w2sweep.tasks.example import Example, Skipped
from w2sweep.tasks.heads import Head
from w2sweep.tasks.remark import Remark
from w2sweep.tasks.wording import Wording

Family = Literal["nlp", "reward", "chess"]
"""The three settings of Burns et al. 2023; figures have a panel for each."""


class Corpus(ABC):
    """Unlabelled text to pretrain on. A value: its fields are what a backbone depends on."""

    @abstractmethod
    def documents(self) -> Iterator[str | Skipped]:
        """The documents, in an order that depends on the fields alone.

        What is left out is counted by its reason.
        """


class Task(ABC):
    """Labelled examples and the head that answers them.

    A value. Its fields are what its examples depend on; `name`, `head` and `wording` are declared
    as `named`, for they change no example.
    """

    family: ClassVar[Family]
    label_classes: ClassVar[int | None] = None
    """How many classes the labels are of, where every task of this class has as many; its head must
    have them too. None: as the head says."""
    difficulties: ClassVar[Scale | None] = None
    """What its own difficulties are, where it knows any."""
    remark: Remark | None = None
    """What tells a reader the label of a text, for methods in which students are told."""
    head: Head
    name: str
    """What tables and figures call it."""
    wording: Wording | None = None
    """How a language model that is not finetuned is asked for a class, for methods that prompt."""

    @property
    def asked(self) -> Wording | None:
        """The wording that is used; None: there is none."""
        return self.wording

    @abstractmethod
    def examples(self) -> Iterator[Example | Skipped]:
        """All labelled examples, in any order: `Splits` shuffles, balances and splits them."""

    @property
    @abstractmethod
    def corpus(self) -> Corpus:
        """What homegrown ladders are pretrained on for this task. It has no labels."""

    @property
    def for_examples(self) -> Task:
        """This task with all fields that its examples do not depend on at their defaults.

        `Splits` holds it instead of the task, so that tasks with the same examples share them.
        """
        return self

    def difficulty(self, example: Example) -> float | None:
        """How hard an example is, on the scale `difficulties`: what the data say, unless a task can
        tell it from the text. None: it is not known."""
        return example.difficulty

    def judge(self, example: Example, completion: str) -> dict[str, float]:
        """Marks of one completion beside exact match, such as its legality.

        Each is averaged over the test split.
        """
        return {}


@dataclasses.dataclass(frozen=True)
class TaskTexts(Corpus):
    """The texts of a task's examples, without their labels."""

    task: Task
    """Kept as its `for_examples`: what examples do not depend on is no part of a corpus of them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", self.task.for_examples)

    def documents(self) -> Iterator[str]:
        """Every text once, in the order of the examples."""
        seen: set[str] = set()
        for example in self.task.examples():
            views = example.views if isinstance(example, Example) else ()
            for text in views:
                if text not in seen:
                    seen.add(text)
                    yield text
