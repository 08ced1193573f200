"""A user's own data, without code: labelled texts, pairs or completions, told apart by the columns of the file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator

from w2sweep.tasks.example import Example, Skipped
from w2sweep.tasks.heads import Choice, Completion, Head, Reward
from w2sweep.tasks.readers import checksum
from w2sweep.tasks.reward import Pair
from w2sweep.tasks.rows import Row, of_two_classes
from w2sweep.tasks.source import File, Format
from w2sweep.tasks.task import Corpus, Family, Task, TaskTexts
from w2sweep.values import ConfigError, named, value

Kind = Literal["labels", "pairs", "completions"]


@value
class OwnFile(Task):
    """A file with columns for labelled texts, or `prompt`, `chosen` and `rejected`, or `prompt` and `completion`."""

    name: str = named()
    path: str
    format: Format
    text: str = "text"
    """Column with the text, where the file has labels."""
    label: str = "label"
    """Column with the class of a text."""
    group: str | None = None
    """Column with what must not straddle two splits; without it only duplicates are kept together."""
    classes: Annotated[tuple[str, ...], BeforeValidator(lambda names: tuple(map(str, names)))] = (
        "0",
        "1",
    )
    """What the labels are called, in the order of the classes."""
    order_seed: int = 0
    """Decides which response of each pair is the first view."""
    max_new_tokens: int = 32
    """Of a completion."""

    def __post_init__(self) -> None:
        if len(set(self.classes)) < 2:
            raise ConfigError(
                f"classes: found {', '.join(self.classes)}, expected two different names of classes or more"
            )

    @property
    def source(self) -> File:
        """The file."""
        return File(self.path, self.format)

    @property
    def kind(self) -> Kind:
        """What the file's columns hold."""
        return _kind(self.source, self.text, self.label, checksum(self.path))

    @property
    def family(self) -> Family:  # type: ignore[override]  # of other tasks the class knows it, here the file
        """Pairs are compared as responses are; completions are generated as moves are."""
        families: dict[Kind, Family] = {"labels": "nlp", "pairs": "reward", "completions": "chess"}
        return families[self.kind]

    @property
    def head(self) -> Head:  # type: ignore[override]
        """One that can answer what the file asks."""
        if self.kind == "pairs":
            return Reward()
        return (
            Completion(self.max_new_tokens)
            if self.kind == "completions"
            else Choice(len(self.classes))
        )

    @property
    def corpus(self) -> Corpus:
        """The file's texts, without labels and completions."""
        return TaskTexts(self)

    def identity(self) -> object:
        """The content of the file, wherever it lies, and how it is read."""
        return {
            "file": self.source.identity(),
            "text": self.text,
            "label": self.label,
            "group": self.group,
            "classes": self.classes,
            "order_seed": self.order_seed,
        }

    def examples(self) -> Iterator[Example | Skipped]:
        """One example a row. Raises ConfigError, with file, row and column, at the first row that is wrong."""
        read = {"labels": self._labelled, "pairs": self._pair, "completions": self._completion}[
            self.kind
        ]
        examples = map(read, self.source.rows())
        return (
            of_two_classes(examples, f"{self.path}, column '{self.label}'")
            if self.kind == "labels"
            else examples
        )

    def _labelled(self, row: Row) -> Example:
        label = str(row[self.label]).strip()
        if label not in self.classes:
            names = ", ".join(self.classes)
            raise row.wrong(
                self.label,
                f"found {label!r:.40}, expected one of {names} (task.classes=[...] names others)",
            )
        return Example.of(
            row.text(self.text), label=self.classes.index(label), group=self._group(row)
        )

    def _pair(self, row: Row) -> Example | Skipped:
        prompt, chosen, rejected = row.text("prompt"), row.text("chosen"), row.text("rejected")
        if chosen.strip() == rejected.strip():
            raise row.wrong("rejected", "the same as 'chosen': one of the two must be preferred")
        return Pair(prompt, chosen, rejected, group=self._group(row) or prompt).example(
            self.order_seed
        )

    def _completion(self, row: Row) -> Example:
        prompt, completion = row.text("prompt").rstrip(), row.text("completion").strip()
        return Example.of(prompt, label=" " + completion, group=self._group(row) or prompt)

    def _group(self, row: Row) -> str | tuple[()]:
        found = row[self.group] if self.group else None
        return () if found in (None, "") else str(found)


@lru_cache(maxsize=16)
def _kind(source: File, text: str, label: str, content: str) -> Kind:
    """By the columns of the first row. `content` is there for the cache: another file at the same path is another."""
    columns = next(source.rows(), None)
    if columns is None:
        raise ConfigError(f"{source.path} has no rows")
    needed: dict[Kind, set[str]] = {
        "pairs": {"prompt", "chosen", "rejected"}, "completions": {"prompt", "completion"}, "labels": {text, label}
    }  # fmt: skip
    for kind in get_args(Kind):
        if needed[kind] <= set(columns):
            return kind
    raise ConfigError(
        f"{source.path} has the columns {', '.join(columns)}; expected {text}, {label} (task.text=..., task.label=... "
        "name others), or prompt, chosen, rejected, or prompt, completion"
    )
