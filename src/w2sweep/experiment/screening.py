"""Which of the examples that a task offers can be used, and what is kept or left out as one.

Burns et al. 2023, appendix A.1.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from w2sweep.tasks.example import Example, Skipped, normalized
from w2sweep.values import ConfigError

Item = tuple[Example, ...]
"""The points of one question, or a single point: what is kept or left out as one."""
Class = int | str
"""A label; completions are all of one class, ""."""


@dataclass(frozen=True)
class Screened:
    """What can be used of the examples of a task."""

    offered: list[Example]
    """All of them, in order."""
    classes: list[int]
    """The labels that are balanced against each other: none where labels are completions."""
    items: list[Item]


def screened(rows: Iterable[Example | Skipped], max_chars: int, dropped: Counter[str]) -> Screened:
    """The usable examples, without duplicates, and `dropped` with what was left out and why.

    Raises ConfigError where there is nothing, or one class alone.
    """
    offered = _offered(rows, dropped)
    classes = _classes(offered)
    agreed = _agreed(offered, dropped)
    usable = _usable(_items(agreed, classes, dropped), max_chars, dropped)
    return Screened(offered, classes, list(_distinct(usable, dropped)))


def _offered(rows: Iterable[Example | Skipped], dropped: Counter[str]) -> list[Example]:
    examples = []
    for row in rows:
        if isinstance(row, Skipped):
            dropped[row.reason] += 1
        else:
            examples.append(row)
    return sorted(examples, key=in_order)


def in_order(e: Example) -> tuple[str, str, str]:
    """What examples are sorted by."""
    return e.id, e.group, str(e.label)


def _classes(examples: Sequence[Example]) -> list[int]:
    """The labels that are balanced against each other: none where the labels are completions."""
    if not examples:
        raise ConfigError(
            "the task has no labelled examples: check its source (w2sweep-data TASK shows what it "
            "has)"
        )
    classes = sorted({e.label for e in examples if isinstance(e.label, int)})
    if len(classes) == 1:
        raise ConfigError(
            f"all {len(examples):,} examples have the label {classes[0]}, but two classes are "
            "needed: check the labels"
        )
    return classes


def _agreed(examples: Sequence[Example], dropped: Counter[str]) -> list[Example]:
    """The points whose text has the same answer wherever it occurs.

    They are looked for among all that are offered: once questions are cut to size, the point that
    contradicts another one may be gone, and the wrong one of the two be left.
    """
    meanings = list(map(_meaning, examples))
    answers: dict[str, set[str]] = defaultdict(set)
    for text, answer in meanings:
        answers[text].add(answer)
    agreed = [e for e, (text, _) in zip(examples, meanings, strict=True) if len(answers[text]) == 1]
    dropped["duplicates with contradicting labels"] += len(examples) - len(agreed)
    return agreed


def _items(
    examples: Sequence[Example], classes: Sequence[int], dropped: Counter[str]
) -> Iterator[Item]:
    """Single points, and questions cut to as many points of each class."""
    by_question: dict[tuple[str, str], list[Example]] = defaultdict(list)
    for e in examples:
        if e.question:
            by_question[e.group, e.question].append(e)
        else:
            yield (e,)
    for points in by_question.values():
        kept = _evened(points, classes)
        dropped["more wrong answers than right ones, or the reverse"] += len(points) - len(kept)
        if kept:
            yield kept


def _evened(points: Sequence[Example], classes: Sequence[int]) -> Item:
    """As many points of each class: the first by id, which is as good as at random."""
    by_class: dict[Class, list[Example]] = defaultdict(list)
    for point in points:
        by_class[point.label].append(point)
    even = min(len(by_class[c]) for c in classes)
    return tuple(chain.from_iterable(by_class[c][:even] for c in classes))


def _usable(items: Iterable[Item], max_chars: int, dropped: Counter[str]) -> Iterator[Item]:
    for item in items:
        texts = chain.from_iterable(e.views for e in item)
        lengths = [len(text) if text.strip() else 0 for text in texts]
        if min(lengths) == 0:
            dropped["empty text"] += len(item)
        elif max(lengths) > max_chars:
            dropped[f"longer than {max_chars:,} characters"] += len(item)
        else:
            yield item


def _distinct(items: Iterable[Item], dropped: Counter[str]) -> Iterator[Item]:
    """Of near-exact duplicates the first."""
    ids: set[str] = set()
    texts: set[str] = set()
    for item in items:
        own = {text for text, _ in map(_meaning, item)}
        if not texts.isdisjoint(own):
            exact = ids.issuperset(e.id for e in item)
            dropped["exact duplicates" if exact else "near-exact duplicates"] += len(item)
        else:
            texts.update(own)
            ids.update(e.id for e in item)
            yield item


def _meaning(e: Example) -> tuple[str, str]:
    """What is asked and answered, but for case, blanks, punctuation, and the order of two views.

    Before a completion only blanks do not count: in a chess position case is the colour of a piece.
    """
    if isinstance(e.label, str):
        return " ".join(e.views[0].split()), e.label.strip()
    views = [normalized(v) for v in e.views]
    return "\0".join(sorted(views)), views[e.label] if len(views) > 1 else str(e.label)
