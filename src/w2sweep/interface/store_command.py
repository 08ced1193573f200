"""`w2sweep-store`: whether the results of a store are what was written, how much room they take,
and which of them no sweep needs any more."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from w2sweep.engine import record
from w2sweep.engine.leases import filesystem_time
from w2sweep.engine.upkeep import Stored, in_hand, left_over, remove, remove_damaged, stored
from w2sweep.interface.console import answering, say, tell_version
from w2sweep.sweep.joining import PLAN, plan_of
from w2sweep.values import ConfigError

NAME = "w2sweep-store"
VERIFY = """w2sweep-store verify [FOLDER] reads each file of each result from its beginning to its
end, and names the results that are not what was written. Sweeps compare what they read by
themselves, but of files of more than 64 MB only the beginning."""
SIZES = """w2sweep-store sizes [FOLDER] tells how many results there are and how much room they
take, by the sweeps that name them and by the kinds of stages. What several sweeps name counts for
each of them, and once in the total."""
PRUNE = """w2sweep-store prune [FOLDER] removes the results that no sweep names, and what dead
workers have left that nobody will go on with. It shows them first, and asks. It leaves alone what
was written or read within the last hour, and what a worker has in hand; and it does nothing while
something is computed that no sweep names, for nobody knows what that reads. What w2sweep-lab and
w2sweep-stage have computed by themselves is named by no sweep. Start no sweep meanwhile."""
EXIT_CODES = """Exit code: 0; 1 if a result is damaged and is still there, or if something is not
removed that no sweep names; 2 if FOLDER is no store, or if there is no sweep."""
SWEEPS = ("outputs/sweeps", "outputs/runs", "outputs/paper")
SECONDS = {"m": 60, "h": 3600, "d": 86400}
NOBODY = "(no sweep)"
SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns, or exits with, what EXIT_CODES says."""
    given = _parser().parse_args(arguments)
    folder = given.folder or Path("outputs", "store")
    with answering(NAME):
        if given.command == "verify":
            return _verify(folder, given.remove)
        _check(folder)
        if given.command == "sizes":
            return _tell_sizes(folder, _named(given.sweeps), given.json)
        return _prune(folder, given)
    raise AssertionError("either returns or exits")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        NAME, description=f"{VERIFY} {SIZES} {PRUNE}", epilog=EXIT_CODES
    )
    tell_version(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="verify|sizes|prune")
    verify, sizes, prune = (
        commands.add_parser(name, description=description, epilog=EXIT_CODES, help=says)
        for name, description, says in (
            ("verify", VERIFY, "look for results that are not what was written"),
            ("sizes", SIZES, "tell how much room results take"),
            ("prune", PRUNE, "remove what no sweep names"),
        )
    )
    says = "the store (outputs/store), or one result in it"
    verify.add_argument("folder", type=Path, metavar="FOLDER", nargs="?", help=says)
    says = "remove what is damaged, so that the next sweep that needs it computes it again"
    verify.add_argument("--remove", action="store_true", help=says)
    for command in (sizes, prune):
        says = "the store (outputs/store)"
        command.add_argument("folder", type=Path, metavar="FOLDER", nargs="?", help=says)
        says = f"folders of sweeps, or with sweeps in them ({', '.join(SWEEPS)})"
        options: dict[str, Any] = {"nargs": "+", "metavar": "FOLDER", "default": list(SWEEPS)}
        command.add_argument("--sweeps", **options, help=says)
    sizes.add_argument("--json", action="store_true", help="for programs")
    says = "show what would be removed, and remove nothing"
    prune.add_argument("--dry-run", action="store_true", help=says)
    prune.add_argument("--yes", action="store_true", help="do not ask")
    says = "leave alone what was written or read within this time: 30m, 12h, 7d (1h)"
    prune.add_argument("--older-than", type=_seconds, default=3600, metavar="TIME", help=says)
    return parser


def _seconds(said: str) -> int:
    if not (found := re.fullmatch(r"(\d+)([mhd])", said)):
        raise argparse.ArgumentTypeError(f"found '{said}', expected minutes, hours, days: 30m, 7d")
    return int(found[1]) * SECONDS[found[2]]


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
    if not found:
        _check(folder)
    return found


def _check(folder: Path) -> None:
    """Raises ConfigError where there is no store."""
    if not (folder / "journal.jsonl").exists() and not any(record.results(folder)):
        raise ConfigError(
            f"{folder} is no store: expected a folder with results of stages, as outputs/store"
        )


def _told(results: Sequence[Path]) -> Iterator[Path]:
    """Those that are damaged, each after a line about it."""
    for result in results:
        if found := record.damage_of_any(result):
            print(f"{result} ({record.what(result)}) {found}", flush=True)
            yield result


def _named(folders: Sequence[str]) -> dict[str, set[str]]:
    """Sweep -> the names of its stages, of all sweeps in some folders. Raises ConfigError where one
    cannot be read."""
    plans = [plan for folder in folders for plan in _plans(Path(folder))]
    return {str(plan.parent): set(plan_of(plan.parent)["stages"]) for plan in plans}


def _plans(folder: Path) -> list[Path]:
    return sorted({*folder.glob(PLAN), *folder.glob(f"*/{PLAN}")})


def _tell_sizes(folder: Path, named: Mapping[str, set[str]], as_json: bool) -> int:
    results = stored(folder)
    by_sweep = {sweep: _within(results, its) for sweep, its in named.items()}
    everybodys = set[str]().union(*named.values())
    by_sweep[NOBODY] = [r for r in results if r.stage not in everybodys]
    by_kind: dict[str, list[Stored]] = {}
    for result in sorted(results, key=lambda result: result.folder.name):
        by_kind.setdefault(result.folder.name, []).append(result)
    if as_json:
        parts = {"sweeps": by_sweep, "kinds": by_kind, "all": {"store": results}}
        print(json.dumps({name: _as_json(part) for name, part in parts.items()}, indent=1))
        return 0
    rows = [("by sweep", "results", "size"), *map(_row, by_sweep.items()), ("", "", "")]
    rows += [("by kind", "results", "size"), *map(_row, by_kind.items()), ("", "", "")]
    rows.append(_row(("all of it, once", results)))
    width = max(len(row[0]) for row in rows)
    for name, results_, size in rows:
        print(f"{name:{width}}  {results_:>8}  {size:>9}".rstrip())
    return 0


def _within(results: Sequence[Stored], stages: set[str]) -> list[Stored]:
    """The results of these stages."""
    return [result for result in results if result.stage in stages]


def _row(item: tuple[str, Sequence[Stored]]) -> tuple[str, str, str]:
    name, found = item
    return name, str(len(found)), _bytes(_size(found))


def _as_json(part: Mapping[str, Sequence[Stored]]) -> dict[str, dict[str, int]]:
    return {name: {"results": len(its), "bytes": _size(its)} for name, its in part.items()}


def _size(found: Sequence[Stored]) -> int:
    """How many bytes some results take up."""
    return sum(result.size for result in found)


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _prune(folder: Path, given: argparse.Namespace) -> int:
    found = list(_unneeded(folder, given.sweeps, given.older_than))
    if not found:
        say(NAME, f"{folder}: nothing to remove")
        return 0
    _show(folder, found)
    if given.dry_run:
        say(NAME, "nothing is removed (--dry-run)")
        return 0
    if not given.yes and not _agreed():
        say(NAME, "nothing is removed")
        return 0
    # a sweep may have been started while we asked
    needless = {thing.path for thing in _unneeded(folder, given.sweeps, given.older_than)}
    removed = [thing for thing in found if thing.path in needless and remove(thing)]
    room = _bytes(sum(thing.size for thing in removed))
    say(NAME, f"{folder}: {len(removed)} of {len(found)} removed, {room}")
    return 0 if len(removed) == len(found) else 1


def _unneeded(folder: Path, sweeps: Sequence[str], older_than: float) -> Iterator[Stored]:
    """What may be removed. Raises ConfigError where nobody can tell."""
    named = _named(sweeps)
    if not named:
        raise ConfigError(
            f"no sweep in {', '.join(sweeps)}, so that all of {folder} would go: "
            "--sweeps FOLDER ... says where they are"
        )
    everybodys = set[str]().union(*named.values())
    if strange := sorted(in_hand(folder) - everybodys):
        raise ConfigError(
            f"{strange[0]} is being computed and no sweep names it: what it reads is not known; "
            "try again when it is done"
        )
    before = filesystem_time(folder) - older_than
    results = (result for result in stored(folder) if result.stage not in everybodys)
    yield from (thing for thing in results if thing.used < before)
    yield from (thing for thing in left_over(folder, everybodys) if thing.used < before)


def _show(folder: Path, found: Sequence[Stored]) -> None:
    results = [thing for thing in found if record.KEY.fullmatch(thing.path.name)]
    for thing in sorted(found, key=lambda thing: -thing.size)[:SHOWN]:
        what = record.what(thing.path) if thing in results else "left over"
        print(f"{thing.path.relative_to(folder)}  {_bytes(thing.size):>9}  {what}")
    if len(found) > SHOWN:
        print(f"... and {len(found) - SHOWN} smaller ones")
    print(f"{_count(results, 'result')} that no sweep names: {_room(results)}")
    others = [thing for thing in found if thing not in results]
    print(f"{_count(others, 'thing')} left over by workers: {_room(others)}", flush=True)


def _count(found: Sequence[Stored], what: str) -> str:
    return f"{len(found)} {what}{'' if len(found) == 1 else 's'}"


def _room(found: Iterable[Stored]) -> str:
    return _bytes(sum(thing.size for thing in found))


def _agreed() -> bool:
    print("Remove them? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


if __name__ == "__main__":
    sys.exit(main())
