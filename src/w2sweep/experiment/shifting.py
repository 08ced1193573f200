"""The examples of splits that are to be unlike the test (see `Shift`)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import cast

from w2sweep.experiment.screening import Item, in_order
from w2sweep.experiment.shift import TEST, Shift
from w2sweep.experiment.sizing import counts_of, sized
from w2sweep.tasks.conditions import KnowsWords, Unanswerable
from w2sweep.tasks.example import Example
from w2sweep.tasks.task import Task
from w2sweep.values import ConfigError

LEFT_OUT = "left out by the shift"


@dataclass(frozen=True)
class Shifting:
    """Chooses the examples of the splits that a shift touches."""

    shift: Shift
    task: Task
    """Whose examples they are."""
    seed: int
    """Of what is random. It disturbs no other split."""

    def shifted(
        self,
        shares: Mapping[str, Sequence[Item]],
        kept: Mapping[str, Sequence[Item]],
        classes: Sequence[int],
        dropped: Counter[str],
    ) -> dict[str, list[Item]]:
        """The items of each split, as many points as were kept without a shift.

        Args:
            shares: what belongs to each split by its groups.
            kept: what each split has without a shift.
            classes: the labels that are balanced.
            dropped: told how many points of the shares are left out.

        Raises:
            ConfigError: there are too few examples of the kind that is asked for.
        """
        found = {name: list(items) for name, items in kept.items()}
        for name in filter(self.shift.touches, kept):
            n = sum(map(len, kept[name]))
            found[name] = self._chosen(name, shares[name], n, classes)
            replaced = 0 if name == TEST else round(self.shift.without_answer * n)
            if replaced:
                elsewhere = [its for of, its in (*shares.items(), *found.items()) if of != name]
                others = list(chain.from_iterable(map(_points, elsewhere)))
                found[name] = self._with_unanswerable(name, found[name], replaced, others)
            dropped[LEFT_OUT] += sum(map(len, shares[name])) - n + replaced
        return found

    def _chosen(
        self, name: str, share: Sequence[Item], n: int, classes: Sequence[int]
    ) -> list[Item]:
        """`n` points of a split's share, with the words and the classes that are asked for."""
        words, rng = self.shift.words(name), self._random("items", name)
        among = [item for item in share if words == "all" or self._asks_about(words, item)]
        if self.shift.class_1 is not None and name != TEST:
            return self._out_of_balance(name, among, n, rng)
        found = sized(among, n, classes, exact=name == TEST, rng=rng, dropped=Counter())
        self._check(name, sum(map(len, found)), n, "")
        return found

    def _asks_about(self, words: str, item: Item) -> bool:
        task = cast("KnowsWords", self.task)
        return all(task.commonness(e) == words for e in item)

    def _out_of_balance(
        self, name: str, among: Sequence[Item], n: int, rng: random.Random
    ) -> list[Item]:
        """`n` points, of which class 1 has the share that is asked for."""
        if any(len(item) > 1 for item in among):
            raise ConfigError(
                f"shift.class_1: the examples of task {self.task.name} are answers to questions, "
                "of which as many are right as wrong: use a task of single texts, or "
                "shift.class_1=null"
            )
        ones = round((self.shift.class_1 or 0.0) * n)
        shuffled, there = rng.sample(among, len(among)), counts_of(among)
        found: list[Item] = []
        for label, count in ((0, n - ones), (1, ones)):
            self._check(name, there[label], count, f" of class {label}")
            found += [item for item in shuffled if item[0].label == label][:count]
        return found

    def _check(self, name: str, found: int, asked: int, of_class: str) -> None:
        """Raises ConfigError where there are fewer examples than are asked for."""
        if found >= asked:
            return
        words = self.shift.words(name)
        kind = "" if words == "all" else f" with {words} words"
        raise ConfigError(
            f"shift: split '{name}' can have {found:,} examples{of_class}{kind}, but {asked:,} are "
            f"needed: lower sizes.{name.split('_')[0]}, or give the task more examples (in the "
            "lab, task.pool)"
        )

    def _with_unanswerable(
        self, name: str, items: Sequence[Item], count: int, others: Sequence[Example]
    ) -> list[Item]:
        """The items with texts without an answer in place of so many, of each class the same share.
        They have these ones' labels, in random order.

        `others`: what belongs to other splits.
        """
        rng = self._random("texts without an answer", name)
        gone = _of_each_class(items, count, rng)
        labels = [items[row][0].label for row in gone]
        rng.shuffle(labels)
        texts = self._unanswerable(name, count, others, known=[*others, *_points(items)])
        new = [replace(text, label=label) for text, label in zip(texts, labels, strict=True)]
        kept = [item for row, item in enumerate(items) if row not in gone]
        return [*kept, *((text,) for text in new)]

    def _unanswerable(
        self, name: str, count: int, others: Sequence[Example], known: Sequence[Example]
    ) -> list[Example]:
        """The first so many texts without an answer that are not known, and share no group with
        others."""
        texts, groups = {e.id for e in known}, _groups(others)
        found: dict[str, Example] = {}
        for e in cast("Unanswerable", self.task).unanswerable():
            if len(found) == count:
                break
            if e.id not in texts and groups.isdisjoint(_groups([e])):
                found.setdefault(e.id, e)
        self._check(name, len(found), count, " without an answer")
        return list(found.values())

    def _random(self, what: str, split: str) -> random.Random:
        return random.Random(f"{self.seed} {what} {split}")


def _points(items: Iterable[Item]) -> list[Example]:
    return list(chain.from_iterable(items))


def _groups(examples: Iterable[Example]) -> set[str]:
    return set(chain.from_iterable(e.group.split("\n") for e in examples))


def _of_each_class(items: Sequence[Item], count: int, rng: random.Random) -> list[int]:
    """The rows of so many single points, of each class the same share, but for rounding."""
    by_class: dict[object, list[int]] = {}
    for row in sorted(range(len(items)), key=lambda row: in_order(items[row][0])):
        by_class.setdefault(items[row][0].label, []).append(row)
    taken: list[int] = []
    for seen, rows in enumerate(by_class.values(), start=1):
        before = sum(map(len, list(by_class.values())[:seen]))
        due = round(count * before / len(items)) - len(taken)
        taken += rng.sample(rows, due)
    return taken
