"""Chess for many boards at once: exact rules, but for castling and en passant, which nobody here may do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Small = NDArray[np.int8]
"""Men and squares: small, since it is memory that takes the time."""
Bools = NDArray[np.bool_]
Bits = NDArray[np.uint64]

MEN = "KQRBNPkqrbnp"
"""As in FEN: white's are large."""
K, Q, R, B, N, P = range(6)
COLOUR = 6
"""From a white man to the black one of the same kind."""
SQUARES = [f + r for r in "12345678" for f in "abcdefgh"]
GONE = 64
"""Where a man stands that has been taken: no square, reached from nowhere."""

BIT = np.append(np.uint64(1) << np.arange(64, dtype=np.uint64), np.uint64(0))
FLIPPED = np.append(np.arange(64) ^ 56, GONE).astype(np.int8)
MIRRORED = np.append(np.arange(64) ^ 7, GONE).astype(np.int8)
EXCHANGED = np.roll(np.arange(12), COLOUR).astype(np.int8)


def _geometry() -> tuple[Bools, Bits]:
    """What each man attacks on an empty board [12, 65, 65], and the squares between two others on a line [65, 65]."""
    square = np.stack(np.divmod(np.arange(64), 8), 1)
    step = square[None] - square[:, None]  # [64, 64, 2]
    up, (rank, file) = step[..., 0], np.abs(step).transpose(2, 0, 1)
    diagonal, straight = (rank == file) & (rank > 0), (rank == 0) ^ (file == 0)
    pieces = [
        np.maximum(rank, file) == 1,
        diagonal | straight,
        straight,
        diagonal,
        rank * file == 2,
    ]
    attacks = np.stack([*pieces, (up == 1) & (file == 1), *pieces, (up == -1) & (file == 1)])
    to, via = step[:, :, None], step[:, None, :]  # a -> b and a -> c, for all a, b, c
    along = (to * via).sum(-1)
    between = (
        (to[..., 0] * via[..., 1] == to[..., 1] * via[..., 0])
        & (along > 0)
        & (along < (to * to).sum(-1))
    )
    between &= (diagonal | straight)[:, :, None]
    edge = [(0, 1), (0, 1)]
    return np.pad(attacks, [(0, 0), *edge]), np.pad(
        (between * BIT[:64]).sum(-1, dtype=np.uint64), edge
    )


ATTACKS, BETWEEN = _geometry()
THREATS = [
    ATTACKS * (np.arange(12) >= COLOUR)[:, None, None],
    ATTACKS * (np.arange(12) < COLOUR)[:, None, None],
]
"""Black's, to white's king; white's, to black's."""
ANY, FREE, TAKEN = range(3)
"""What must be on the square that a man goes to, beside no man of its own."""


def _paths() -> tuple[Small, Ints, Ints]:
    """All that white men can do: end, man on arrival, what must be there [3, paths]; and of each man and square the
    first of its paths and their number [12, 65]. Black men have none, and neither has who is gone."""
    paths, first, number = [], np.zeros((12, 65), np.int64), np.zeros((12, 65), np.int64)
    for man in range(COLOUR):
        for square in range(64):
            ends = [
                (end, TAKEN if man == P else ANY) for end in np.flatnonzero(ATTACKS[man, square])
            ]
            if man == P:
                ends += [(square + 8, FREE)] * (square < 56) + [(square + 16, FREE)] * (
                    8 <= square < 16
                )
            first[man, square] = len(paths)
            for end, need in ends:
                paths += [
                    (end, new, need) for new in ((Q, R, B, N) if man == P and end >= 56 else (man,))
                ]
            number[man, square] = len(paths) - first[man, square]
    return np.array(paths, np.int8).T.copy(), first, number


PATHS, FIRST, NUMBER = _paths()


def numbered(rows: Ints | Bools) -> Ints:
    """Row numbers of a mask, which `take` finds much faster."""
    return np.flatnonzero(rows) if rows.dtype == bool else np.asarray(rows, np.int64)


@dataclass(frozen=True)
class Boards:
    """Positions with white to move. Who is to move is white by definition: `turned` is the same position seen from the
    other side, which without castling loses nothing."""

    men: Small  # [N, M], into MEN; the white king first, the black one second
    squares: Small  # [N, M], GONE if taken

    def __len__(self) -> int:
        return len(self.men)

    def __getitem__(self, rows: Ints | Bools) -> Boards:
        rows = numbered(rows)
        return Boards(self.men.take(rows, axis=0), self.squares.take(rows, axis=0))

    @property
    def turned(self) -> Boards:
        """The board turned round and the colours exchanged."""
        order = np.r_[1, 0, 2 : self.men.shape[1]]
        return Boards(EXCHANGED[self.men[:, order]], FLIPPED[self.squares[:, order]])

    def occupied(self, by: Bools | None = None) -> Bits:  # [N, M] -> [N]
        """Squares with a man on them, as bits."""
        bits = BIT[self.squares]
        return reduce(np.bitwise_or, (bits if by is None else np.where(by, bits, np.uint64(0))).T)

    def attacked(self, king: int) -> Bools:  # [N]
        """Whether the white (0) or the black (1) king is attacked."""
        target = self.squares[:, king]
        where = (self.men * np.int32(65) + self.squares) * np.int32(65) + target[:, None]
        row, man = np.nonzero(THREATS[king].take(where))
        clear = BETWEEN[self.squares[row, man], target[row]] & self[row].occupied() == 0
        attacked = np.zeros(len(self), dtype=bool)
        attacked[row[clear]] = True
        return attacked

    def steps(self, only: slice = slice(None)) -> Steps:
        """Legal moves, board by board; `only` of some men."""
        board, man = np.nonzero(NUMBER[self.men, self.squares][:, only])
        man += only.start or 0
        kind, start = self.men[board, man], self.squares[board, man]
        number = NUMBER[kind, start]
        path = np.repeat(FIRST[kind, start] - np.cumsum(number) + number, number) + np.arange(
            number.sum()
        )
        board, man, start = (
            np.repeat(board, number),
            np.repeat(man, number),
            np.repeat(start, number),
        )
        end, new, need = PATHS.take(path, axis=1)
        white = self.men < COLOUR
        own, other = self.occupied(white)[board], self.occupied(~white)[board]
        there = (
            np.where(need == TAKEN, other, np.where(need == FREE, ~(own | other), ~own)) & BIT[end]
        )
        way = (there != 0) & (BETWEEN[start, end] & (own | other) == 0)
        steps = Steps.on(self, board[way], man[way], end[way], new[way])
        return steps[~steps.after.attacked(0)]

    def stuck(self) -> Bools:  # [N]
        """Whether there is no legal move."""
        stuck = np.ones(len(self), dtype=bool)
        stuck[self.steps(only=slice(0, 1)).board] = (
            False  # the king's steps are few, and nearly always enough
        )
        left = np.flatnonzero(stuck)
        stuck[left[self[left].steps(only=slice(2, None)).board]] = False
        return stuck


@dataclass(frozen=True)
class Steps:
    """Moves of white on some boards, in the boards' order."""

    board: Ints  # [L], which board
    man: Ints  # [L], which of its men
    start: Small  # [L]
    end: Small  # [L]
    new: Small  # [L], what it then is
    takes: Bools  # [L]
    after: Boards  # [L]

    def __len__(self) -> int:
        return len(self.board)

    def __getitem__(self, rows: Ints | Bools) -> Steps:
        rows = numbered(rows)
        fields = (self.board, self.man, self.start, self.end, self.new, self.takes)
        return Steps(*(field.take(rows) for field in fields), self.after[rows])  # type: ignore[arg-type]

    @staticmethod
    def on(boards: Boards, board: Ints, man: Ints, end: Small, new: Small) -> Steps:
        """The moves of these men, that become `new` ones (a pawn may)."""
        rows, after = np.arange(len(board)), boards[board]
        men, squares = after.men, after.squares
        start = squares[rows, man]
        taken = squares == end[:, None]
        squares[taken] = GONE
        squares[rows, man], men[rows, man] = end, new
        return Steps(board, man, start, end, new, reduce(np.logical_or, taken.T), after)


@dataclass(frozen=True)
class Turn:
    """Positions, all legal moves, and what these do."""

    boards: Boards  # [N]
    steps: Steps  # [L]
    check: Bools  # [L]
    mate: Bools  # [L], in check too

    @staticmethod
    def of(boards: Boards) -> Turn:
        steps = boards.steps()
        check = steps.after.attacked(1)
        mate = check.copy()
        mate[check] = steps.after[check].turned.stuck()
        return Turn(boards, steps, check, mate)

    @property
    def mates(self) -> Ints:  # [N]
        """How many moves mate."""
        return np.bincount(self.steps.board[self.mate], minlength=len(self.boards))
