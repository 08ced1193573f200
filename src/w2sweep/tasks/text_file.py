"""Text of one's own, for a homegrown ladder to read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from w2sweep.tasks.pgn import Pgn, numbered
from w2sweep.tasks.readers import checksum, open_text
from w2sweep.tasks.task import Corpus
from w2sweep.values import value


@value
class TextFile(Corpus):
    """A file, plain, .gz or .zst: a document a line, or of PGN a game a document, with every half-move numbered."""

    path: str

    def __post_init__(self) -> None:
        checksum(self.path)  # a file that is not there is told before anything runs

    def documents(self) -> Iterator[str]:
        """Without blank lines."""
        if ".pgn" in Path(self.path).suffixes:
            yield from (numbered(game.moves) for game in Pgn(self.path).games())
        else:
            with open_text(Path(self.path)) as file:
                yield from filter(None, map(str.strip, file))

    def identity(self) -> Any:
        """The content, wherever it lies."""
        return {"text": checksum(self.path)}


CorpusOrFile = Annotated[
    Corpus | None, BeforeValidator(lambda x: TextFile(x) if isinstance(x, str) else x)
]
"""A corpus, or none; the path of a file will do."""
