"""Rows of a dataset or a file, and the functions that make the points of a task of them."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from w2sweep.building import located
from w2sweep.engine.source_code import source
from w2sweep.tasks.example import Example, Skipped
from w2sweep.values import ConfigError, value

LONGEST_TEXT = 200_000
"""In characters. A longer one is most likely a file that was read wrongly."""

_OWN_MODULES = __name__.partition(".")[0] + "."


class EmptyText(ConfigError):
    """A text that is not there: an error in a user's file, left out of anybody else's dataset."""


class Row(dict[str, Any]):
    """One row. It knows where it stands, so that one line can say what is wrong with it."""

    __slots__ = ("file", "number")

    def __init__(self, values: Mapping[str, Any], file: str, number: int):
        super().__init__(values)
        self.file, self.number = file, number

    def __missing__(self, column: str) -> Any:
        columns = ", ".join(self)
        raise ConfigError(f"{self.file} has no column '{column}'; its columns are {columns}")

    def text(self, column: str) -> str:
        """The text of a column. Raises ConfigError where there is none."""
        return self.sound(column, self[column])

    def texts(self, column: str) -> list[str]:
        """The list of texts in a column. Raises ConfigError where one of them is missing."""
        texts = self[column]
        if not isinstance(texts, list) or not texts:
            raise self.wrong(column, f"expected a list of texts, found {texts!r:.40}")
        return [self.sound(column, text) for text in texts]

    def records(self, column: str) -> list[dict[str, Any]]:
        """The list of records in a column, which the hub also stores as a record of lists.

        Raises ConfigError where there is neither.
        """
        found = self[column]
        if isinstance(found, dict) and all(isinstance(values, list) for values in found.values()):
            cells = zip(*found.values(), strict=True)
            found = [dict(zip(found, values, strict=True)) for values in cells]
        if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
            raise self.wrong(column, f"expected a list of records, found {found!r:.40}")
        return found

    def sound(self, column: str, text: Any) -> str:
        """`text`, which was found in that column.

        Raises EmptyText where it is blank, and ConfigError where it is no text, too long, or was
        not valid UTF-8.
        """
        if not isinstance(text, str):
            raise self.wrong(column, f"expected text, found {text!r:.40}")
        if not text.strip():
            raise EmptyText(f"{self.place(column)}: empty text")
        if len(text) > LONGEST_TEXT:
            length = f"{len(text):,} characters, more than {LONGEST_TEXT:,}"
            raise self.wrong(column, f"{length}: is this one example?")
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            raise self.wrong(column, "invalid UTF-8")
        return text

    def place(self, column: str) -> str:
        """File, row and column, as messages name them."""
        return f"{self.file}, row {self.number}, column '{column}'"

    def wrong(self, column: str, what: str) -> ConfigError:
        """The error to raise for a value of this row."""
        return ConfigError(f"{self.place(column)}: {what}")


def check_names(names: Iterable[str], file: str) -> None:
    """Raises ConfigError where a file has two columns of one name: one of them would be lost."""
    twice = [f"'{name}'" for name, n in Counter(names).items() if n > 1]
    if twice:
        raise ConfigError(
            f"{file} has more than one column {', '.join(twice)}: rename or remove all but one"
        )


@value
class Formatter:
    """A function that takes a row of a dataset and yields the points of a task.

    It is known by its path. Raises ConfigError where there is no such function.
    """

    path: str
    """The function as `package.module.function`."""

    def __post_init__(self) -> None:
        self._function()

    def __call__(self, rows: Iterable[Row]) -> Iterator[Any]:
        """The points of all rows. Those with an empty text are skipped: no user can mend them."""
        function = self._function()
        for row in rows:
            try:
                yield from function(row)
            except EmptyText:
                yield Skipped("empty text")

    def identity(self) -> str | dict[str, str | None]:
        """The function's name; its path and its source if it is one of a user's own."""
        if self.path.startswith(_OWN_MODULES):
            return self.path.rpartition(".")[2]
        return {"path": self.path, "source": source(self._function())}

    def _function(self) -> Callable[[Row], Iterator[Any]]:
        try:
            found = located(self.path)
        except ConfigError as error:
            expected = "expected package.module.function, importable from here"
            raise ConfigError(f"format: {error}; {expected}") from error
        if not inspect.isroutine(found):
            kind = type(found).__name__
            raise ConfigError(f"format: '{self.path}' is a {kind}, expected a function")
        return found


def _formatter(given: Any) -> Any:
    return Formatter(given) if isinstance(given, str) else given


FormatterPath = Annotated[Formatter, BeforeValidator(_formatter)]
"""A formatter; its path will do."""


def some(examples: Iterable[Example | Skipped], where: str) -> Iterator[Example | Skipped]:
    """Passes all points on.

    Raises ConfigError at the end, with the reasons, where all of them were skipped.
    """
    reasons: Counter[str] = Counter()
    found = False
    for example in examples:
        if isinstance(example, Skipped):
            reasons[example.reason] += 1
        else:
            found = True
        yield example
    if not found:
        counts = "; ".join(f"{n:,} {reason}" for reason, n in reasons.most_common())
        why = counts or "it has no rows"
        raise ConfigError(f"{where}: nothing in it can be used: {why}")


def of_two_classes(
    examples: Iterable[Example | Skipped], where: str
) -> Iterator[Example | Skipped]:
    """Passes all points on. Raises ConfigError at the end where all labels were the same."""
    labels: set[int | str] = set()
    for example in examples:
        if isinstance(example, Example):
            labels.add(example.label)
        yield example
    if len(labels) == 1:
        only = labels.pop()
        raise ConfigError(
            f"{where}: all labels are of class {only}, but two classes are needed: check them"
        )


def of_all_classes(
    examples: Iterable[Example | Skipped], names: Sequence[str], where: str
) -> Iterator[Example | Skipped]:
    """Passes all points on. Raises ConfigError at the end where one of the classes has none."""
    labels: set[int | str] = set()
    for example in examples:
        if isinstance(example, Example):
            labels.add(example.label)
        yield example
    missing = [name for n, name in enumerate(names) if n not in labels]
    if missing:
        raise ConfigError(
            f"{where}: no label is {' or '.join(missing)}: name only the classes that are there "
            "(task.classes=[...])"
        )
