"""Chess games in PGN, read as the moves they are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from w2sweep.tasks.readers import checksum, open_text
from w2sweep.values import ConfigError, value


@dataclass(frozen=True)
class Game:
    """The tags of a game and its half-moves in standard notation (SAN)."""

    tags: dict[str, str]
    moves: list[str]

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
        for tags, moves in _tags_and_moves(Path(self.path)):
            game = Game(dict(_TAG.findall(tags)), _half_moves(moves))
            if game.moves and "FEN" not in game.tags and game.elo >= min_elo:
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

_TAG = re.compile(r'^\[(\w+) "(.*)"\]', re.MULTILINE)
_COMMENT = re.compile(r"\{[^}]*\}|;[^\n]*")
_VARIATION = re.compile(r"\([^()]*\)")
_MOVE = re.compile(
    r"\b(?:O-O(?:-O)?|0-0(?:-0)?|[KQRBN]?[a-h]?[1-8]?x?[a-h][1-8](?:=?[QRBN])?)\b[+#]?"
)


def _tags_and_moves(path: Path) -> Iterator[tuple[str, str]]:
    """The tags and the moves of each game, as text."""
    tags: list[str] = []
    moves: list[str] = []
    with open_text(path) as file:
        for line in file:
            if line.startswith("["):
                if moves:
                    yield "".join(tags), "".join(moves)
                    tags, moves = [], []
                tags.append(line)
            elif line.strip():
                moves.append(line)
    if moves:
        yield "".join(tags), "".join(moves)


def _half_moves(text: str) -> list[str]:
    text = _COMMENT.sub(" ", text)
    while (shorter := _VARIATION.sub(" ", text)) != text:  # variations may be nested
        text = shorter
    return [move.replace("0", "O") for move in _MOVE.findall(text)]  # some files castle with zeros


def numbered_moves(moves: list[str]) -> str:
    """The half-moves of a game from its start, each with its number: "1. d4 1... Nf6 2. c4".

    Burns et al. 2023, figure 14.
    """
    dots = (".", "...")
    return " ".join(f"{n // 2 + 1}{dots[n % 2]} {move}" for n, move in enumerate(moves))
