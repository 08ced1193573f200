"""The source of code that is not this package's: a user who edits a loss wants its results
computed again, and has no `version` to raise."""

from __future__ import annotations

import functools
import hashlib
import inspect
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = __name__.partition(".")[0]


def source(x: Any) -> str | None:
    """64 bits of a hash, in hex, of the file that a class or a function is from, and of those of
    the user's files that it imports from, as far as the top level of each file says so.

    None of what is this package's own, whose identity has `version`, and where there is no file, as
    in a notebook.
    """
    return None if _is_ours(_module(x)) else _source(x)


@functools.cache
def _source(x: Any) -> str | None:
    """Read once: what was imported does not change when its file is edited."""
    found: dict[str, bytes] = {}
    _collect(_module(x), found)
    if not found:
        return None
    digest = hashlib.sha256()
    for module in sorted(found):
        digest.update(f"{module}\0{len(found[module])}\0".encode() + found[module])
    return digest.hexdigest()[:16]


def _collect(name: str, found: dict[str, bytes]) -> None:
    module = sys.modules.get(name)
    file = _file(module)
    if module is None or file is None or name in found:
        return
    found[name] = file.read_bytes().replace(b"\r\n", b"\n")
    for other in _imported(module):
        if not _is_ours(other) and _is_a_users(_file(sys.modules.get(other))):
            _collect(other, found)


def _imported(module: ModuleType) -> Iterator[str]:
    """The modules that a module's names are from."""
    for x in list(vars(module).values()):
        if isinstance(x, ModuleType):
            yield x.__name__
        elif inspect.isclass(x) or inspect.isroutine(x):
            yield _module(x)


def _module(x: Any) -> str:
    return getattr(x, "__module__", None) or ""


def _file(module: ModuleType | None) -> Path | None:
    name = getattr(module, "__file__", None)
    path = Path(name) if name else None
    return path if path is not None and path.suffix == ".py" and path.is_file() else None


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE


def _is_a_users(file: Path | None) -> bool:
    """Whether a file is no installed package's, whose code changes with its version."""
    return file is not None and not any(map(file.resolve().is_relative_to, _installed()))


@functools.cache
def _installed() -> list[Path]:
    paths = sysconfig.get_paths()
    python = [paths[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders = [*python, *site.getsitepackages(), site.getusersitepackages()]
    return [Path(folder).resolve() for folder in folders]
