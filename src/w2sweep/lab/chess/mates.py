"""Mate in one: the puzzles, and the games that a backbone is pretrained on."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from w2sweep.lab.arrays import Bits, Bools, Ints
from w2sweep.lab.chess.play import Ply, play
from w2sweep.lab.chess.rules import COLOUR, GONE, MEN, MIRRORED, SQUARES, Boards, K, Turn
from w2sweep.tasks.difficulty import Scale
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Completion
from w2sweep.tasks.task import Corpus, Family, Task
from w2sweep.values import Count, Seed, named, value

Share = Annotated[float, Field(gt=0, le=1)]
"""A fraction that is not zero."""

WORDS = np.array([man + square for man in MEN for square in SQUARES] + [""], dtype=object)
"""Each man on each square, such as "Qd5" [12 * 64 + 1]; the last word is of who is gone."""
_SUFFIXES = [*("=" + man for man in MEN), ""]
_ENDS = [square + suffix for suffix in _SUFFIXES for square in SQUARES]
ENDS = np.array(_ENDS, dtype=object).reshape(len(_SUFFIXES), len(SQUARES))
"""Where a move ends and what a pawn becomes there, such as "d8=Q" [12 + 1, 64]; the last row has no
promotions."""
PRIMES = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


@value
class Games(Corpus):
    """Positions from games, each with the move that was made and what it does.

    `Qd5 d8 #` mates, `Qd5 d8 +` gives check, `Qd5 d8 .` does neither. The side to move is white,
    and the black king is on the files a to d: all other positions are mirror images of these. Half
    of all positions with a single mating move are left out: they are the puzzles of `MateInOne`.
    """

    seed: Seed
    tokens: Count = 500_000
    """Length of the corpus in words."""
    mating: Share = 0.8
    """Share of the positions that have a mate."""
    skill: Share = 0.95
    """How often a mate is seen, and then played."""

    @property
    def as_played(self) -> Games:
        """The same games, with the default choice of what is written about them."""
        return Games(seed=self.seed, skill=self.skill)

    def documents(self) -> Iterator[str]:
        """Positions with their moves, until there are `tokens` words."""
        rng, left = np.random.default_rng((self.seed, 2)), self.tokens
        for ply in self.plies(0):
            for text in notation(ply.turn, self._shown(rng, ply)):
                yield text
                if (left := left - text.count(" ") - 1) <= 0:
                    return

    def plies(self, stream: int) -> Iterator[Ply]:
        """Games without end. `stream` picks other games of the same seed."""
        return play(np.random.default_rng((self.seed, stream)), self.skill)

    def _shown(self, rng: np.random.Generator, ply: Ply) -> Ints:
        """Some of the moves made, shuffled: none in a puzzle, `mating` of them where there is a
        mate."""
        mates, board = ply.turn.mates, ply.turn.moves.board[ply.made]
        shown = ~puzzling(ply.turn)[board]
        mating = shown & (mates[board] > 0)
        others = rng.permutation(np.flatnonzero(shown & ~mating))
        others = others[: round(mating.sum() * (1 - self.mating) / self.mating)]
        return ply.made[rng.permutation(np.r_[np.flatnonzero(mating), others])]


@value
class MateInOne(Task):
    """The one move that mates. Groups are games."""

    family: ClassVar[Family] = "chess"
    difficulties: ClassVar[Scale] = Scale("checks that do not mate", (0, 1, 2, 3, 4, 5, 7))

    name: str = named()
    games: Games
    head: Completion = named()
    pool: Count = 4700
    """Number of puzzles."""

    @property
    def corpus(self) -> Corpus:
        """Other games of the same world."""
        return self.games

    @cached_property
    def for_examples(self) -> MateInOne:
        """With the games as they are played, whatever of them is written down."""
        return replace(self, games=self.games.as_played)

    def examples(self) -> Iterator[Example]:
        """`pool` puzzles, no two of which are mirror images of each other."""
        seen: set[int] = set()
        for ply in self.games.plies(1):
            for kind, puzzle in _puzzles(ply):
                if kind not in seen:
                    yield puzzle
                    seen.add(kind)
                if len(seen) == self.pool:
                    return

    def difficulty(self, example: Example) -> int:
        """How many moves compete with the mate: those that give check and do not mate."""
        turn = Turn.of(parse_position(example.views[0]))
        return int((turn.check & ~turn.mate).sum())

    def judge(self, example: Example, completion: str) -> dict[str, float]:
        """`legality`: whether the move can be made, whatever is said of what it does."""
        return {"legality": float(" ".join(completion.split()[:2]) in legal(example.views[0]))}


def _puzzles(ply: Ply) -> Iterator[tuple[int, Example]]:
    """The puzzles among some positions, each with its kind."""
    turn = ply.turn
    solutions = np.flatnonzero(turn.mate & puzzling(turn)[turn.moves.board])
    board = turn.moves.board[solutions]
    found = kinds(turn.boards[board]).tolist(), ply.game[board].tolist()
    for kind, game, text in zip(*found, notation(turn, solutions), strict=True):
        position, move = text.split(" > ")
        yield kind, Example.of(f"{position} >", label=f" {move}", group=f"game {game}")


@functools.lru_cache(maxsize=2**16)  # all cells of a sweep judge moves in the same few thousand
def legal(prompt: str) -> tuple[str, ...]:
    """The moves that can be made in a position, each as "Qd5 d8"."""
    turn = Turn.of(parse_position(prompt))
    texts = notation(turn, np.arange(len(turn.moves)))
    moves = (" ".join(text.split(" > ")[1].split()[:2]) for text in texts)
    return tuple(map(sys.intern, moves))  # the same move is possible in many positions


def puzzling(turn: Turn) -> Bools:
    """Whether each position is kept for puzzles [N].

    It then has exactly one mate, and its kind is of the half that is held out.
    """
    return (turn.mates == 1) & (kinds(turn.boards) >> np.uint64(63) == 1)


def kinds(boards: Boards) -> Bits:
    """A hash of each position [N], which its mirror image shares.

    Where there are pawns, mirroring is the only symmetry.
    """
    kind = np.zeros(len(boards), np.uint64)
    for code in listed(upright(boards)[0]).T:
        kind = (kind + code.astype(np.uint64)) * PRIMES[0]
        kind ^= kind >> np.uint64(29)
    return kind * PRIMES[1]


def upright(boards: Boards) -> tuple[Boards, Bools]:
    """The boards with the black king on the files a to d, and which were mirrored for it [N]."""
    mirrored = boards.squares[:, 1] % 8 > 3
    squares = np.where(mirrored[:, None], MIRRORED[boards.squares], boards.squares)
    return Boards(boards.men, squares), mirrored


def listed(boards: Boards) -> Ints:
    """Who stands where, in a fixed order, as indices of WORDS [N, M].

    Black's men come first, from pawns to king, then white's king, then white's other men from
    pawns to queen; at the end comes who is gone. The order matters for small models: the move
    begins with a copy of one of white's men, and with the likeliest of them next to ">" every rung
    learned to copy it (docs/lab.md).
    """
    standing = np.int64(len(SQUARES)) * boards.men + boards.squares
    codes = np.where(boards.squares == GONE, -1, standing)
    between_colours = len(SQUARES) * COLOUR - 0.5
    order = np.where(boards.men == K, between_colours, codes)
    return np.take_along_axis(codes, np.argsort(order, axis=1)[:, ::-1], axis=1)


def notation(turn: Turn, which: Ints) -> list[str]:
    """`which` [L] of the moves of a turn as texts such as "pb7 kb8 Kg1 Qd5 > Qd5 d8 #".

    They say who stands where, who goes where (of a promotion as "d8=Q"), and what that does.
    """
    moves = turn.moves[which]
    boards, mirrored = upright(turn.boards[moves.board])
    row = np.arange(len(which))
    man = boards.men[row, moves.man]
    start = WORDS[np.int64(len(SQUARES)) * man + boards.squares[row, moves.man]]
    promoted = np.where(man == moves.new, len(MEN), moves.new)
    end = ENDS[promoted, moves.end ^ np.where(mirrored, 7, 0)]
    mark = np.where(turn.mate, "#", np.where(turn.check, "+", "."))[which]
    places = [" ".join(filter(None, words)) for words in WORDS[listed(boards)].tolist()]
    told = zip(places, start, end, mark, strict=True)
    return [f"{place} > {man} {square} {does}" for place, man, square, does in told]


def parse_position(prompt: str) -> Boards:
    """The one position of a prompt such as "pb7 kb8 Kg1 Qd5 >"."""
    kings_first = {"K": 0, "k": 1}
    words = sorted(prompt.removesuffix(" >").split(), key=lambda w: kings_first.get(w[0], 2))
    men = [MEN.index(word[0]) for word in words]
    squares = [SQUARES.index(word[1:]) for word in words]
    return Boards(np.array([men], np.int8), np.array([squares], np.int8))
