"""`w2sweep-store`: whether the results of a store are what was written."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from w2sweep.engine import record
from w2sweep.engine.store import remove_damaged
from w2sweep.interface.console import answering, say
from w2sweep.values import ConfigError

NAME = "w2sweep-store"
DESCRIPTION = """w2sweep-store verify [FOLDER] reads each file of each result from its beginning to
its end, and names the results that are not what was written. Sweeps compare what they read by
themselves, but of files of more than 64 MB only the beginning."""
EXIT_CODES = "Exit code: 0; 1 if a result is damaged and is still there; 2 if FOLDER is no store."


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns 1 where damaged results stay, else 0; exits with 2 where there is
    no store."""
    parser = argparse.ArgumentParser(NAME, description=DESCRIPTION, epilog=EXIT_CODES)
    commands = parser.add_subparsers(required=True, metavar="verify")
    verify = commands.add_parser("verify", description=DESCRIPTION, epilog=EXIT_CODES)
    says = "the store (outputs/store), or one result in it"
    verify.add_argument("folder", type=Path, metavar="FOLDER", nargs="?", help=says)
    says = "remove what is damaged, so that the next sweep that needs it computes it again"
    verify.add_argument("--remove", action="store_true", help=says)
    given = parser.parse_args(arguments)
    with answering(NAME):
        return _verify(given.folder or Path("outputs", "store"), given.remove)


def _verify(folder: Path, remove: bool) -> int:
    results = _results(folder)
    damaged = list(_told(results))
    removed = [result for result in damaged if remove and remove_damaged(result)]
    after = f", {len(removed)} removed" if remove else ""
    say(NAME, f"{folder}: {len(results)} results, {len(damaged)} damaged{after}")
    return 1 if len(damaged) > len(removed) else 0


def _results(folder: Path) -> list[Path]:
    """The folders to look at. Raises ConfigError where there are none."""
    if (folder / record.FILE).exists():
        return [folder.absolute()]
    found = list(record.results(folder))
    if not found and not (folder / "journal.jsonl").exists():
        raise ConfigError(
            f"{folder} is no store: expected a folder with results of stages, as outputs/store"
        )
    return found


def _told(results: Sequence[Path]) -> Iterator[Path]:
    """Those that are damaged, each after a line about it."""
    for result in results:
        if found := record.damage_of_any(result):
            print(f"{result} ({record.what(result)}) {found}", flush=True)
            yield result
