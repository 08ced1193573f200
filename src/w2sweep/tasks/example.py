"""Examples: the labelled points that a task offers, as text."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One labelled point, as text. It is the same on any machine and for any tokenizer."""

    id: str
    """A hash of the raw text."""
    group: str
    """What the example must share a split with: the other examples of its question, passage, game.
    An example of several groups has a line for each; all that share any of them stay together."""
    views: tuple[str, ...]
    """One text, or for a comparison of two responses two: each response after its dialogue."""
    label: int | str
    """The class, the index of the preferred view, or the completion."""
    question: str = ""
    """Shared by the answers to one question, of which `Splits` keeps as many right ones as wrong
    ones. Empty for an example that is no such answer."""
    difficulty: float | None = None
    """The higher the harder, where that comes with the data, such as a puzzle's rating."""

    @staticmethod
    def of(
        *views: str,
        label: int | str,
        group: str | Sequence[str] = (),
        question: str = "",
        difficulty: float | None = None,
    ) -> Example:
        """An example with its id.

        `group` is one text, or several, that other examples may have too; letter case, blanks and
        punctuation do not count. Without one the example is a group of its own.
        """
        id = digest("\0".join(views))
        shared = [group] if isinstance(group, str) else group
        groups = "\n".join(map(_group, shared)) or id
        return Example(id, groups, views, label, question and digest(question), difficulty)


@dataclasses.dataclass(frozen=True, slots=True)
class Skipped:
    """A point that a dataset has but a task does not use. The manifest of `Splits` counts them."""

    reason: str


@lru_cache(maxsize=1024)  # a passage has many questions, one after the other
def _group(text: str) -> str:
    return digest(normalized(text))


def digest(text: str) -> str:
    """Sixteen hexadecimal digits that depend on the text alone."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def normalized(text: str) -> str:
    """The words of a text in lower case, which near-exact duplicates have in common.

    A text without words stays as it is.
    """
    return " ".join(re.findall(r"\w+", text.casefold())) or text.strip()
