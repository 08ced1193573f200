"""NLP datasets as yes-or-no points: one small function a dataset. Burns et al. 2023, table 1 and appendix A.1.

A formatter takes a row and yields its points. Points of one question share `question`: `Splits` keeps as many right
answers as wrong ones of each. `group` is what must not straddle two splits: the passage, the premise, the dialogue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

from w2sweep.tasks import Choice, Corpus, Example, Family, Skipped, Task, TaskTexts, located
from w2sweep.tasks.source import Row, Source
from w2sweep.values import value

Points = Iterator[Example | Skipped]
Formatter = Callable[[Row], Points]


@value
class Classification(Task):
    """Points of a dataset, each of one of two classes."""

    family: ClassVar[Family] = "nlp"

    name: str
    source: Source
    format: str
    """The formatter, as `package.module.function`."""
    head: Choice = Choice()

    def __post_init__(self) -> None:
        located(self.format)

    def examples(self) -> Points:
        """All points, right and wrong answers alike."""
        format: Formatter = located(self.format)
        for row in self.source.rows():
            yield from format(row)

    @property
    def corpus(self) -> Corpus:
        """The texts of all points: every answer of a question, so that none is marked as the right one."""
        return TaskTexts(self)


def sst2(row: Row) -> Points:
    """GLUE SST-2: is the sentence from a film review positive?"""
    if row["label"] < 0:
        yield Skipped("unlabelled")
    else:
        yield Example.of(row["sentence"].strip(), label=row["label"])


def boolq(row: Row) -> Points:
    """BoolQ: is the answer to the question about the passage yes?"""
    text = f"{row['passage']}\nQuestion: {row['question']}?"
    yield Example.of(text, label=int(row["answer"]), group=row["passage"])
