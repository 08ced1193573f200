"""Examples: labelled points as text, the same on any machine and for any tokenizer."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One labelled point, as text: the same on any machine and for any tokenizer."""

    id: str
    """A hash of the raw text."""
    group: str
    """Question, passage, game, ...: a group never straddles two splits. On several lines, several groups: whatever
    shares one of them stays together."""
    views: tuple[str, ...]
    """One text (NLP, chess), or two (reward: each response after its dialogue)."""
    label: int | str
    """The class; of two views, the index of the preferred one; for chess, the completion."""
    question: str = ""
    """Shared by the points of one question, which `Splits` cuts to as many of each class. "": a single point."""

    @staticmethod
    def of(
        *views: str, label: int | str, group: str | Sequence[str] = (), question: str = ""
    ) -> Example:
        """An example with its id. `group` is one text or several that it shares with others: their case, blanks and
        punctuation do not count. With none the example is a group of its own."""
        id = digest("\0".join(views))
        shared = [group] if isinstance(group, str) else group
        groups = "\n".join(map(_group, shared)) or id
        return Example(id, groups, views, label, question and digest(question))


@dataclasses.dataclass(frozen=True, slots=True)
class Skipped:
    """A point that the source has but the task does not use: counted in the manifest of the splits."""

    reason: str


@lru_cache(maxsize=1024)  # a passage has many questions, one after the other
def _group(text: str) -> str:
    return digest(normalized(text))


def digest(text: str) -> str:
    """Sixteen hexadecimal digits that depend on the text alone."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def normalized(text: str) -> str:
    """The words of a text in lower case: near-exact duplicates have the same. A text without words stays as it is."""
    return " ".join(re.findall(r"\w+", text.casefold())) or text.strip()
