"""Chess games in PGN, read as the moves they are made of.

Read as a stream, and without a board until somebody asks whether the moves are legal: the games of
a file are many, and those that are asked for few.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from w2sweep.tasks.example import Skipped
from w2sweep.tasks.readers import checksum, open_text
from w2sweep.values import ConfigError, value


@dataclass(frozen=True)
class Game:
    """The tags of a game and its half-moves in standard notation (SAN)."""

    tags: dict[str, str]
    moves: list[str]
    """Up to the first word that is no move of the game, such as a null move."""
    is_cut: bool = False
    """Whether there was such a word, or a move that is not legal."""

    @property
    def is_usual(self) -> bool:
        """Whether it is chess from the usual position."""
        variant = self.tags.get("Variant", "Standard").casefold()
        return "FEN" not in self.tags and variant in _CHESS

    def legal(self) -> Game:
        """The game up to its first move that is not legal, which a few of any collection have."""
        import chess

        board = chess.Board()
        for n, san in enumerate(self.moves):
            try:
                board.push(board.parse_san(san))
            except ValueError:
                return replace(self, moves=self.moves[:n], is_cut=True)
        return self

    @property
    def id(self) -> str:
        """The game's id on Lichess, or the end of whatever its Site tag says."""
        return self.tags.get("Site", "").rpartition("/")[2]

    @property
    def elo(self) -> int:
        """The lower rating of the two players; 0 where one is not known."""
        ratings = [self.tags.get(tag, "") for tag in ("WhiteElo", "BlackElo")]
        return min(int(r) if r.isdigit() else 0 for r in ratings)


@value
class Pgn:
    """A file of games, maybe compressed (.gz, .zst). It is read as a stream, never as a whole."""

    path: str

    def games(self, min_elo: int = 0) -> Iterator[Game]:
        """The games that start from the usual position, of players both rated `min_elo` or more.

        Raises ConfigError where there are none.
        """
        checksum(self.path)
        found = 0
        for tags, text in _tags_and_moves(Path(self.path)):
            game = Game(_tags(tags), *_half_moves(text))
            if game.moves and game.is_usual and game.elo >= min_elo:
                found += 1
                yield game
        if not found:
            rated = f" of players rated {min_elo} or more" if min_elo else ""
            raise ConfigError(
                f"{self.path} has no games{rated}: expected PGN, with tags in brackets and moves"
            )

    def identity(self) -> Any:
        """The content, wherever the file lies."""
        return {"games": checksum(self.path)}


def _pgn(given: Any) -> Any:
    return Pgn(given) if isinstance(given, str) else given


GamesFile = Annotated[Pgn | None, BeforeValidator(_pgn)]
"""A file of games or None; its path will do."""

_CHESS = ("", "standard", "chess", "normal", "from position")
"""What files call the usual rules in the tag Variant."""
_TAG = re.compile(r'\[\s*(\w+)\s+"((?:[^"\\]|\\.)*)"\s*\]')
_COMMENT_BEGINS = re.compile("[{;]")
_PROMOTION_IN_BRACKETS = re.compile(r"(?<=[a-h][18])\(=?([QRBN])\)")
_TOKEN = re.compile(r"\{[^}]*\}?|;[^\n]*|[()]|[^\s(){};]+")
_NUMBER = re.compile(r"^\d+\.[.\s]*")
_RESULTS = ("1-0", "0-1", "1/2-1/2", "*")
_MOVE = re.compile(
    r"((?:O-O(?:-O)?|[KQRBN]?[a-h]?[1-8]?[x-]?[a-h][1-8](?:[=/]?[QRBN])?)[+#]?)"
    r"(?:e\.?p\.?)?[+#]*(?:[!?]|=(?![QRBN])|\$\d+)*"
)
_CASTLING = re.compile("0-0(?:-0)?|o-o(?:-o)?")
_TO_CAPITALS = str.maketrans("0o", "OO")
_SQUARE = re.compile("[a-h][1-8]")
_NULL_MOVES = ("--", "Z0", "0000", "@@@@", "null", "pass")


def _tags(text: str) -> dict[str, str]:
    return {name: re.sub(r"\\(.)", r"\1", said) for name, said in _TAG.findall(text)}


def _tags_and_moves(path: Path) -> Iterator[tuple[str, str]]:
    """The tags and the moves of each game, as text.

    A line of tags begins with a bracket. So may a line within a comment, which goes on over as
    many lines as it likes; but no comment goes on into the next game, even if nothing closes it.
    """
    tags: list[str] = []
    moves: list[str] = []
    commented = False
    with open_text(path) as file:
        for line in file:
            if line.startswith("%"):  # what the line says is for some program
                continue
            if line.startswith("[") and (not commented or line.startswith("[Event ")):
                if moves:
                    yield "".join(tags), "".join(moves)
                    tags, moves = [], []
                tags.append(line)
                commented = False
            elif line.strip():
                moves.append(line)
                commented = _is_open_after(line, commented)
    if moves:
        yield "".join(tags), "".join(moves)


def _is_open_after(line: str, commented: bool) -> bool:
    """Whether a comment in braces is open after a line, where one is `commented` before it."""
    at = 0
    while True:
        if commented:
            at = line.find("}", at) + 1
            if not at:
                return True
        begins = _COMMENT_BEGINS.search(line, at)
        if begins is None or begins[0] == ";":
            return False
        commented, at = True, begins.end()


def _half_moves(text: str) -> tuple[list[str], bool]:
    """The half-moves of a game, and whether they end at a word that is none.

    Comments, variations, numbers and remarks are left out. A word with a square in it, or a null
    move, is meant as a move: what follows it would be another game.
    """
    moves: list[str] = []
    for word in _main_line(_PROMOTION_IN_BRACKETS.sub(r"\1", text)):
        said = _NUMBER.sub("", word)
        if word in _RESULTS or said in _RESULTS:
            break
        if castling := _CASTLING.match(said):
            said = castling[0].translate(_TO_CAPITALS) + said[castling.end() :]
        if move := _MOVE.fullmatch(said):
            moves.append(move[1].replace("/", "="))
        elif said in _NULL_MOVES or _SQUARE.search(said):
            return moves, True
    return moves, False


def _main_line(text: str) -> Iterator[str]:
    """The words outside of comments and of variations, which may be nested."""
    depth = 0
    for token in _TOKEN.findall(text):
        if token == "(":
            depth += 1
        elif token == ")":
            depth = max(0, depth - 1)
        elif depth == 0 and token[0] not in "{;":
            yield token


def legal_games(games: Iterable[Game]) -> Iterator[Game | Skipped]:
    """Games that are cut at their first move that is not legal.

    For each that is cut, a `Skipped` says so.
    """
    for game in games:
        legal = game.legal()
        if legal.moves:
            yield legal
        if legal.is_cut:
            yield Skipped("the rest of a game, from a move on that is not legal")


def numbered_moves(moves: list[str]) -> str:
    """The half-moves of a game from its start, each with its number: "1. d4 1... Nf6 2. c4".

    Burns et al. 2023, figure 14.
    """
    dots = (".", "...")
    return " ".join(f"{n // 2 + 1}{dots[n % 2]} {move}" for n, move in enumerate(moves))
