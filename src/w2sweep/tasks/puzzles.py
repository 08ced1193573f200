"""Chess puzzles: the best move is generated after the position. Burns et al. 2023, appendix A.2."""

from __future__ import annotations

import heapq
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator

from w2sweep.tasks.difficulty import Scale
from w2sweep.tasks.example import Example, Skipped, digest
from w2sweep.tasks.heads import Completion
from w2sweep.tasks.pgn import Game, GamesFile, legal_games, numbered_moves
from w2sweep.tasks.positions import Prompt, board_of, parsed, prompt_of
from w2sweep.tasks.rows import Row, some
from w2sweep.tasks.source import Names, SourceOrFile
from w2sweep.tasks.task import Corpus, Family, Task
from w2sweep.values import ConfigError, Count, as_tuple, named, value

if TYPE_CHECKING:
    import chess

RATINGS = (0, *range(800, 2801, 200))
"""Where the bins of a figure over ratings begin."""

Band = Annotated[tuple[int, int] | None, BeforeValidator(as_tuple)]
"""Lowest and highest rating, or None; a list will do."""


@value
class Puzzles(Task):
    """Puzzles in the schema of the Lichess export.

    The first move of a puzzle is the opponent's, the second one is the answer.
    """

    version: ClassVar[int] = 2
    family: ClassVar[Family] = "chess"
    difficulties: ClassVar[Scale] = Scale("puzzle rating", RATINGS)

    name: str = named()
    source: SourceOrFile
    prompt: Prompt = "pieces"
    """How a position is written:

    - `game`: all moves so far, each half-move with its number (the paper), where the game is known.
      Models that have read games continue it.
    - `fen`: the position in FEN. It is always known, and short for a pretrained tokenizer.
    - `pieces`: each piece and its square as words of their own. A small model can copy squares into
      its answer and has no blanks to count.
    """
    target: Literal["san", "uci"] = "san"
    """How the answer is written. `san`: " Qxc1+" (the paper). `uci`: " h6c1", two squares that are
    both in the prompt, which is easier for small models."""
    rating: Band = None
    """Lowest and highest rating, for easy and hard sets."""
    themes: Names = ()
    """Only puzzles with one of these themes, if any are given."""
    limit: Count = 150_000
    """At most so many puzzles, at random by their ids: the whole export has millions."""
    games: GamesFile = None
    """Games to pretrain on, and where `prompt=game` finds the moves that led to a puzzle."""
    min_elo: int = 0
    """Pretraining reads only games of which both players have this rating (the paper: 1800)."""
    per_game: Count = 5
    """Positions of each game to pretrain on, where the prompt is a position."""
    head: Completion = named(default=Completion())

    def __post_init__(self) -> None:
        lowest, highest = self.rating or (0, 0)
        if lowest > highest:
            raise ConfigError(
                f"rating: found [{lowest}, {highest}], expected the lowest first: "
                f"[{highest}, {lowest}]"
            )

    def examples(self) -> Iterator[Example | Skipped]:
        """One example for each puzzle. Groups are the games that puzzles are from."""
        return some(self._examples(), self.source.label)

    def puzzles(self) -> Iterator[Puzzle | Skipped]:
        """The puzzles asked for, and why others are not among them."""
        counts: Counter[bool] = Counter()
        sample = heapq.nsmallest(self.limit, self._asked(counts), key=lambda row: digest(_id(row)))
        yield from [Skipped("rating or theme not asked for")] * counts[False]
        yield from [Skipped("more puzzles than the limit")] * (counts[True] - len(sample))
        games = self._games(sample)
        for row in sample:
            yield Puzzle.of(row, games)

    @cached_property
    def corpus(self) -> Corpus:
        """Moves to pretrain on, none of which is an answer."""
        return Moves(self)

    @cached_property
    def for_examples(self) -> Puzzles:
        """Without what only pretraining reads: games matter where the prompt is one."""
        games = self.games if self.prompt == "game" else None
        return replace(self, games=games, min_elo=Puzzles.min_elo, per_game=Puzzles.per_game)

    @property
    def for_corpus(self) -> Puzzles:
        """Without what the documents of `corpus` do not depend on."""
        is_game, has_games = self.prompt == "game", self.games is not None
        return replace(
            self,
            target=Puzzles.target if is_game else self.target,
            min_elo=self.min_elo if has_games else Puzzles.min_elo,
            per_game=self.per_game if has_games and not is_game else Puzzles.per_game,
        )

    def judge(self, example: Example, completion: str) -> dict[str, float]:
        """`legality`: whether the move can be made. `mates_too`: whether it mates but is not the
        answer, which Lichess accepts."""
        board = board_of(example.views[0])
        move = parsed(board, completion.strip())
        if move is None:
            return {"legality": 0.0, "mates_too": 0.0}
        board.push(move)
        other = completion.strip() != str(example.label).strip()
        return {"legality": 1.0, "mates_too": float(other and board.is_checkmate())}

    def answer(self, board: chess.Board, move: chess.Move) -> str:
        """A move as the target has it."""
        return board.san(move) if self.target == "san" else move.uci()

    def _asked(self, counts: Counter[bool]) -> Iterator[Row]:
        """The rows that were asked for; `counts` is told of each row whether it was."""
        for row in self.source.rows():
            fits = self._fits(row)
            counts[fits] += 1
            if fits:
                yield row

    def _fits(self, row: Row) -> bool:
        if self.rating is not None:
            lowest, highest = self.rating
            if not lowest <= _number(row, "Rating") <= highest:
                return False
        return not self.themes or not set(self.themes).isdisjoint(_words(row["Themes"]))

    def _games(self, rows: list[Row]) -> dict[str, Game]:
        """The games of these puzzles, where they matter and are known."""
        if self.prompt != "game" or self.games is None:
            return {}
        wanted = {_game_id(row) for row in rows} - {""}
        return {game.id: game for game in self.games.games() if game.id in wanted}

    def _examples(self) -> Iterator[Example | Skipped]:
        for puzzle in self.puzzles():
            yield puzzle if isinstance(puzzle, Skipped) else self._example(puzzle)

    def _example(self, puzzle: Puzzle) -> Example | Skipped:
        text = prompt_of(puzzle.board, self.prompt)
        if text is None:
            return Skipped("the game that led to the puzzle is not known")
        answer = self.answer(puzzle.board, puzzle.answer)
        rated = puzzle.rating
        return Example.of(text, label=" " + answer, group=puzzle.group, difficulty=rated)


@dataclass(frozen=True)
class Puzzle:
    """A position, with the moves that are known to have led there, and the best move."""

    board: chess.Board
    answer: chess.Move
    group: str
    rating: int | None = None

    @staticmethod
    def of(row: Row, games: dict[str, Game]) -> Puzzle:
        """The puzzle of a row.

        Rows are as in the Lichess export, or in its conversion to games (columns `id`, `ctx`,
        `target`). Raises ConfigError where a position or a move is not legal.
        """
        group = _game_id(row) or _id(row)
        rating = _number(row, "Rating") if row.get("Rating") not in (None, "") else None
        if "ctx" in row:
            board = _replayed(row)
            answer = _legal(row, "target", board, row.text("target").strip())
            return Puzzle(board, answer, group, rating)
        before = _position(row)
        opponents, answer, *_ = [*row.text("Moves").split(), "", ""]
        board = _with_history(before, games.get(group))
        board.push(_legal(row, "Moves", board, opponents))
        return Puzzle(board, _legal(row, "Moves", board, answer), group, rating)


@dataclass(frozen=True)
class Moves(Corpus):
    """Moves in the words of a puzzle task, of its games or else of the puzzles' opponents.

    Neither the positions of its puzzles nor what follows them is among them.
    """

    task: Puzzles
    """Kept as its `for_corpus`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", self.task.for_corpus)

    def documents(self) -> Iterator[str | Skipped]:
        """Whole games where the prompts are games; else positions, each with the move made."""
        puzzles = [p for p in self.task.puzzles() if isinstance(p, Puzzle)]
        return self._games(puzzles) if self.task.prompt == "game" else self._positions(puzzles)

    def _games(self, puzzles: list[Puzzle]) -> Iterator[str | Skipped]:
        if self.task.games is None:
            yield from filter(None, (prompt_of(p.board, "game") for p in puzzles))
            return
        of_puzzles = {p.group for p in puzzles}
        others = (g for g in self.task.games.games(self.task.min_elo) if g.id not in of_puzzles)
        for game in legal_games(others):
            yield game if isinstance(game, Skipped) else numbered_moves(game.moves)

    def _positions(self, puzzles: list[Puzzle]) -> Iterator[str]:
        of_puzzles = {prompt_of(p.board, self.task.prompt) for p in puzzles}
        for board, move in self._played() if self.task.games else map(_opponents, puzzles):
            prompt = prompt_of(board, self.task.prompt)
            if prompt not in of_puzzles:
                yield f"{prompt} {self.task.answer(board, move)}"

    def _played(self) -> Iterator[tuple[chess.Board, chess.Move]]:
        """Some positions of each game, at random, with the moves that were played."""
        rng = random.Random(0)
        games = self.task.games.games(self.task.min_elo) if self.task.games else ()
        for game in games:
            n_moves = len(game.moves)
            chosen = set(rng.sample(range(n_moves), min(self.task.per_game, n_moves)))
            yield from _positions_of(game, chosen)


def _positions_of(game: Game, chosen: set[int]) -> Iterator[tuple[chess.Board, chess.Move]]:
    """The positions before the chosen half-moves of a game, with these moves.

    A few games of any collection have a move that is not legal; what comes before it is a game
    still. The board is a running one: it is to be read before the next is asked for.
    """
    import chess

    board = chess.Board()
    for n, san in enumerate(game.moves[: max(chosen) + 1]):
        move = parsed(board, san)
        if move is None:
            return
        if n in chosen:
            yield board, move
        board.push(move)


def _legal(row: Row, column: str, board: chess.Board, text: str) -> chess.Move:
    """The move that a text is. Raises ConfigError where it is none, or no legal one."""
    move = parsed(board, text)
    if move is None:
        illegal = f"'{text}' is no legal move in {board.fen()}"
        raise row.wrong(column, illegal if text else "fewer than two moves")
    return move


def _opponents(puzzle: Puzzle) -> tuple[chess.Board, chess.Move]:
    """The position before the opponent's move, and that move."""
    before = puzzle.board.copy()
    move = before.pop()
    return before, move


def _position(row: Row) -> chess.Board:
    import chess

    fen = row.text("FEN")
    try:
        board = chess.Board(fen)
    except ValueError as error:
        raise row.wrong("FEN", f"illegal position ({error})") from None
    if not board.is_valid():
        raise row.wrong("FEN", f"illegal position ({board.status()!r:.80}): {fen}")
    return board


def _with_history(board: chess.Board, game: Game | None) -> chess.Board:
    """The position as reached by the moves of its game, where these are known and lead there."""
    import chess

    replay = chess.Board()
    for san in game.moves[: board.ply()] if game else ():
        move = parsed(replay, san)
        if move is None:
            return board
        replay.push(move)
    return replay if replay.fen() == board.fen() else board


def _replayed(row: Row) -> chess.Board:
    import chess

    board = chess.Board()
    for san in row.text("ctx").split()[1:-1:2]:
        board.push(_legal(row, "ctx", board, san))
    return board


def _number(row: Row, column: str) -> int:
    try:
        return int(row[column])
    except (TypeError, ValueError):
        raise row.wrong(column, f"expected a whole number, found {row[column]!r:.40}") from None


def _words(themes: str | list[str] | None) -> list[str]:
    return themes.split() if isinstance(themes, str) else themes or []


def _id(row: Row) -> str:
    return str(row["id"] if "ctx" in row else row["PuzzleId"])


def _game_id(row: Row) -> str:
    """The id of the puzzle's game; "" where that is not known.

    It is in `GameId` (GAME/black#34), as the hub has it now, or in the export's `GameUrl`
    (https://lichess.org/GAME/...).
    """
    known = str(row.get("GameId") or row.get("GameUrl") or "")
    return re.split("[/#]", known.rpartition("lichess.org/")[2])[0]
