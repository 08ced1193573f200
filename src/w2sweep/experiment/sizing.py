"""Items cut to the size of a split, with their classes in balance.

Burns et al. 2023, appendix A.1.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

from w2sweep.experiment.screening import Class, Item
from w2sweep.tasks.example import Example

TOLERANCE = 1.1
"""A class may have 1.1 times its even share: of two classes, 55 % (the paper)."""


def counts_of(items: Iterable[Item]) -> Counter[Class]:
    """Points of each class."""
    return Counter(map(_class, chain.from_iterable(items)))


def _class(e: Example) -> Class:
    return e.label if isinstance(e.label, int) else ""


def sized(
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
    even = exact or _uneven(counts_of(share), classes)
    have = counts_of(kept)
    for item in rest:
        more = counts_of([item])
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
