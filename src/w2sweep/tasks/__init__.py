"""What a task is: where its examples come from, and which head answers them. A family a file."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

from w2sweep.values import ConfigError, value

Family = Literal["nlp", "reward", "chess"]


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
    def of(*views: str, label: int | str, group: str | Sequence[str] = (), question: str = "") -> Example:
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


@value
class Choice:
    """K logits from the last token's final hidden state. Burns et al. 2023, appendix A.1."""

    classes: int = 2
    init: Literal["unembedding", "zero"] = "unembedding"
    """`unembedding`: the head starts as the unembedding rows of the tokens "0", "1", ... (the paper)."""


@value
class Reward:
    """One logit a view; the two are the K = 2 logits, so that cross-entropy on them is the Bradley-Terry loss."""

    init: Literal["unembedding", "zero"] = "unembedding"
    """`unembedding`: the head starts as the unembedding row of an arbitrary token (the paper, appendix A.3)."""


@value
class Completion:
    """The language model's own head: greedy completion, exact match. Burns et al. 2023, appendix A.2."""

    max_new_tokens: int = 8


Head = Choice | Reward | Completion


class Corpus(ABC):
    """Unlabelled text to pretrain on: a value (a frozen dataclass), for its fields are what a backbone depends on."""

    @abstractmethod
    def documents(self) -> Iterator[str]:
        """The documents, in an order that only depends on the fields."""


class Task(ABC):
    """A value (a frozen dataclass): the fields are what its examples depend on."""

    family: ClassVar[Family]
    head: Head
    name: str
    """As in tables and figures."""

    @abstractmethod
    def examples(self) -> Iterator[Example | Skipped]:
        """All labelled examples, in any order: `Splits` shuffles, balances and splits them by group."""

    @property
    @abstractmethod
    def corpus(self) -> Corpus:
        """What the lab's and the homegrown ladders are pretrained on for this task; without its labels."""

    def judge(self, example: Example, completion: str) -> dict[str, float]:
        """Further marks of one completion beside exact match (legality, ...), each averaged over the test split."""
        return {}


@dataclasses.dataclass(frozen=True)
class TaskTexts(Corpus):
    """The texts of a task's examples, without their labels."""

    task: Task

    def documents(self) -> Iterator[str]:
        """Every text once."""
        seen: set[str] = set()
        for example in self.task.examples():
            for text in example.views if isinstance(example, Example) else ():
                if text not in seen:
                    seen.add(text)
                    yield text


def located(path: str) -> Any:
    """The object that a dotted path names. Raises ConfigError where there is none."""
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise ConfigError(f"no function {path}: expected package.module.function, importable from here") from None
