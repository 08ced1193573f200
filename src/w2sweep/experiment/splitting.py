"""Examples into splits that share no group, no duplicate, and no imbalance.

Burns et al. 2023, appendix A.1.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from statistics import median
from typing import Any

from w2sweep.experiment.screening import Class, Item, in_order, screened
from w2sweep.experiment.shifting import Shifting
from w2sweep.experiment.sizing import counts_of, sized
from w2sweep.tasks.example import Example, Skipped
from w2sweep.values import ConfigError, Count, value


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
    rows: Iterable[Example | Skipped], sizes: Sizes, seed: int, shifting: Shifting | None = None
) -> tuple[dict[str, list[Example]], dict[str, Any]]:
    """The splits of `sizes.asked`, each sorted by id, and their manifest (as JSON).

    Whole groups go to one split, in proportion to the sizes asked for; a question keeps as many
    right as wrong answers; duplicates are dropped, all of them where their labels contradict each
    other; a class over 55 % is cut to perfect balance, in the test split any class is. The result
    depends on the set of rows and the seed, not on the order of the rows.

    `shifting`: what makes some splits unlike the test; None: nothing does.

    Raises:
        ConfigError: a split would be empty, or only one class is there.
    """
    dropped: Counter[str] = Counter()
    found, rng = screened(rows, sizes.max_chars, dropped), random.Random(seed)
    shares = _assign(found.items, sizes, rng)
    kept: dict[str, list[Item]] = {}
    for name, share in shares.items():
        exact = name == "test"
        touched = shifting is not None and shifting.shift.touches(name)
        why = Counter[str]() if touched else dropped
        size, classes = sizes.asked[name], found.classes
        kept[name] = sized(share, size, classes, exact=exact, rng=rng, dropped=why)
        if not kept[name]:
            raise ConfigError(_why_empty(name, share, found.classes))
    if shifting is not None:
        kept = shifting.shifted(shares, kept, found.classes, dropped)
    splits = {name: sorted(chain.from_iterable(its), key=in_order) for name, its in kept.items()}
    _check(splits)
    manifest = _manifest(splits, sizes, seed, found.offered, dropped)
    return splits, manifest | ({"shift": asdict(shifting.shift)} if shifting else {})


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
    total = counts_of(items)
    for group in groups:
        counts = counts_of(group)
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


def _why_empty(name: str, share: Sequence[Item], classes: Sequence[int]) -> str:
    counts = counts_of(share)
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
