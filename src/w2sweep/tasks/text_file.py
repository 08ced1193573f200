"""A user's own text, for homegrown ladders to be pretrained on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from w2sweep.tasks.example import Skipped
from w2sweep.tasks.pgn import Pgn, legal_games, numbered_moves
from w2sweep.tasks.readers import checksum, open_text
from w2sweep.tasks.task import Corpus
from w2sweep.values import value


@value
class TextFile(Corpus):
    """A file with a document on each line, or of PGN, where every game is a document.

    Either may be compressed (.gz, .zst). Raises ConfigError where there is no such file.
    """

    path: str

    def __post_init__(self) -> None:
        checksum(self.path)  # a file that is not there is reported before anything runs

    def documents(self) -> Iterator[str | Skipped]:
        """The lines that are not blank; games with every half-move numbered, up to the first that
        is not legal."""
        if self._is_pgn:
            for game in legal_games(Pgn(self.path).games()):
                yield game if isinstance(game, Skipped) else numbered_moves(game.moves)
        else:
            with open_text(Path(self.path)) as file:
                yield from filter(None, map(str.strip, file))

    def identity(self) -> Any:
        """The content, wherever the file lies, and how it is read."""
        return {"games" if self._is_pgn else "text": checksum(self.path)}

    @property
    def _is_pgn(self) -> bool:
        return ".pgn" in Path(self.path).suffixes


def _corpus(given: Any) -> Any:
    return TextFile(given) if isinstance(given, str) else given


CorpusOrFile = Annotated[Corpus | None, BeforeValidator(_corpus)]
"""A corpus or None; the path of a text file will do."""
