"""The rules of chess for many boards at once, exact but for castling and en passant.

Neither of these two is ever possible in the lab's games. "Men" are pieces and pawns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from w2sweep.lab.arrays import Bits, Bools, Int8s, Ints

MEN = "KQRBNPkqrbnp"
"""The letters of FEN: white's are upper case."""
K, Q, R, B, N, P = range(6)
COLOUR = 6
"""The distance in MEN from a white man to the black one of the same kind."""
SQUARES = [f + r for r in "12345678" for f in "abcdefgh"]
GONE = 64
"""Where a man stands that has been taken: no square, and not reached from any."""

BIT = np.append(np.uint64(1) << np.arange(64, dtype=np.uint64), np.uint64(0))
"""The bit of each square [65]; GONE has none."""
FLIPPED = np.append(np.arange(64) ^ 56, GONE).astype(np.int8)
"""Each square as seen from the other side [65]."""
MIRRORED = np.append(np.arange(64) ^ 7, GONE).astype(np.int8)
"""Each square in a mirror, file a for file h [65]."""
EXCHANGED = np.roll(np.arange(12), COLOUR).astype(np.int8)
"""Each man in the other colour [12]."""
ANY, FREE, TAKEN = range(3)
"""What must be on the square that a man goes to, beside no man of its own: anything else, nothing,
or a man to take."""


def _attacks(step: Ints) -> Bools:
    """Whether each man attacks one square from another on an empty board [12, 64, 64].

    `step` [64, 64, 2] is the way from each square to each other one, in ranks and files.
    """
    up, (rank, file) = step[..., 0], np.abs(step).transpose(2, 0, 1)
    diagonal, straight = _lines(step)
    king, knight = np.maximum(rank, file) == 1, rank * file == 2
    pieces = [king, diagonal | straight, straight, diagonal, knight]
    white_pawn, black_pawn = (up == 1) & (file == 1), (up == -1) & (file == 1)
    return np.stack([*pieces, white_pawn, *pieces, black_pawn])


def _lines(step: Ints) -> tuple[Bools, Bools]:
    """Whether two squares are on a diagonal, and whether on a rank or file, [64, 64] each."""
    rank, file = np.abs(step).transpose(2, 0, 1)
    return (rank == file) & (rank > 0), (rank == 0) ^ (file == 0)


def _between(step: Ints) -> Bits:
    """The squares between two others that are on one line [64, 64]."""
    diagonal, straight = _lines(step)
    to, via = step[:, :, None], step[:, None, :]  # from a to b, and from a to c, for all a, b, c
    along = (to * via).sum(-1)
    on_line = to[..., 0] * via[..., 1] == to[..., 1] * via[..., 0]
    between = on_line & (along > 0) & (along < (to * to).sum(-1))
    between &= (diagonal | straight)[:, :, None]
    return (between * BIT[:64]).sum(-1, dtype=np.uint64)


def _geometry() -> tuple[Bools, Bits]:
    """What each man attacks on an empty board [12, 65, 65], and squares between others [65, 65].

    GONE is the last of the 65 squares: from there and to there nothing is attacked.
    """
    square = np.stack(np.divmod(np.arange(64), 8), 1)
    step = square[None] - square[:, None]  # [64, 64, 2]
    gone = (0, 1)
    return np.pad(_attacks(step), [(0, 0), gone, gone]), np.pad(_between(step), [gone, gone])


ATTACKS, BETWEEN = _geometry()
_IS_BLACK = (np.arange(12) >= COLOUR)[:, None, None]
THREATS = [ATTACKS * _IS_BLACK, ATTACKS * ~_IS_BLACK]
"""What black's men attack, as a danger to white's king, and what white's do, to black's."""


def _paths_of(man: int, square: int) -> list[tuple[int, int, int]]:
    """Where a white man can go from a square: end, man on arrival, what must be there."""
    need = TAKEN if man == P else ANY
    ends = [(int(end), need) for end in np.flatnonzero(ATTACKS[man, square])]
    if man == P and square < 56:
        ends.append((square + 8, FREE))
    if man == P and 8 <= square < 16:
        ends.append((square + 16, FREE))
    paths = []
    for end, need in ends:
        arriving = (Q, R, B, N) if man == P and end >= 56 else (man,)
        paths += [(end, new, need) for new in arriving]
    return paths


def _paths() -> tuple[Int8s, Ints, Ints]:
    """All paths of white's men [3, paths], as `_paths_of` says.

    Also the first path of each man and square, and how many there are, [12, 65] each. Black's men
    have none, and neither has who is gone.
    """
    paths: list[tuple[int, int, int]] = []
    first, number = np.zeros((12, 65), np.int64), np.zeros((12, 65), np.int64)
    for man in range(COLOUR):
        for square in range(64):
            own = _paths_of(man, square)
            first[man, square], number[man, square] = len(paths), len(own)
            paths += own
    return np.array(paths, np.int8).T.copy(), first, number


PATHS, FIRST, NUMBER = _paths()


def _way(start: Int8s, end: Int8s) -> Bits:
    """The squares between two others [n]."""
    return BETWEEN.take(start * np.int32(65) + end)


def row_numbers(rows: Ints | Bools) -> Ints:
    """Row numbers [n], also of a mask [N]: `take` with numbers is much faster than with a mask."""
    return np.flatnonzero(rows) if rows.dtype == bool else np.asarray(rows, np.int64)


@dataclass(frozen=True)
class Boards:
    """N positions with white to move, of M men each.

    Whoever is to move is called white: `turned` is the same position seen by the other side, which
    loses nothing, as there is no castling.
    """

    men: Int8s
    """[N, M], into MEN: the white king first, the black one second."""
    squares: Int8s
    """[N, M], into SQUARES; GONE for men that were taken."""

    def __len__(self) -> int:
        return len(self.men)

    def __getitem__(self, rows: Ints | Bools) -> Boards:
        rows = row_numbers(rows)
        return Boards(self.men.take(rows, axis=0), self.squares.take(rows, axis=0))

    @property
    def turned(self) -> Boards:
        """The boards turned round, with the colours exchanged."""
        order = np.r_[1, 0, 2 : self.men.shape[1]]
        return Boards(EXCHANGED[self.men[:, order]], FLIPPED[self.squares[:, order]])

    def occupied(self, by: Bools | None = None) -> Bits:
        """The squares with a man on them, as bits [N]; with a man of `by` [N, M], if given."""
        bits = BIT.take(self.squares)
        return reduce(np.bitwise_or, (bits if by is None else np.where(by, bits, np.uint64(0))).T)

    def attacked(self, king: int) -> Bools:
        """Whether the white king (0) or the black one (1) is attacked [N]."""
        # the numbers of a flat array are much faster to find than those of rows and columns
        where = np.flatnonzero(self._aiming(king))
        row = where // self.men.shape[1]
        way = _way(self.squares.take(where), self.squares[:, king].take(row))
        clear = way & self[row].occupied() == 0
        attacked = np.zeros(len(self), dtype=bool)
        attacked[row[clear]] = True
        return attacked

    def aimed_at(self, king: int) -> Bools:
        """Whether the white king (0) or the black one (1) would be attacked if the men between were
        not there [N]."""
        return np.any(self._aiming(king), axis=1)

    def _aiming(self, king: int) -> Bools:
        """Which men would attack that king on an empty board [N, M]."""
        where = (self.men * np.int32(65) + self.squares) * np.int32(65)
        return THREATS[king].take(where + self.squares[:, king, None])

    def legal_moves(self, only: slice = slice(None)) -> BoardMoves:
        """All legal moves, board by board; `only` those of some of the M men, if that is given."""
        board, man, path = self._paths(only)
        start = self.squares[board, man]
        end, new, need = PATHS.take(path, axis=1)
        white = self.men < COLOUR
        own, other = self.occupied(white)[board], self.occupied(~white)[board]
        if_not_taking = np.where(need == FREE, ~(own | other), ~own)
        there = np.where(need == TAKEN, other, if_not_taking) & BIT[end]
        way = (there != 0) & (_way(start, end) & (own | other) == 0)
        moves = BoardMoves.of(self, board[way], man[way], end[way], new[way])
        # only the king himself walks into an attack, if no man aims at him
        risky = row_numbers((moves.man == 0) | self.aimed_at(0)[moves.board])
        illegal = np.zeros(len(moves), dtype=bool)
        illegal[risky] = moves.after[risky].attacked(0)
        return moves[~illegal]

    def stuck(self) -> Bools:
        """Whether there is no legal move [N]."""
        stuck = np.ones(len(self), dtype=bool)
        # the king's moves are few, and nearly always enough to tell
        stuck[self.legal_moves(only=slice(0, 1)).board] = False
        left = np.flatnonzero(stuck)
        stuck[left[self[left].legal_moves(only=slice(2, None)).board]] = False
        return stuck

    def _paths(self, only: slice) -> tuple[Ints, Ints, Ints]:
        """Where men could go on empty boards: the board, which man, and the path, [paths] each."""
        board, man = np.nonzero(NUMBER[self.men, self.squares][:, only])
        man += only.start or 0
        kind, start = self.men[board, man], self.squares[board, man]
        number = NUMBER[kind, start]
        offset = np.repeat(FIRST[kind, start] - np.cumsum(number) + number, number)
        path = offset + np.arange(number.sum())
        return np.repeat(board, number), np.repeat(man, number), path


@dataclass(frozen=True)
class BoardMoves:
    """L moves of white on some boards, in the order of the boards."""

    board: Ints
    """[L], which board."""
    man: Ints
    """[L], which of its men."""
    start: Int8s
    """[L], the square that it leaves."""
    end: Int8s
    """[L], the square that it goes to."""
    new: Int8s
    """[L], the man that then stands there: of a pawn maybe another one."""
    takes: Bools
    """[L], whether it takes a man."""
    after: Boards
    """The L positions that follow, still seen from white's side."""

    def __len__(self) -> int:
        return len(self.board)

    def __getitem__(self, rows: Ints | Bools) -> BoardMoves:
        rows = row_numbers(rows)
        men = (self.board.take(rows), self.man.take(rows), self.start.take(rows))
        ends = (self.end.take(rows), self.new.take(rows), self.takes.take(rows))
        return BoardMoves(*men, *ends, self.after[rows])

    @staticmethod
    def of(boards: Boards, board: Ints, man: Ints, end: Int8s, new: Int8s) -> BoardMoves:
        """The moves of these men to `end`, where each becomes `new` ([L] each)."""
        rows, after = np.arange(len(board)), boards[board]
        men, squares = after.men, after.squares
        start = squares[rows, man]
        taken = squares == end[:, None]
        squares[taken] = GONE
        squares[rows, man], men[rows, man] = end, new
        return BoardMoves(board, man, start, end, new, reduce(np.logical_or, taken.T), after)


@dataclass(frozen=True)
class Turn:
    """N positions, their L legal moves, and what these do."""

    boards: Boards
    moves: BoardMoves
    check: Bools
    """[L], whether the move gives check."""
    mate: Bools
    """[L], whether it mates. It gives check too."""

    @staticmethod
    def of(boards: Boards) -> Turn:
        """The turn of whoever is to move on these boards."""
        moves = boards.legal_moves()
        aiming = THREATS[1][moves.new, moves.end, boards.squares[moves.board, 1]]
        maybe = row_numbers(aiming | boards.aimed_at(1)[moves.board])
        check = np.zeros(len(moves), dtype=bool)
        check[maybe] = moves.after[maybe].attacked(1)
        mate = check.copy()
        mate[check] = moves.after[check].turned.stuck()
        return Turn(boards, moves, check, mate)

    @property
    def mates(self) -> Ints:
        """How many moves mate [N]."""
        return np.bincount(self.moves.board[self.mate], minlength=len(self.boards))
