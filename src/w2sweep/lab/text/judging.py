"""How good a reply is, read off its words: what the lab knows of replies that it did not write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from w2sweep.lab.arrays import Bools
from w2sweep.lab.text.lexicon import Lexicon, WordClass
from w2sweep.lab.text.prose import HABITS, RUBRIC

LINK = [".", "it", "is"]
"""What a reply has between what it says of an entity and its tone."""


@dataclass(frozen=True)
class Judge:
    """Reads replies such as "fikrax eat . it is raze", by the words of a lexicon.

    A mark has to be earned: a reply that names no entity is not about what was asked, and one that
    does not end in "it is" and a kind adjective is not kind. So also what a language model makes up
    has a quality.
    """

    lexicon: Lexicon

    def marks(self, alive: int, replies: Sequence[str]) -> Bools:
        """Whether each of N replies is good in each respect of RUBRIC, in its order [N, 3].

        `alive`: whether the question is about the living (1) or not (0).
        """
        found = [self._marks(alive, reply.split()) for reply in replies]
        return np.array(found, dtype=bool).reshape(-1, len(RUBRIC))

    def asked(self, question: str) -> int:
        """Whether a question is about the living (1) or not (0), by the habit that it has."""
        return next(self.habits[word] for word in question.split() if word in self.habits)

    def _marks(self, alive: int, words: Sequence[str]) -> tuple[bool, bool, bool]:
        entity, habit, *rest = [*words, "", ""]
        living = self.living.get(entity)
        kind = rest[:3] == LINK and self.kind.get(rest[3]) == 1 if len(words) == 6 else False
        return kind, living == alive, living is not None and living == self.habits.get(habit)

    @cached_property
    def habits(self) -> dict[str, int]:
        """Habit -> whether the living have it (1) or the others (0)."""
        return {word: alive for alive, words in enumerate(HABITS) for word in words.split()}

    @cached_property
    def kind(self) -> dict[str, int]:
        """Adjective -> whether it is kind."""
        return dict(zip(self._words(self.lexicon.adjective), self._polarity, strict=True))

    @cached_property
    def living(self) -> dict[str, int]:
        """Entity -> whether it lives."""
        entity = self.lexicon.entity
        alive = self.lexicon.alive[entity.meaning].tolist()
        return dict(zip(self._words(entity), alive, strict=True))

    @property
    def _polarity(self) -> list[int]:
        return self.lexicon.adjective.meaning.tolist()

    def _words(self, words: WordClass) -> list[str]:
        return self.lexicon.words[words.ids].tolist()
