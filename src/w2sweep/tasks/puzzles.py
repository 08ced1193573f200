"""Chess puzzles: the best move, as text, is generated after the position. Burns et al. 2023, appendix A.2."""

from __future__ import annotations

import heapq
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from w2sweep.tasks.example import Example, Skipped, digest
from w2sweep.tasks.heads import Completion
from w2sweep.tasks.pgn import Game, GamesFile, numbered
from w2sweep.tasks.rows import Row, some
from w2sweep.tasks.source import Names, Rows
from w2sweep.tasks.task import Corpus, Family, Task
from w2sweep.values import named, value

if TYPE_CHECKING:
    import chess

Prompt = Literal["pieces", "fen", "game"]
Band = Annotated[tuple[int, int] | None, BeforeValidator(lambda x: None if x is None else tuple(x))]


@value
class Puzzles(Task):
    """Puzzles in the schema of the Lichess export. Their first move is the opponent's, the second is the answer."""

    family: ClassVar[Family] = "chess"

    name: str = named()
    source: Rows
    prompt: Prompt = "pieces"
    """`game`: all moves so far, every half-move numbered (the paper), where the game is known: models that have read
    games continue it. `fen`: the position, always known, dense; a pretrained tokenizer can read it. `pieces`: every
    piece and its square as words of their own: a small model can copy squares into its answer, and count no blanks."""
    target: Literal["san", "uci"] = "san"
    """`san`: " Qxc1+" (the paper). `uci`: " h6c1", two squares that are both in the prompt: easier for small models."""
    rating: Band = None
    """Lowest and highest rating, for easy and hard sets."""
    themes: Names = ()
    """Only puzzles with one of these themes, if any are given."""
    limit: Annotated[int, Field(gt=0)] = 150_000
    """At most so many puzzles, at random by their ids: the whole export has five million."""
    games: GamesFile = None
    """Games to pretrain on, and where `prompt=game` finds the moves that led to a puzzle."""
    min_elo: int = 0
    """Pretrain only on games of which both players have this rating (the paper: 1800)."""
    per_game: Annotated[int, Field(gt=0)] = 5
    """Positions of each game to pretrain on, where the prompt is a position."""
    head: Completion = named(default=Completion())

    def examples(self) -> Iterator[Example | Skipped]:
        """One example a puzzle, grouped by the game it is from."""
        examples = (p if isinstance(p, Skipped) else self._example(p) for p in self.puzzles())
        return some(examples, self.source.label)

    def puzzles(self) -> Iterator[Puzzle | Skipped]:
        """The puzzles asked for, and why others are not among them."""
        counts: Counter[bool] = Counter()

        def asked() -> Iterator[Row]:
            for row in self.source.rows():
                fits = self._fits(row)
                counts[fits] += 1
                if fits:
                    yield row

        sample = heapq.nsmallest(self.limit, asked(), key=lambda row: digest(_id(row)))
        yield from [Skipped("rating or theme not asked for")] * counts[False]
        yield from [Skipped("more puzzles than the limit")] * (counts[True] - len(sample))
        games = self._games(sample)
        for row in sample:
            yield Puzzle.of(row, games)

    @property
    def corpus(self) -> Corpus:
        """Moves to pretrain on, none of them an answer."""
        return Moves(self)

    @property
    def for_examples(self) -> Puzzles:
        """Without what only pretraining reads: games matter where the prompt is one."""
        games = self.games if self.prompt == "game" else None
        return replace(self, games=games, min_elo=0, per_game=5)

    def judge(self, example: Example, completion: str) -> dict[str, float]:
        """Whether the move is legal, and whether it is not the answer but mates as well, which Lichess accepts."""
        board = read(example.views[0])
        move = _parsed(board, completion.strip())
        if move is None:
            return {"legality": 0.0, "mates_too": 0.0}
        board.push(move)
        other = completion.strip() != str(example.label).strip()
        return {"legality": 1.0, "mates_too": float(other and board.is_checkmate())}

    def _fits(self, row: Row) -> bool:
        if (
            self.rating is not None
            and not self.rating[0] <= _number(row, "Rating") <= self.rating[1]
        ):
            return False
        return not self.themes or not set(self.themes).isdisjoint(_words(row["Themes"]))

    def _games(self, rows: list[Row]) -> dict[str, Game]:
        """The games of these puzzles, where they matter and are known."""
        if self.prompt != "game" or self.games is None:
            return {}
        wanted = {_game_id(row) for row in rows} - {""}
        return {game.id: game for game in self.games.games() if game.id in wanted}

    def _example(self, puzzle: Puzzle) -> Example | Skipped:
        text = written(puzzle.board, self.prompt)
        if text is None:
            return Skipped("the game that led to the puzzle is not known")
        return Example.of(
            text, label=" " + self.answer(puzzle.board, puzzle.answer), group=puzzle.group
        )

    def answer(self, board: chess.Board, move: chess.Move) -> str:
        """A move as the target has it."""
        return board.san(move) if self.target == "san" else move.uci()


@dataclass(frozen=True)
class Puzzle:
    """A position, with the moves that are known to have led there, and the best move."""

    board: chess.Board
    answer: chess.Move
    group: str

    @staticmethod
    def of(row: Row, games: dict[str, Game]) -> Puzzle:
        """A row of the Lichess export, or of its conversion to games (columns `id`, `ctx`, `target`)."""
        group = _game_id(row) or _id(row)
        if "ctx" in row:
            board = _replayed(row)
            return Puzzle(board, _legal(row, "target", board, row.text("target").strip()), group)
        before = _position(row)
        opponents, answer, *_ = [*row.text("Moves").split(), "", ""]
        board = _with_history(before, games.get(group))
        board.push(_legal(row, "Moves", board, opponents))
        return Puzzle(board, _legal(row, "Moves", board, answer), group)


@dataclass(frozen=True)
class Moves(Corpus):
    """Moves in the words of a puzzle task: from games, or else the opponents' moves that lead to its puzzles. Neither
    the puzzles' positions nor what follows them is there."""

    task: Puzzles

    def documents(self) -> Iterator[str]:
        """Whole games where the prompts are games; elsewhere positions, each with its move."""
        puzzles = [p for p in self.task.puzzles() if isinstance(p, Puzzle)]
        return self._games(puzzles) if self.task.prompt == "game" else self._positions(puzzles)

    def _games(self, puzzles: list[Puzzle]) -> Iterator[str]:
        if self.task.games is None:
            yield from filter(None, (written(p.board, "game") for p in puzzles))
        else:
            of_puzzles = {p.group for p in puzzles}
            games = self.task.games.games(self.task.min_elo)
            yield from (numbered(game.moves) for game in games if game.id not in of_puzzles)

    def _positions(self, puzzles: list[Puzzle]) -> Iterator[str]:
        of_puzzles = {written(p.board, self.task.prompt) for p in puzzles}
        for board, move in self._played() if self.task.games else map(_opponents, puzzles):
            prompt = written(board, self.task.prompt)
            if prompt not in of_puzzles:
                yield f"{prompt} {self.task.answer(board, move)}"

    def _played(self) -> Iterator[tuple[chess.Board, chess.Move]]:
        """Some positions of each game, at random, with the moves that were played."""
        import chess

        rng = random.Random(0)
        games = self.task.games.games(self.task.min_elo) if self.task.games else ()
        for game in games:
            board = chess.Board()
            chosen = set(
                rng.sample(range(len(game.moves)), min(self.task.per_game, len(game.moves)))
            )
            for n, san in enumerate(game.moves[: max(chosen) + 1]):
                move = _parsed(board, san)
                if (
                    move is None
                ):  # a few games of any collection are broken somewhere: what comes before is a game still
                    break
                if n in chosen:
                    yield board, move
                board.push(move)


def written(board: chess.Board, prompt: Prompt) -> str | None:
    """The position as text; None where the prompt is a game that is not known."""
    import chess

    if prompt == "fen":
        return board.fen()
    if prompt == "game":
        replay = board.root()
        known = replay.fen() == chess.STARTING_FEN
        return (
            numbered([*(replay.san_and_push(m) for m in board.move_stack), ""]).rstrip()
            if known
            else None
        )
    men = sorted(
        board.piece_map().items(), key=lambda at: (not at[1].color, -at[1].piece_type, at[0])
    )
    words = [f"{piece.symbol()} {chess.square_name(square)}" for square, piece in men]
    if board.has_castling_rights(chess.WHITE) or board.has_castling_rights(chess.BLACK):
        words.append(f"castling {board.castling_xfen()}")
    if board.has_legal_en_passant() and board.ep_square is not None:
        words.append(f"passant {chess.square_name(board.ep_square)}")
    return " ".join([*words, "white" if board.turn else "black"])


def read(text: str) -> chess.Board:
    """The position that `written` wrote, in any of its ways."""
    import chess

    if text.startswith("1."):
        board = chess.Board()
        for move in text.split()[1:-1:2]:
            board.push_san(move)
        return board
    if "/" in text.split()[0]:
        return chess.Board(text)
    board = chess.Board(None)
    *men, turn = text.split()
    state = {
        name: value
        for name, value in zip(men[::2], men[1::2], strict=True)
        if name in ("castling", "passant")
    }
    for name, square in zip(men[::2], men[1::2], strict=True):
        if name not in state:
            board.set_piece_at(chess.parse_square(square), chess.Piece.from_symbol(name))
    board.turn = turn == "white"
    board.set_castling_fen(state.get("castling", "-"))
    board.ep_square = chess.parse_square(state["passant"]) if "passant" in state else None
    return board


def _parsed(board: chess.Board, text: str) -> chess.Move | None:
    """A legal move in SAN or UCI, or None."""
    for parse in (board.parse_san, board.parse_uci):
        try:
            move = parse(text)
        except ValueError:
            continue
        return move or None  # the null move is no move
    return None


def _legal(row: Row, column: str, board: chess.Board, text: str) -> chess.Move:
    move = _parsed(board, text)
    if move is None:
        raise row.wrong(
            column,
            f"'{text}' is no legal move in {board.fen()}" if text else "fewer than two moves",
        )
    return move


def _opponents(puzzle: Puzzle) -> tuple[chess.Board, chess.Move]:
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
    """The same position, reached by the moves of its game, where they are known and do lead there."""
    import chess

    replay = chess.Board()
    for san in game.moves[: board.ply()] if game else ():
        move = _parsed(replay, san)
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
    """Of `GameId` (GAME/black#34) as the hub has it now, or of the export's `GameUrl` (https://lichess.org/GAME/...);
    "" where unknown."""
    known = str(row.get("GameId") or row.get("GameUrl") or "")
    return re.split("[/#]", known.rpartition("lichess.org/")[2])[0]
