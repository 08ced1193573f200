"""Mate in one from play: the puzzles, and the games that a backbone is pretrained on."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from w2sweep.lab.chess.play import Ply, play
from w2sweep.lab.chess.rules import (
    COLOUR,
    GONE,
    MEN,
    MIRRORED,
    SQUARES,
    Boards,
    Bools,
    Ints,
    K,
    Turn,
)
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Completion
from w2sweep.tasks.task import Corpus, Family, Task
from w2sweep.values import Count, named, value

Fraction = Annotated[float, Field(gt=0, le=1)]

WORDS = np.array([man + square for man in MEN for square in SQUARES] + [""], dtype=object)
ENDS = np.array(
    [[square + suffix for square in SQUARES] for suffix in [*("=" + m for m in MEN), ""]],
    dtype=object,
)
PRIMES = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


@value
class Games(Corpus):
    """Positions out of games, each with the move that was made and what it does: `Qd5 d8 #` mates, `Qd5 d8 +` gives
    check, `Qd5 d8 .` does neither.

    The side to move is white, and the black king on the files a to d: what else there is are mirror images of that.
    Half of all positions with a single mating move are left out: they are the puzzles.
    """

    seed: int
    tokens: Count = 500_000
    """Length of the corpus in words."""
    mating: Fraction = 0.8
    """Share of the positions that have a mate."""
    skill: Fraction = 0.95
    """How often a mate is seen, and then played."""

    def documents(self) -> Iterator[str]:
        rng, left = np.random.default_rng((self.seed, 2)), self.tokens
        for ply in self.plies(0):
            for text in notation(ply.turn, self._shown(rng, ply)):
                yield text
                if (left := left - text.count(" ") - 1) <= 0:
                    return

    def plies(self, stream: int) -> Iterator[Ply]:
        return play(np.random.default_rng((self.seed, stream)), self.skill)

    def _shown(self, rng: np.random.Generator, ply: Ply) -> Ints:
        """Of the moves made those in positions that are no puzzles, `mating` of them with a mate, shuffled."""
        mates, board = ply.turn.mates, ply.turn.steps.board[ply.made]
        shown = ~puzzling(ply.turn)[board]
        mating = shown & (mates[board] > 0)
        others = rng.permutation(np.flatnonzero(shown & ~mating))
        others = others[: round(mating.sum() * (1 - self.mating) / self.mating)]
        return ply.made[rng.permutation(np.r_[np.flatnonzero(mating), others])]


@value
class MateInOne(Task):
    """The one move that mates. Groups are games."""

    family: ClassVar[Family] = "chess"

    name: str = named()
    games: Games
    head: Completion = named()
    pool: Count = 4700

    @property
    def corpus(self) -> Corpus:
        return self.games

    @property
    def for_examples(self) -> MateInOne:
        """With the way that games are played, whatever of them is told."""
        return replace(self, games=Games(seed=self.games.seed, skill=self.games.skill))

    def examples(self) -> Iterator[Example]:
        seen: set[int] = set()
        for ply in self.games.plies(1):
            solutions = np.flatnonzero(ply.turn.mate & puzzling(ply.turn)[ply.turn.steps.board])
            board = ply.turn.steps.board[solutions]
            found = zip(
                kinds(ply.turn.boards[board]).tolist(), ply.game[board].tolist(), strict=True
            )
            for (kind, game), text in zip(found, notation(ply.turn, solutions), strict=True):
                if kind not in seen:
                    position, move = text.split(" > ")
                    yield Example.of(f"{position} >", label=f" {move}", group=f"game {game}")
                    seen.add(kind)
                    if len(seen) == self.pool:
                        return

    def judge(self, example: Example, completion: str) -> dict[str, float]:
        """`legality`: whether the move can be made, whatever its mark says."""
        return {"legality": float(" ".join(completion.split()[:2]) in legal(example.views[0]))}


@functools.lru_cache(
    maxsize=2**16
)  # a sweep's cells judge moves in the same few thousand positions of each seed
def legal(prompt: str) -> tuple[str, ...]:
    """The moves that can be made, as "Qd5 d8"."""
    turn = Turn.of(read(prompt))
    moves = (
        text.split(" > ")[1].split()[:2] for text in notation(turn, np.arange(len(turn.steps)))
    )
    return tuple(
        sys.intern(" ".join(move)) for move in moves
    )  # the same move is possible in many positions


def puzzling(turn: Turn) -> Bools:  # [N]
    """Whether a position is kept for puzzles: it has one mate, and its kind is of the half that is held out."""
    return (turn.mates == 1) & (kinds(turn.boards) >> np.uint64(63) == 1)


def kinds(boards: Boards) -> NDArray[np.uint64]:  # [N]
    """The same random number for a position and its mirror image, which with pawns is the only one."""
    kind = np.zeros(len(boards), np.uint64)
    for code in listed(upright(boards)[0]).T:
        kind = (kind + code.astype(np.uint64)) * PRIMES[0]
        kind ^= kind >> np.uint64(29)
    return kind * PRIMES[1]


def upright(boards: Boards) -> tuple[Boards, Bools]:
    """With the black king on the files a to d, and which of the boards were mirrored for it."""
    mirrored = boards.squares[:, 1] % 8 > 3
    return Boards(
        boards.men, np.where(mirrored[:, None], MIRRORED[boards.squares], boards.squares)
    ), mirrored


def listed(boards: Boards) -> Ints:  # [N, M], into WORDS
    """Who stands where, in a fixed order: black's men from pawns to king, white's king, white's others from pawns to
    queen; at the end who is gone. With white's king last, one of the smallest rungs in twenty never learned to copy
    its mover from the list; with the likeliest mover next to ">" none of 245 stayed behind (docs/lab.md)."""
    codes = np.where(
        boards.squares == GONE, -1, np.int64(len(SQUARES)) * boards.men + boards.squares
    )
    order = np.where(
        boards.men == K, len(SQUARES) * COLOUR - 0.5, codes
    )  # between white's codes and black's
    return np.take_along_axis(codes, np.argsort(order, axis=1)[:, ::-1], axis=1)


def notation(turn: Turn, which: Ints) -> list[str]:
    """`which` of the moves as "pb7 kb8 Kg1 Qd5 > Qd5 d8 #": who stands where, who goes where (a pawn to "d8=Q", maybe),
    and what that does."""
    steps = turn.steps[which]
    boards, mirrored = upright(turn.boards[steps.board])
    row = np.arange(len(which))
    man = boards.men[row, steps.man]
    start = WORDS[np.int64(len(SQUARES)) * man + boards.squares[row, steps.man]]
    end = ENDS[
        np.where(man == steps.new, len(MEN), steps.new), steps.end ^ np.where(mirrored, 7, 0)
    ]
    mark = np.where(turn.mate, "#", np.where(turn.check, "+", "."))[which]
    places = (" ".join(filter(None, row)) for row in WORDS[listed(boards)].tolist())
    return [
        " ".join((place, ">", *move)) for place, *move in zip(places, start, end, mark, strict=True)
    ]


def read(prompt: str) -> Boards:
    """The position of "pb7 kb8 Kg1 Qd5 >"."""
    words = sorted(
        prompt.removesuffix(" >").split(), key=lambda w: "Kk".find(w[0]) % 3
    )  # the kings come first
    men, squares = [MEN.index(w[0]) for w in words], [SQUARES.index(w[1:]) for w in words]
    return Boards(np.array([men], np.int8), np.array([squares], np.int8))
