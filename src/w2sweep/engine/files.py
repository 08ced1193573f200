"""Files that appear whole or not at all: a reader never meets a half of one."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from w2sweep.engine.owners import gone, mark


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside `path`, of the same suffix, to write a file to.

    The file takes the place of `path` when the block is done, and is removed where the block
    raises. Each call has a name of its own, so that of two writers of one file the last one wins.
    """
    new = path.with_name(f"{half_written(path.stem)}{secrets.token_hex(4)}{path.suffix}")
    try:
        yield new
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def half_written(name: str) -> str:
    """How the names of files and folders begin that are to become `name` and are not whole yet."""
    return f".{name}.{mark()}-"


def sweep_up(folder: Path) -> None:
    """Removes what processes of this machine have begun to write into a folder and, because they
    were killed, will never end."""
    for entry in list(folder.iterdir()) if folder.is_dir() else []:
        begun = re.fullmatch(r"\..+\.(\w{8}-\d+)-\w+(\.\w+)?", entry.name)
        if begun and gone(begun[1]):
            with suppress(OSError):  # another process sweeps up too
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a text file, in UTF-8."""
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Writes `content` as JSON."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """What a JSON file says. Raises OSError or ValueError where it cannot be read."""
    return json.loads(path.read_text(encoding="utf-8"))
