"""The test examples that a sweep's page shows: a few of each kind, pair of rungs and method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import get_args

from w2sweep.results.cell import ROLES, Result
from w2sweep.results.shown import Kind, Shown

MOST = 160
"""Examples on a page: some 150 KB."""
SAYS: dict[Kind, str] = {
    "corrected": "student right, supervisor wrong",
    "spoiled": "supervisor right, student wrong",
}


@dataclass(frozen=True)
class Card:
    """An example, and the cell that it is of."""

    cell: Result
    shown: Shown

    @property
    def pair(self) -> str:
        """The rungs of the cell."""
        return f"{self.cell.strong} <- {self.cell.weak}"

    @property
    def method(self) -> str:
        """The cell's method, with what else it varies."""
        variant = ", ".join(f"{key}={value}" for key, value in self.cell.variant.items())
        return f"{self.cell.method} ({variant})" if variant else self.cell.method

    @property
    def kind(self) -> str:
        """What the example shows, as a reader is told it."""
        return SAYS[self.shown.kind]

    @property
    def answers(self) -> Iterator[tuple[str, str, bool]]:
        """Of each model: its role, its answer with the probability, whether that is right."""
        for role in ROLES:
            said = self.shown.answers[role]
            sure = self.shown.probabilities.get(role)
            text = said if sure is None else f"{said} ({100 * sure:.0f} %)"
            yield role, text, said.strip() == self.shown.truth.strip()


def cards(results: Sequence[Result]) -> list[Card]:
    """At most MOST cards, half of them of each kind, in the order of the cells. Cells are gone
    through in turns: none has two cards of a kind before each has one, as far as there is room."""
    wanted = MOST // len(get_args(Kind))
    return [card for kind in get_args(Kind) for card in _of_kind(results, kind, wanted)]


def _of_kind(results: Sequence[Result], kind: Kind, most: int) -> list[Card]:
    by_cell = [_deck(result, kind) for result in results]
    decks = sorted(filter(None, by_cell), key=lambda deck: deck[0].cell.seed)
    turns = chain.from_iterable(zip_longest(*_thinned(decks, most)))
    taken = [card for card in turns if card is not None][:most]
    place = {id(r): i for i, r in enumerate(results)}
    return sorted(taken, key=lambda card: (place[id(card.cell)], card.shown.number))


def _deck(result: Result, kind: Kind) -> list[Card]:
    """All cards of one kind that a cell has."""
    return [Card(result, shown) for shown in result.shown or () if shown.kind == kind]


def _thinned(decks: Sequence[list[Card]], most: int) -> Sequence[list[Card]]:
    """As many decks as examples are wanted, evenly spread over all of them."""
    if len(decks) <= most:
        return decks
    return [decks[i * len(decks) // most] for i in range(most)]
