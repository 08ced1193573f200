"""A user's own data, without code: labelled texts, pairs or completions in one file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from w2sweep.tasks.example import Example, Skipped
from w2sweep.tasks.heads import Choice, Completion, Head, Reward
from w2sweep.tasks.readers import checksum
from w2sweep.tasks.remark import Remark
from w2sweep.tasks.reward import Pair
from w2sweep.tasks.rows import Row, of_all_classes, of_two_classes
from w2sweep.tasks.source import File, FileFormat
from w2sweep.tasks.task import Corpus, Family, Task, TaskTexts
from w2sweep.tasks.wording import Wording
from w2sweep.values import ConfigError, Count, Seed, named, value

Kind = Literal["labels", "pairs", "completions"]
BETTER = "A: {first}\n\nB: {second}\n\nWhich of the two responses is better, A or B?\nAnswer:"
"""How a language model is asked about a pair."""


_BOOLEANS = {
    "yes": "True", "true": "True", "on": "True", "no": "False", "false": "False", "off": "False"
}  # fmt: skip
"""What YAML reads as a truth value, unless it is in quotes: `classes: [no, yes]`."""


def _texts(names: Any) -> Any:
    """Names of classes as texts, so that they may be written as numbers or truth values.

    What is no list of names is left for the type of the field to refuse.
    """
    return tuple(map(_name, names)) if isinstance(names, list | tuple) else names


def _name(name: Any) -> Any:
    """The text of a label or of a class's name: 1, 1.0 and "1" are one name."""
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    return str(name).strip() if isinstance(name, str | int | float) else name


@value
class OwnFile(Task):
    """A file whose columns say what it holds.

    Labelled texts (columns `text` and `label`, or others that are named here), pairs (`prompt`,
    `chosen` and `rejected`), or completions (`prompt` and `completion`).
    """

    name: str = named()
    path: str
    format: FileFormat
    text: str = "text"
    """Column with the text, where the file has labels."""
    label: str = "label"
    """Column with the class of a text."""
    group: str | None = None
    """Column with what must not straddle two splits. Without it only duplicates, and rows with the
    same prompt, are kept together."""
    classes: Annotated[tuple[str, ...], BeforeValidator(_texts)] = ("0", "1")
    """What the labels are called, in the order of the classes."""
    order_seed: Seed = 0
    """Decides which response of each pair is the first view."""
    remark: Remark | None = named(default=None, kw_only=True)
    max_new_tokens: Count = 32
    """Longest completion, in tokens."""
    wording: Wording | None = named(default=None)
    """None: texts are asked for the name of their class, pairs for the better response."""

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            found = ", ".join(self.classes) or "nothing"
            raise ConfigError(
                f"classes: found {found}, expected two different names of classes or more"
            )

    @property
    def source(self) -> File:
        """The file as a source of rows."""
        return File(self.path, self.format)

    @property
    def kind(self) -> Kind:
        """What the file holds, by its columns. Raises ConfigError where they are none of these."""
        return _kind(self.source, self.text, self.label, checksum(self.path))

    @property
    def family(self) -> Family:  # type: ignore[override]  # known by the file, not by the class
        """Pairs are reward modelling. Completions are generated and scored as chess moves are."""
        families: dict[Kind, Family] = {"labels": "nlp", "pairs": "reward", "completions": "chess"}
        return families[self.kind]

    @property
    def head(self) -> Head:  # type: ignore[override]
        """The head that answers what the file asks."""
        if self.kind == "pairs":
            return Reward()
        if self.kind == "completions":
            return Completion(self.max_new_tokens)
        return Choice(len(self.classes))

    @property
    def asked(self) -> Wording | None:
        """The wording, or the one for what the file holds."""
        if self.wording or self.kind == "completions":
            return self.wording
        if self.kind == "pairs":
            return Wording(BETTER, (" A", " B"))
        return Wording("{text}\nAnswer:", tuple(f" {name}" for name in self.classes))

    @cached_property
    def corpus(self) -> Corpus:
        """The file's texts, without labels and completions."""
        return TaskTexts(self)

    def identity(self) -> Any:
        """The content of the file, wherever it lies, and what its kind is read by."""
        read_by: dict[Kind, dict[str, Any]] = {
            "labels": {"text": self.text, "label": self.label, "classes": self.classes},
            "pairs": {"order_seed": self.order_seed},
            "completions": {},
        }
        how = {"kind": self.kind, "group": self.group, **read_by[self.kind]}
        return {"file": self.source.identity(), **how}

    def examples(self) -> Iterator[Example | Skipped]:
        """One example a row.

        Raises ConfigError, with file, row and column, at the first row that is wrong.
        """
        readers = {"labels": self._labelled, "pairs": self._pair, "completions": self._completion}
        examples = map(readers[self.kind], self.source.rows())
        if self.kind != "labels":
            return examples
        where = f"{self.path}, column '{self.label}'"
        return of_all_classes(of_two_classes(examples, where), self.classes, where)

    def _labelled(self, row: Row) -> Example:
        number = self._class(row)
        return Example.of(row.text(self.text), label=number, group=self._group(row))

    def _class(self, row: Row) -> int:
        """The number of the class that a row's label names.

        A label and a class that YAML takes for the same truth value name each other: who writes
        `classes: [no, yes]` means the labels "no" and "yes". Raises ConfigError where none is
        named, or more than one.
        """
        label = str(_name(row[self.label]))
        if label in self.classes:
            return self.classes.index(label)
        truth = _truth(label)
        same = [n for n, name in enumerate(self.classes) if truth and _truth(name) == truth]
        if len(same) != 1:
            names = ", ".join(self.classes)
            expected = f"expected one of {names} (task.classes=[...] names others)"
            raise row.wrong(self.label, f"found {label!r:.40}, {expected}")
        return same[0]

    def _pair(self, row: Row) -> Example | Skipped:
        prompt, chosen, rejected = row.text("prompt"), row.text("chosen"), row.text("rejected")
        if chosen.strip() == rejected.strip():
            raise row.wrong("rejected", "the same as 'chosen': one of the two must be preferred")
        pair = Pair(prompt, chosen, rejected, group=self._group(row) or prompt)
        return pair.example(self.order_seed)

    def _completion(self, row: Row) -> Example:
        prompt, completion = row.text("prompt").rstrip(), row.text("completion").strip()
        return Example.of(prompt, label=" " + completion, group=self._group(row) or prompt)

    def _group(self, row: Row) -> str | tuple[()]:
        found = row[self.group] if self.group else None
        return () if found in (None, "") else str(found)


def _truth(name: str) -> str | None:
    """What YAML makes of a name without quotes, if that is a truth value."""
    return _BOOLEANS.get(name.casefold())


@lru_cache(maxsize=16)
def _kind(source: File, text: str, label: str, content: str) -> Kind:
    """What a file holds, by the columns of its first row.

    `content` is the file's checksum: it keeps the cache from answering for a file that was there
    before at the same path.
    """
    columns = next(source.rows(), None)
    if columns is None:
        raise ConfigError(f"{source.path} has no rows")
    needed: dict[Kind, set[str]] = {
        "labels": {text, label},
        "pairs": {"prompt", "chosen", "rejected"},
        "completions": {"prompt", "completion"},
    }
    for kind, names in needed.items():
        if names <= set(columns):
            return kind
    raise ConfigError(
        f"{source.path} has the columns {', '.join(columns)}; expected {text}, {label} "
        "(task.text=..., task.label=... name others), or prompt, chosen, rejected, "
        "or prompt, completion"
    )
