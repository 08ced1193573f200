"""Chess games with few men, many at once: where the lab's positions come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from w2sweep.lab.chess.rules import BIT, COLOUR, GONE, B, Boards, Bools, Ints, K, N, P, Q, R, Turn

TABLES = 2000
"""Games played side by side."""
LENGTH = 6
"""Moves of both sides after which a game is given up."""
GREED, ATTACK, MATE = 1.0, 0.5, 100.0
"""How much rather than another move one is made that takes, gives check or, if it is seen, mates: added to log odds."""
PIECES = (0.5, 0.5, 0, 0), (0, 0.7, 0.15, 0.15), (0.1, 0.2, 0.35, 0.35)
"""Odds of queen, rook, bishop and knight at the start: as white's first piece, as its second, as black's only one."""
ABSENT = 0.25
"""How often each pawn, and black's piece, is missing at the start."""

_FILES = np.bitwise_or.reduce(BIT[:64].reshape(8, 8), axis=0)


@dataclass(frozen=True)
class Ply:
    """Positions of some games, each seen from the side to move, and the moves that are made."""

    game: Ints  # [N]
    turn: Turn  # of N boards
    made: Ints  # into the turn's steps, one for each board that has any


def play(rng: np.random.Generator, skill: float) -> Iterator[Ply]:
    """Games without end, ply by ply; the positions that they start from are left out. `skill` is how often a mate is
    seen."""
    games = 0
    while True:
        boards = setups(rng, TABLES).turned
        game = games + np.arange(len(boards))
        games += len(boards)
        for ply in range(LENGTH):
            on = plain(boards)
            turn, game = Turn.of(boards[on]), game[on]
            made = chosen(rng, turn, skill)
            if ply > 0:
                yield Ply(game, turn, made)
            boards, game = turn.steps.after[made].turned, game[turn.steps.board[made]]


def setups(rng: np.random.Generator, n: int) -> Boards:
    """What is legal of `n` random late middlegames with black to move: its king stands behind pawns, white attacks."""
    king = rng.integers(0, 8, (n, 1))
    files = [
        rng.integers(0, 8, (n, 1)),
        king,
        rng.integers(0, 8, (n, 4)),
        (king + np.arange(-1, 2)).clip(0, 7),
    ]
    first, last = rng.choice(5, (n, 1), p=[0.5, 0.2, 0.1, 0.1, 0.1]), np.full((n, 1), 7)
    shield = rng.choice([6, 5, 4], (n, 3), p=[0.7, 0.2, 0.1])
    ranks = [first, last, rng.integers(0, 8, (n, 3)), rng.integers(1, 7, (n, 1)), shield]
    men = np.tile([K, K + COLOUR, 0, 0, COLOUR, P, P + COLOUR, P + COLOUR, P + COLOUR], (n, 1))
    men[:, 2:5] += np.stack([rng.choice([Q, R, B, N], n, p=odds) for odds in PIECES], 1)
    squares = 8 * np.hstack(ranks) + np.hstack(files)
    squares[:, 4:][rng.random((n, 5)) < ABSENT] = GONE
    boards = Boards(men.astype(np.int8), squares.astype(np.int8))
    boards = boards[np.bitwise_count(boards.occupied()) == (squares < GONE).sum(1)]
    return boards[~boards.attacked(0)]


def plain(boards: Boards) -> Bools:  # [N]
    """Whether a pawn is left, so that mirroring is the only symmetry, and nobody could soon be taken en passant."""
    pawns = boards.occupied(boards.men % COLOUR == P) != 0
    landing = boards.occupied((boards.men == P) & (boards.squares // 8 == 1)) << np.uint64(16)
    beside = (landing << np.uint64(1)) & ~_FILES[0] | (landing >> np.uint64(1)) & ~_FILES[7]
    return pawns & (boards.occupied(boards.men == P + COLOUR) & beside == 0)


def chosen(rng: np.random.Generator, turn: Turn, skill: float) -> Ints:
    """A move of each board that has any."""
    steps, seen = turn.steps, rng.random(len(turn.boards)) < skill
    urge = rng.gumbel(size=len(steps)) + GREED * steps.takes + ATTACK * turn.check
    urge[turn.mate & seen[steps.board]] += MATE
    first = np.flatnonzero(np.diff(steps.board, prepend=-1))
    best = np.maximum.reduceat(urge, first)
    return np.flatnonzero(urge == np.repeat(best, np.diff(first, append=len(steps))))
