"""Mate in one with few pieces: the puzzles, and the positions with moves that a backbone is pretrained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from w2sweep.lab.endgames import PIECES, SQUARES, Bools, Ints, Moves, Positions
from w2sweep.tasks import Completion, Corpus, Example, Family, Task
from w2sweep.values import ConfigError, value

Count = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]

BATCH = 40_000
"""Placements drawn at a time; about half are legal."""


@value
class Endgames(Corpus):
    """Positions, each with a move and what it does: `Q d8 #` mates, `Q d8 +` checks, `Q d8 .` does neither.

    Half of all positions with a single mating move are left out, with all their rotations and reflections: they are
    the puzzles.
    """

    seed: int
    pieces: Annotated[str, Field(pattern="^[QRBN]{2,4}$")] = "QR"
    """White has its king and two different ones of these."""
    tokens: Count = 1_500_000
    """Length of the corpus in words."""
    mating: Fraction = 0.5
    """Share of the positions that have a mate."""
    skill: Fraction = 0.7
    """How often a mate is played where there is one."""

    def documents(self) -> Iterator[str]:
        rng = np.random.default_rng((self.seed, 0))
        left = self.tokens
        while left > 0:
            positions = Positions.draw(rng, BATCH, self.pieces)
            moves = positions.moves()
            played = self._played(rng, moves)
            for text in notation(positions, moves, self._shown(rng, positions, moves, played)):
                yield text
                if (left := left - text.count(" ") - 1) <= 0:
                    return

    def _played(self, rng: np.random.Generator, moves: Moves) -> Ints:
        """One move of each position: a mate, where there is one and it is seen, else any."""
        seen = rng.random(len(moves.mate)) < self.skill  # where several mate, one of them is seen more easily
        urge = rng.random(len(moves.mate)) + (moves.mate & seen)
        order = np.lexsort((urge, moves.position))
        return order[np.flatnonzero(np.diff(moves.position, append=-1))]

    def _shown(self, rng: np.random.Generator, positions: Positions, moves: Moves, played: Ints) -> Ints:
        """Of the moves played those in positions that are no puzzles, `mating` of them with a mate, shuffled."""
        mates = np.bincount(moves.position, moves.mate, len(positions))
        played = played[~puzzling(positions, mates)[moves.position[played]]]
        mating = mates[moves.position[played]] > 0
        others = np.flatnonzero(~mating)[: round(mating.sum() * (1 - self.mating) / self.mating)]
        return rng.permutation(np.r_[played[mating], played[others]])


@value
class MateInOne(Task):
    """The one move that mates. Groups are positions up to rotation and reflection."""

    family: ClassVar[Family] = "chess"

    name: str
    games: Endgames
    head: Completion
    pool: Count = 6000

    @property
    def corpus(self) -> Corpus:
        return self.games

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng((self.games.seed, 1))
        seen: set[int] = set()
        while len(seen) < self.pool:
            positions = Positions.draw(rng, BATCH, self.games.pieces)
            moves = positions.moves()
            mates = np.bincount(moves.position, moves.mate, len(positions))
            solutions = np.flatnonzero(moves.mate & puzzling(positions, mates)[moves.position])
            kinds = positions.kinds[moves.position[solutions]].tolist()
            if seen.issuperset(kinds):
                raise ConfigError(
                    f"pool={self.pool}, but {self.games.pieces} give only {len(seen)} puzzles: ask for less"
                )
            for kind, text in zip(kinds, notation(positions, moves, solutions), strict=True):
                if kind not in seen and len(seen) < self.pool:
                    seen.add(kind)
                    position, move = text.split(" > ")
                    yield Example.of(f"{position} >", label=f" {move}", group=f"kind {kind}")

    def judge(self, example: Example, completion: str) -> dict[str, float]:
        """`legality`: whether the move can be made and does what its mark says."""
        positions = Positions.read(example.views[0])
        moves = positions.moves()
        legal = notation(positions, moves, np.arange(len(moves.mate)))
        return {"legality": float(f"{example.views[0]} {completion.strip()}" in legal)}


def puzzling(positions: Positions, mates: Ints) -> Bools:  # [N], [N] -> [N]
    """Whether a position is kept for puzzles: it has one mate, and its kind is of the half that is held out."""
    odd = (positions.kinds.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(63)
    return (mates == 1) & (odd == 1)


def notation(positions: Positions, moves: Moves, which: Ints) -> list[str]:
    """`which` of the moves as "K e1 Q d5 R a1 k e8 > Q d8 #": the position, and the move in spaced-out SAN."""
    pieces, squares = np.array(list(PIECES)), np.array(SQUARES)
    row, piece = moves.position[which], moves.piece[which]
    men, on = pieces[positions.pieces[row]], squares[positions.squares[row]]
    mark = np.where(moves.mate, "#", np.where(moves.check, "+", "."))[which]
    fixed = [np.full(len(which), w) for w in ("k", ">")]
    columns = [men[:, 0], on[:, 0], men[:, 1], on[:, 1], men[:, 2], on[:, 2], fixed[0], on[:, 3], fixed[1]]
    columns += [men[np.arange(len(which)), piece], squares[moves.end[which]], mark]
    return [" ".join(words) for words in zip(*(c.tolist() for c in columns), strict=True)]
