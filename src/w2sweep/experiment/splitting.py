"""Examples into splits that share no group, no duplicate, and no imbalance. Burns et al. 2023, appendix A.1."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from statistics import median
from typing import TYPE_CHECKING, Any

from w2sweep.tasks.example import Example, Skipped, normalized
from w2sweep.values import ConfigError

if TYPE_CHECKING:
    from w2sweep.experiment.splits import Sizes

TOLERANCE = 1.1
"""A class may have 1.1 times its even share: of two classes, 55 % (the paper)."""

Item = tuple[Example, ...]
"""The points of one question, or a single point: what is kept or left out as one."""


def split(
    rows: Iterable[Example | Skipped], sizes: Sizes, seed: int
) -> tuple[dict[str, list[Example]], dict[str, Any]]:
    """The splits of `sizes.asked`, each sorted by id, and their manifest (as JSON).

    Whole groups go to one split, in proportion to the sizes asked for; a question keeps as many right as wrong answers;
    duplicates are dropped; a class over 55 % is cut to perfect balance, in the test split any class is. The result
    depends on the set of rows and the seed, not on the order of the rows. Raises ConfigError where a split would be
    empty or only one class is there.
    """
    dropped: Counter[str] = Counter()
    offered = _offered(rows, dropped)
    classes = _classes(offered)
    items = list(
        _distinct(_usable(_items(offered, classes, dropped), sizes.max_chars, dropped), dropped)
    )

    rng = random.Random(seed)
    shares = _assign(items, sizes, rng)
    splits = {}
    for name, share in shares.items():
        kept = _sized(
            share, sizes.asked[name], classes, exact=name == "test", rng=rng, dropped=dropped
        )
        splits[name] = sorted((e for item in kept for e in item), key=_order)
        if not kept:
            raise ConfigError(_why_empty(name, share, classes))
    _check(splits)
    return splits, _manifest(splits, sizes, seed, offered, dropped)


def _offered(rows: Iterable[Example | Skipped], dropped: Counter[str]) -> list[Example]:
    examples = []
    for row in rows:
        if isinstance(row, Skipped):
            dropped[row.reason] += 1
        else:
            examples.append(row)
    return sorted(examples, key=_order)


def _order(e: Example) -> tuple[str, str, str]:
    return e.id, e.group, str(e.label)


def _items(
    examples: Sequence[Example], classes: Sequence[int], dropped: Counter[str]
) -> Iterator[Item]:
    """Single points, and questions cut to as many points of each class: the first by id, as good as at random."""
    by_question: dict[tuple[str, str], list[Example]] = defaultdict(list)
    for e in examples:
        if e.question:
            by_question[e.group, e.question].append(e)
        else:
            yield (e,)
    for points in by_question.values():
        answers = [[e for e in points if e.label == c] for c in classes]
        even = min(len(a) for a in answers)
        dropped["more wrong answers than right ones, or the reverse"] += len(points) - even * len(
            classes
        )
        if even:
            yield tuple(e for a in answers for e in a[:even])


def _classes(examples: Sequence[Example]) -> list[int]:
    """The labels that are balanced against each other: none where the labels are completions."""
    if not examples:
        raise ConfigError(
            "the task has no labelled examples: check its source (w2sweep-data TASK shows what it has)"
        )
    classes = sorted({e.label for e in examples if isinstance(e.label, int)})
    if len(classes) == 1:
        raise ConfigError(
            f"all {len(examples):,} examples have the label {classes[0]}, but two classes are needed: check the labels"
        )
    return classes


def _usable(items: Iterable[Item], max_chars: int, dropped: Counter[str]) -> Iterator[Item]:
    for item in items:
        lengths = [len(v) if v.strip() else 0 for e in item for v in e.views]
        if min(lengths) == 0:
            dropped["empty text"] += len(item)
        elif max(lengths) > max_chars:
            dropped[f"longer than {max_chars:,} characters"] += len(item)
        else:
            yield item


def _distinct(items: Iterable[Item], dropped: Counter[str]) -> Iterator[Item]:
    """Of near-exact duplicates the first; none where they contradict each other."""
    read = [(item, [_meaning(e) for e in item]) for item in items]
    answers: dict[str, set[str]] = defaultdict(set)
    for text, answer in chain.from_iterable(meanings for _, meanings in read):
        answers[text].add(answer)
    ids, texts = set(), set()
    for item, meanings in read:
        if any(len(answers[text]) > 1 for text, _ in meanings):
            dropped["duplicates with contradicting labels"] += len(item)
        elif not texts.isdisjoint(text for text, _ in meanings):
            exact = ids.issuperset(e.id for e in item)
            dropped["exact duplicates" if exact else "near-exact duplicates"] += len(item)
        else:
            texts.update(text for text, _ in meanings)
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


def _assign(items: Sequence[Item], sizes: Sizes, rng: random.Random) -> dict[str, list[Item]]:
    """Whole groups to splits, in random order, each to the split that has least so far of what it asked for.

    The size of the group itself does not count, or large groups would go to large splits and the test split would be of
    another kind. A split that has none of a class goes first, so that a few large groups are enough.
    """
    groups = _groups(items)
    asked = sizes.asked
    if len(groups) < len(asked):
        raise ConfigError(
            f"the examples form {len(groups)} groups, but a group is never split, so {len(asked)} are needed"
        )
    rng.shuffle(groups)

    shares: dict[str, list[Item]] = {name: [] for name in asked}
    have: dict[str, Counter[int | str]] = {name: Counter() for name in asked}
    total = Counter(_class(e) for item in items for e in item)
    for group in groups:
        counts = Counter(_class(e) for item in group for e in item)

        def filled(name: str, counts: Counter[int | str] = counts) -> tuple[bool, float]:
            already = have[name]
            parts = (n * already[c] / total[c] for c, n in counts.items())
            return all(already[c] for c in counts), sum(parts) / asked[name]

        name = min(asked, key=filled)
        shares[name].extend(group)
        have[name] += counts
    return shares


def _groups(items: Sequence[Item]) -> list[list[Item]]:
    """Items that share a group, directly or through others (union-find), in the order of their first ones."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := parent.setdefault(name, name)) != name:
            parent[name] = parent[above]
            name = above
        return name

    for item in items:
        first, *others = item[0].group.split("\n")
        for name in others:
            parent[root(name)] = root(first)
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[root(item[0].group.partition("\n")[0])].append(item)
    return list(groups.values())


def _class(e: Example) -> int | str:
    """Completions are all of one kind."""
    return e.label if isinstance(e.label, int) else ""


def _sized(
    share: Sequence[Item],
    size: int,
    classes: Sequence[int],
    *,
    exact: bool,
    rng: random.Random,
    dropped: Counter[str],
) -> list[Item]:
    """At most `size` points: rounds of one point a class, and then, within the tolerance, what is left of a class."""
    rounds, rest = _rounds(share, classes, rng)
    kept, room = [], size
    for batch in rounds:
        points = sum(len(item) for item in batch)
        if points <= room:
            kept.extend(batch)
            room -= points
        else:
            dropped["more than asked for"] += points
    even = exact or _uneven(Counter(_class(e) for item in share for e in item), classes)
    have = Counter(_class(e) for item in kept for e in item)
    for item in rest:
        if even or _uneven(have + Counter(map(_class, item)), classes):
            dropped["cut to balance the classes"] += 1
        elif not room:
            dropped["more than asked for"] += 1
        else:
            kept.append(item)
            have.update(map(_class, item))
            room -= 1
    return kept


def _uneven(counts: Counter[int | str], classes: Sequence[int]) -> bool:
    """Whether a class has more than its even share and the tolerance."""
    return max(counts.values()) * len(classes) > TOLERANCE * counts.total()


def _rounds(
    share: Sequence[Item], classes: Sequence[int], rng: random.Random
) -> tuple[list[list[Item]], list[Item]]:
    """Sets of items with as many points of each class, and the single points that remain, in random order."""
    share = rng.sample(share, len(share))
    if not classes:
        return [[item] for item in share], []
    rounds = [[item] for item in share if len(item) > 1]
    singles = [[item for item in share if len(item) == 1 and item[0].label == c] for c in classes]
    even = min(len(s) for s in singles)
    rounds += [list(one_each) for one_each in zip(*(s[:even] for s in singles), strict=True)]
    rng.shuffle(rounds)
    return rounds, [item for s in singles for item in s[even:]]


def _why_empty(name: str, share: Sequence[Item], classes: Sequence[int]) -> str:
    counts = Counter(_class(e) for item in share for e in item)
    found = (
        ", ".join(f"{counts[c]} of class {c}" for c in classes)
        if classes
        else f"{len(share)} examples"
    )
    return f"split '{name}' is empty: its groups have {found}, too few for a balanced set (sizes.{name})"


def _check(splits: dict[str, list[Example]]) -> None:
    """What everything else rests on, so it is looked at in every run and not only in tests."""
    home: dict[str, str] = {}
    for name, examples in splits.items():
        for group in (group for e in examples for group in e.group.split("\n")):
            if home.setdefault(group, name) != name:
                raise RuntimeError(f"group {group} is in two splits, {home[group]} and {name}")


def _manifest(
    splits: dict[str, list[Example]],
    sizes: Sizes,
    seed: int,
    offered: Sequence[Example],
    dropped: Counter[str],
) -> dict[str, Any]:
    return {
        "seed": seed,
        "max_chars": sizes.max_chars,
        "offered": _summary(offered),
        "dropped": {reason: n for reason, n in dropped.most_common() if n},
        "splits": {
            name: {
                "asked": sizes.asked[name],
                **_summary(examples),
                "ids": [e.id for e in examples],
            }
            for name, examples in splits.items()
        },
    }


def _summary(examples: Sequence[Example]) -> dict[str, Any]:
    """Points, groups, classes (none of completions), and the lengths of the texts in characters."""
    lengths = [max(len(v) for v in e.views) for e in examples]
    classes = Counter(e.label for e in examples if isinstance(e.label, int))
    return {
        "n": len(examples),
        "groups": len(_groups([(e,) for e in examples])),
        "classes": {str(c): n for c, n in sorted(classes.items())},
        "chars": {"min": min(lengths), "median": median(lengths), "max": max(lengths)},
    }
