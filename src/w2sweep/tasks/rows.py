"""Rows of whatever source, and the examples that a formatter makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from w2sweep.tasks.example import Example, Skipped
from w2sweep.values import ConfigError

LONGEST = 200_000
"""Characters of one text."""


class EmptyText(ConfigError):
    """A text that is not there: an error in a user's file, counted and left out of a dataset of others."""


class Row(dict[str, Any]):
    """One row, which knows where it stands, so that what is wrong with it can be said in one line."""

    __slots__ = ("file", "number")

    def __init__(self, values: Mapping[str, Any], file: str, number: int):
        super().__init__(values)
        self.file, self.number = file, number

    def __missing__(self, column: str) -> Any:
        raise ConfigError(
            f"{self.file} has no column '{column}'; its columns are {', '.join(self)}"
        )

    def text(self, column: str) -> str:
        """A text that is really there. Raises ConfigError where it is not."""
        return self.sound(column, self[column])

    def texts(self, column: str) -> list[str]:
        """Texts that are really there: the answers to a question. Raises ConfigError where one is not."""
        texts = self[column]
        if not isinstance(texts, list) or not texts:
            raise self.wrong(column, f"expected a list of texts, found {texts!r:.40}")
        return [self.sound(column, text) for text in texts]

    def records(self, column: str) -> list[dict[str, Any]]:
        """A list of records, which the hub stores as that or as a record of lists."""
        found = self[column]
        if isinstance(found, dict) and all(isinstance(values, list) for values in found.values()):
            found = [
                dict(zip(found, values, strict=True))
                for values in zip(*found.values(), strict=True)
            ]
        if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
            raise self.wrong(column, f"expected a list of records, found {found!r:.40}")
        return found

    def sound(self, column: str, text: Any) -> str:
        """The text, which is one. Raises ConfigError where it is not."""
        if not isinstance(text, str):
            raise self.wrong(column, f"expected text, found {text!r:.40}")
        if not text.strip():
            raise EmptyText(f"{self.place(column)}: empty text")
        if len(text) > LONGEST:
            raise self.wrong(
                column, f"{len(text):,} characters, more than {LONGEST:,}: is this one example?"
            )
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            raise self.wrong(column, "invalid UTF-8")
        return text

    def place(self, column: str) -> str:
        """As in messages."""
        return f"{self.file}, row {self.number}, column '{column}'"

    def wrong(self, column: str, what: str) -> ConfigError:
        """The error to raise for a value of this row."""
        return ConfigError(f"{self.place(column)}: {what}")


T = TypeVar("T")


def read(rows: Iterable[Row], format: Callable[[Row], Iterator[T]]) -> Iterator[T | Skipped]:
    """What a formatter makes of the rows of a dataset. Its empty texts are nobody's to mend: they are counted."""
    for row in rows:
        try:
            yield from format(row)
        except EmptyText:
            yield Skipped("empty text")


def some(examples: Iterable[Example | Skipped], where: str) -> Iterator[Example | Skipped]:
    """The same. Raises ConfigError, when all were seen, where none can be used, and says why not."""
    reasons: Counter[str] = Counter()
    found = False
    for example in examples:
        if isinstance(example, Skipped):
            reasons[example.reason] += 1
        else:
            found = True
        yield example
    if not found:
        why = (
            "; ".join(f"{n:,} {reason}" for reason, n in reasons.most_common()) or "it has no rows"
        )
        raise ConfigError(f"{where}: nothing in it can be used: {why}")


def of_two_classes(
    examples: Iterable[Example | Skipped], where: str
) -> Iterator[Example | Skipped]:
    """The same. Raises ConfigError, when all were seen, where they have but one label."""
    labels: set[int | str] = set()
    for example in examples:
        if isinstance(example, Example):
            labels.add(example.label)
        yield example
    if len(labels) == 1:
        raise ConfigError(
            f"{where}: all labels are of class {labels.pop()}, but two classes are needed: check them"
        )
