"""What a process computes with: versions of programs, the commit of the code, the processor.

Results do not depend on it, or they would not be shared between machines; but who wonders about one
wants to know.
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

from w2sweep.version import BUILT_ON, __version__

PACKAGE = Path(__file__).parents[1]
GIT_S = 5.0
"""For how long git is waited for: a folder on a slow network may hold it up."""


@functools.cache
def environment() -> dict[str, Any]:
    """Of this process, asked once: `versions` (program -> version), `platform`, and `commits`: of
    `w2sweep`, where it runs from a checkout, and of the `folder` that it was started in, where
    that is one."""
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "commits": {name: told for name, told in _commits().items() if told},
    }


def versions() -> dict[str, str]:
    """Of Python, of w2sweep, and of those packages under it that are installed. None of them is
    imported for it."""
    found = {"python": platform.python_version(), "w2sweep": __version__}
    for name in BUILT_ON:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _commits() -> dict[str, dict[str, Any] | None]:
    ours = _git(PACKAGE, "ls-files", "--error-unmatch", "__init__.py")  # else it is only installed
    return {"w2sweep": commit(PACKAGE) if ours else None, "folder": commit(Path.cwd())}


def commit(folder: Path) -> dict[str, Any] | None:
    """The `commit` that is checked out around a folder, and whether files that git knows have
    `changed` since; None where there is none, or no git."""
    found = _git(folder, "rev-parse", "HEAD")
    if not found:
        return None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": found, "changed": changes != ""}


def _git(folder: Path, *words: str) -> str | None:
    """What git says; None where it fails. It takes no locks, which workers would wait for."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=GIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return done.stdout.strip()
