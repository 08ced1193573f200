"""Chess games with few men, many at once: where the lab's positions come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from w2sweep.lab.arrays import Bools, Ints
from w2sweep.lab.chess.rules import BIT, COLOUR, GONE, B, Boards, K, N, P, Q, R, Turn

TABLES = 2000
"""Games played side by side."""
LENGTH = 6
"""Half-moves after which a game is given up."""
GREED, ATTACK, MATE = 1.0, 0.5, 100.0
"""What is added to the log odds of a move that takes, that gives check, and that mates if the mate
is seen."""
PIECES = (0.5, 0.5, 0, 0), (0, 0.7, 0.15, 0.15), (0.1, 0.2, 0.35, 0.35)
"""Odds of queen, rook, bishop and knight at the start: as white's first piece, as its second, and
as black's only one."""
ABSENT = 0.25
"""How often each pawn, and black's piece, is missing at the start."""

_FILES = np.bitwise_or.reduce(BIT[:64].reshape(8, 8), axis=0)
"""The squares of each file, as bits [8]."""


@dataclass(frozen=True)
class Ply:
    """N positions of some games, each seen from the side to move, and the moves that are made."""

    game: Ints
    """[N], the number of the game."""
    turn: Turn
    made: Ints
    """Into the moves of the turn: one for each board that has any."""


def play(rng: np.random.Generator, skill: float) -> Iterator[Ply]:
    """Games without end, half-move by half-move, without the positions that they start from.

    `skill` is how often a mate is seen.
    """
    games = 0
    while True:
        boards = setups(rng, TABLES).turned
        game = games + np.arange(len(boards))
        games += len(boards)
        for ply in range(LENGTH):
            on = eligible(boards)
            turn, game = Turn.of(boards[on]), game[on]
            made = chosen(rng, turn, skill)
            if ply > 0:
                yield Ply(game, turn, made)
            boards, game = turn.moves.after[made].turned, game[turn.moves.board[made]]


def setups(rng: np.random.Generator, n: int) -> Boards:
    """Those of `n` random positions that are legal, with black to move.

    They look like late middlegames: black's king stands behind pawns, and white attacks.
    """
    squares = _random_squares(rng, n)
    men = np.tile([K, K + COLOUR, 0, 0, COLOUR, P, P + COLOUR, P + COLOUR, P + COLOUR], (n, 1))
    men[:, 2:5] += np.stack([rng.choice([Q, R, B, N], n, p=odds) for odds in PIECES], 1)
    squares[:, 4:][rng.random((n, 5)) < ABSENT] = GONE
    boards = Boards(men.astype(np.int8), squares.astype(np.int8))
    boards = boards[np.bitwise_count(boards.occupied()) == (squares < GONE).sum(1)]
    return boards[~boards.attacked(0)]


def _random_squares(rng: np.random.Generator, n: int) -> Ints:
    """Squares [n, 9]: both kings, white's two pieces, black's one, white's pawn, black's pawns."""
    king = rng.integers(0, 8, (n, 1))
    white_king, pieces = rng.integers(0, 8, (n, 1)), rng.integers(0, 8, (n, 4))
    shield = (king + np.arange(-1, 2)).clip(0, 7)
    files = np.hstack([white_king, king, pieces, shield])
    first, last = rng.choice(5, (n, 1), p=[0.5, 0.2, 0.1, 0.1, 0.1]), np.full((n, 1), 7)
    advanced = rng.choice([6, 5, 4], (n, 3), p=[0.7, 0.2, 0.1])
    ranks = [first, last, rng.integers(0, 8, (n, 3)), rng.integers(1, 7, (n, 1)), advanced]
    return 8 * np.hstack(ranks) + files


def eligible(boards: Boards) -> Bools:
    """Whether a position may occur in the lab [N].

    A pawn must be left, so that mirroring is the only symmetry, and no pawn may be able to take
    another en passant at the next move.
    """
    pawns = boards.occupied(boards.men % COLOUR == P) != 0
    landing = boards.occupied((boards.men == P) & (boards.squares // 8 == 1)) << np.uint64(16)
    beside = (landing << np.uint64(1)) & ~_FILES[0] | (landing >> np.uint64(1)) & ~_FILES[7]
    return pawns & (boards.occupied(boards.men == P + COLOUR) & beside == 0)


def chosen(rng: np.random.Generator, turn: Turn, skill: float) -> Ints:
    """The move that is made on each board that has any, into the moves of the turn."""
    moves, seen = turn.moves, rng.random(len(turn.boards)) < skill
    urge = rng.gumbel(size=len(moves)) + GREED * moves.takes + ATTACK * turn.check
    urge[turn.mate & seen[moves.board]] += MATE
    first = np.flatnonzero(np.diff(moves.board, prepend=-1))
    best = np.maximum.reduceat(urge, first)
    return np.flatnonzero(urge == np.repeat(best, np.diff(first, append=len(moves))))
