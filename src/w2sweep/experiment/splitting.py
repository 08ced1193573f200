"""Examples into splits that share no group, no duplicate, and no imbalance.

Burns et al. 2023, appendix A.1.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from statistics import median
from typing import Any

from w2sweep.tasks.example import Example, Skipped, normalized
from w2sweep.values import ConfigError, Count, value

TOLERANCE = 1.1
"""A class may have 1.1 times its even share: of two classes, 55 % (the paper)."""

Item = tuple[Example, ...]
"""The points of one question, or a single point: what is kept or left out as one."""
Class = int | str
"""A label; completions are all of one class, ""."""


@value
class Sizes:
    """Examples asked for in each split; the manifest of `Splits` says what was there."""

    supervisor: Count
    """Labelled by the ground truth, for the supervisor."""
    student: Count
    """Labelled by the supervisor, for the student. The ceiling trains on the same examples."""
    validation: Count
    test: Count
    student_sets: Count = 1
    """Disjoint sets of student examples, for methods that take a fresh one at each step."""
    max_chars: Count = 10_000
    """Longer examples are left out, here and on text, so that every model sees the same ones."""

    @property
    def asked(self) -> dict[str, int]:
        """Examples by split."""
        students = {student_set(step): self.student for step in range(self.student_sets)}
        held_out = {"validation": self.validation, "test": self.test}
        return {"supervisor": self.supervisor, **students, **held_out}


def student_set(step: int) -> str:
    """The split of the student examples for step 0, 1, ..."""
    return f"student_{step + 1}" if step else "student"


def split(
    rows: Iterable[Example | Skipped], sizes: Sizes, seed: int
) -> tuple[dict[str, list[Example]], dict[str, Any]]:
    """The splits of `sizes.asked`, each sorted by id, and their manifest (as JSON).

    Whole groups go to one split, in proportion to the sizes asked for; a question keeps as many
    right as wrong answers; duplicates are dropped, all of them where their labels contradict each
    other; a class over 55 % is cut to perfect balance, in the test split any class is. The result
    depends on the set of rows and the seed, not on the order of the rows.

    Raises:
        ConfigError: a split would be empty, or only one class is there.
    """
    dropped: Counter[str] = Counter()
    offered = _offered(rows, dropped)
    classes = _classes(offered)
    agreed = _agreed(offered, dropped)
    usable = _usable(_items(agreed, classes, dropped), sizes.max_chars, dropped)
    items = list(_distinct(usable, dropped))

    rng = random.Random(seed)
    splits = {}
    for name, share in _assign(items, sizes, rng).items():
        exact = name == "test"
        kept = _sized(share, sizes.asked[name], classes, exact=exact, rng=rng, dropped=dropped)
        if not kept:
            raise ConfigError(_why_empty(name, share, classes))
        splits[name] = sorted(chain.from_iterable(kept), key=_order)
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


def _assign(items: Sequence[Item], sizes: Sizes, rng: random.Random) -> dict[str, list[Item]]:
    """Whole groups to splits, in random order, each to the split that has least so far of what it
    asked for.

    The size of the group itself does not count, or large groups would go to large splits and the
    test split would be of another kind.
    """
    groups = groups_of(items)
    asked = sizes.asked
    if len(groups) < len(asked):
        raise ConfigError(
            f"the examples form {len(groups)} groups, but a group is never split, so {len(asked)} "
            "are needed"
        )
    rng.shuffle(groups)

    shares: dict[str, list[Item]] = {name: [] for name in asked}
    have: dict[str, Counter[Class]] = {name: Counter() for name in asked}
    total = _counts(items)
    for group in groups:
        counts = _counts(group)
        filled = {name: _filled(have[name], counts, total, asked[name]) for name in asked}
        name = min(asked, key=filled.__getitem__)
        shares[name].extend(group)
        have[name] += counts
    return shares


def _filled(
    have: Mapping[Class, int], group: Mapping[Class, int], total: Mapping[Class, int], asked: int
) -> tuple[bool, float]:
    """How full a split is, for a group with these counts.

    Not at all where it has none of one of the group's classes, so that a few large groups are
    enough; else by the classes it has, as the group weighs them, over what it asked for.
    """
    parts = [n * have[c] / total[c] for c, n in group.items()]
    return all(have[c] for c in group), sum(parts) / asked


def _counts(items: Iterable[Item]) -> Counter[Class]:
    """Points of each class."""
    return Counter(map(_class, chain.from_iterable(items)))


def _class(e: Example) -> Class:
    return e.label if isinstance(e.label, int) else ""


def groups_of(items: Sequence[Item]) -> list[list[Item]]:
    """Items that share a group, directly or through others (union-find), in the order of their
    first ones."""
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


def _sized(
    share: Sequence[Item],
    size: int,
    classes: Sequence[int],
    *,
    exact: bool,
    rng: random.Random,
    dropped: Counter[str],
) -> list[Item]:
    """At most `size` points: rounds of one point a class, and then, within the tolerance, what is
    left of a class."""
    rounds, rest = _rounds(share, classes, rng)
    kept: list[Item] = []
    room = size
    for batch in rounds:
        points = sum(map(len, batch))
        if points <= room:
            kept.extend(batch)
            room -= points
        else:
            dropped["more than asked for"] += points
    even = exact or _uneven(_counts(share), classes)
    have = _counts(kept)
    for item in rest:
        more = _counts([item])
        if even or _uneven(have + more, classes):
            dropped["cut to balance the classes"] += 1
        elif not room:
            dropped["more than asked for"] += 1
        else:
            kept.append(item)
            have += more
            room -= 1
    return kept


def _uneven(counts: Counter[Class], classes: Sequence[int]) -> bool:
    """Whether a class has more than its even share and the tolerance."""
    return max(counts.values()) * len(classes) > TOLERANCE * counts.total()


def _rounds(
    share: Sequence[Item], classes: Sequence[int], rng: random.Random
) -> tuple[list[list[Item]], list[Item]]:
    """Sets of items with as many points of each class, and the single points that remain, in
    random order."""
    share = rng.sample(share, len(share))
    if not classes:
        return [[item] for item in share], []
    rounds = [[item] for item in share if len(item) > 1]
    singles: dict[Class, list[Item]] = {c: [] for c in classes}
    for item in share:
        if len(item) == 1:
            singles[item[0].label].append(item)
    even = min(map(len, singles.values()))
    rounds += map(list, zip(*(s[:even] for s in singles.values()), strict=True))
    rng.shuffle(rounds)
    rest = chain.from_iterable(s[even:] for s in singles.values())
    return rounds, list(rest)


def _why_empty(name: str, share: Sequence[Item], classes: Sequence[int]) -> str:
    counts = _counts(share)
    by_class = ", ".join(f"{counts[c]} of class {c}" for c in classes)
    found = by_class or f"{len(share)} examples"
    return (
        f"split '{name}' is empty: its groups have {found}, too few for a balanced set "
        f"(sizes.{name})"
    )


def _check(splits: dict[str, list[Example]]) -> None:
    """What everything else rests on, so it is looked at in every run and not only in tests."""
    home: dict[str, str] = {}
    for name, examples in splits.items():
        for group in chain.from_iterable(e.group.split("\n") for e in examples):
            if home.setdefault(group, name) != name:
                raise RuntimeError(f"group {group} is in two splits, {home[group]} and {name}")


def _manifest(
    splits: dict[str, list[Example]],
    sizes: Sizes,
    seed: int,
    offered: Sequence[Example],
    dropped: Counter[str],
) -> dict[str, Any]:
    described = {}
    for name, examples in splits.items():
        ids = [e.id for e in examples]
        described[name] = {"asked": sizes.asked[name], **_summary(examples), "ids": ids}
    return {
        "seed": seed,
        "max_chars": sizes.max_chars,
        "offered": _summary(offered),
        "dropped": {reason: n for reason, n in dropped.most_common() if n},
        "splits": described,
    }


def _summary(examples: Sequence[Example]) -> dict[str, Any]:
    """Points, groups, classes (none of completions), and the lengths of the texts in characters."""
    lengths = [max(map(len, e.views)) for e in examples]
    classes = Counter(e.label for e in examples if isinstance(e.label, int))
    groups = groups_of([(e,) for e in examples])
    return {
        "n": len(examples),
        "groups": len(groups),
        "classes": {str(c): n for c, n in sorted(classes.items())},
        "chars": {"min": min(lengths), "median": median(lengths), "max": max(lengths)},
    }
