"""Chess with a king and two different pieces against a lone king: exact rules for many boards at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

PIECES = "KQRBN"
CORNER = np.array([56, 57, 58, 59])
"""a8 to d8: by symmetry, a king at the edge is on one of these."""
SQUARES = [f + r for r in "12345678" for f in "abcdefgh"]


def _lines() -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
    """Where each piece goes on an empty board [5, 64, 64], and the squares it passes, as bits [64, 64]."""
    square = np.stack(np.divmod(np.arange(64), 8), 1)
    step = square[None] - square[:, None]  # [64, 64, 2]
    rank, file = np.abs(step).transpose(2, 0, 1)
    diagonal, straight = (rank == file) & (rank > 0), (rank == 0) ^ (file == 0)
    moves = [np.maximum(rank, file) == 1, diagonal | straight, straight, diagonal, rank * file == 2]
    to, via = step[:, :, None], step[:, None, :]  # a -> b and a -> c, for all a, b, c
    along = (to * via).sum(-1)
    between = (to[..., 0] * via[..., 1] == to[..., 1] * via[..., 0]) & (along > 0) & (along < (to * to).sum(-1))
    between &= (diagonal | straight)[:, :, None]
    return np.stack(moves), (between * BIT).sum(-1, dtype=np.uint64)


BIT = np.uint64(1) << np.arange(64, dtype=np.uint64)
REACH, BETWEEN = _lines()
_TURNS = np.arange(64).reshape(8, 8)
SYMMETRIES = np.stack([np.rot90(b, k).ravel() for b in (_TURNS, _TURNS.T) for k in range(4)])  # [8, 64]


def attacks(piece: Ints, start: Ints, end: Ints, occupied: NDArray[np.uint64]) -> Bools:
    """Whether a piece on `start` attacks `end`; the shapes broadcast."""
    return REACH[piece, start, end] & ((BETWEEN[start, end] & occupied) == 0)


@dataclass(frozen=True)
class Positions:
    """Positions with white to move."""

    pieces: Ints  # [N, 3], into PIECES, the king first
    squares: Ints  # [N, 4], of the three pieces and of the black king

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, rows: Ints | Bools) -> Positions:
        return Positions(self.pieces[rows], self.squares[rows])

    @staticmethod
    def draw(rng: np.random.Generator, n: int, pieces: str) -> Positions:
        """What is legal of `n` random placements of two of `pieces`; the black king is at the edge, like most mates."""
        kinds = np.sort([PIECES.index(p) for p in pieces])
        pairs = np.stack(np.triu_indices(len(kinds), 1), 1)
        pair = kinds[pairs[rng.integers(0, len(pairs), n)]]
        squares = np.c_[rng.integers(0, 64, (n, 3)), rng.choice(CORNER, n)]
        positions = Positions(np.c_[np.zeros(n, np.int64), pair], squares)
        return positions[positions.legal]

    @staticmethod
    def read(text: str) -> Positions:
        """One position, from "K e1 Q d5 R a1 k e8 >"."""
        men, squares = text.split()[:6:2], text.split()[1:8:2]
        return Positions(np.array([[PIECES.index(p) for p in men]]), np.array([[SQUARES.index(s) for s in squares]]))

    @property
    def occupied(self) -> NDArray[np.uint64]:  # [N], as bits
        return np.bitwise_or.reduce(BIT[self.squares], axis=1)

    @property
    def legal(self) -> Bools:  # [N]
        """All on squares of their own, and black, who has just moved, not in check."""
        apart = np.bitwise_count(self.occupied) == self.squares.shape[1]
        return apart & ~self.checks

    @property
    def checks(self) -> Bools:  # [N]
        """Whether the black king is attacked."""
        king = self.squares[:, 3:]
        return np.logical_or.reduce(attacks(self.pieces, self.squares[:, :3], king, self.occupied[:, None]), axis=1)

    @property
    def kinds(self) -> Ints:  # [N]
        """The same number for a position and its eight rotations and reflections: without pawns they are one."""
        images = SYMMETRIES[:, self.squares]  # [8, N, 4]
        codes = images @ (64 ** np.arange(4))
        return codes.min(0) + 64**4 * (self.pieces @ (5 ** np.arange(3)))

    def moves(self) -> Moves:
        """All legal moves, position by position."""
        free = (BIT & self.occupied[:, None]) == 0  # [N, 64]
        found = []
        for i in range(3):
            start = self.squares[:, i, None]
            goes = free & attacks(self.pieces[:, i, None], start, np.arange(64), self.occupied[:, None])
            if i == 0:
                goes &= ~REACH[0, self.squares[:, 3]]
            position, end = np.nonzero(goes)
            found.append(np.stack([position, np.full(len(position), i), end], 1))
        table = np.concatenate(found)
        position, piece, end = table[np.argsort(table[:, 0], kind="stable")].T
        after = self.after(position, piece, end)
        check = after.checks
        mate = np.zeros(len(check), dtype=bool)
        mate[check] = ~after[check].escapes()
        return Moves(position, piece, end, check, mate)

    def after(self, position: Ints, piece: Ints, end: Ints) -> Positions:
        squares = self.squares[position]
        squares[np.arange(len(piece)), piece] = end
        return Positions(self.pieces[position], squares)

    def escapes(self) -> Bools:  # [N]
        """Whether the black king can step out of check, on a free square or by taking a piece."""
        king = self.squares[:, 3]
        without = self.occupied & ~BIT[king]  # it does not hide behind itself
        escape = np.zeros(len(self), dtype=bool)
        for to in _STEPS[king].T:  # [N], -1 beyond the edge
            there = np.where(to < 0, king, to)
            hit = attacks(self.pieces, self.squares[:, :3], there[:, None], (without & ~BIT[there])[:, None])
            escape |= (to >= 0) & ~hit.any(1)
        return escape


@dataclass(frozen=True)
class Moves:
    """Legal moves of some positions."""

    position: Ints  # [M], its row, ascending
    piece: Ints  # [M], which of its three
    end: Ints  # [M], the square it goes to
    check: Bools  # [M]
    mate: Bools  # [M]


_STEPS = np.array([(np.flatnonzero(REACH[0, s]).tolist() + [-1] * 8)[:8] for s in range(64)])
