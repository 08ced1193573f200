"""What the data of a task are: a page about one task, and a line of a table about each of many.

The text is Markdown, for the terminal.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from w2sweep.experiment.shift import Shift
from w2sweep.experiment.splits import Sizes, Splits
from w2sweep.tasks.example import Example
from w2sweep.tasks.source import Source
from w2sweep.tasks.task import Task

COLUMNS = (
    "task",
    "rows",
    "points",
    "groups",
    "classes",
    "left out",
    "used",
    "characters (median)",
    "seconds",
    "source",
)
PAGE_COLUMNS = (
    "",
    "asked",
    "points",
    "groups",
    "classes",
    "characters: shortest",
    "median",
    "longest",
)
EXAMPLES = 3
"""How many a page shows of each class."""
WIDTH = 240
"""How many characters a page shows of a text: its last ones, where the question is."""


def table_head() -> list[str]:
    """The two lines that a table of tasks begins with."""
    return _head(COLUMNS)


def table_line(name: str, task: Task, sizes: Sizes, seed: int, shift: Shift) -> str:
    """A task's line of the table. Nothing is downloaded for it: of a dataset on the hub it only
    says whether it is there. Raises ConfigError where it is not."""
    where, start = origin(task), time.perf_counter()
    if where.startswith("hub: "):
        return unread_line(name, where)
    _, manifest = Splits.of(task, sizes, seed, shift).made()
    offered = manifest["offered"]
    used = [f"{its['n']:,}" for its in manifest["splits"].values()]
    return _row(
        name,
        f"{_rows(task, manifest):,}",
        f"{offered['n']:,}",
        f"{offered['groups']:,}",
        _shares(offered["classes"]),
        f"{sum(manifest['dropped'].values()):,}",
        " + ".join(used),
        f"{offered['chars']['median']:,.0f}",
        f"{time.perf_counter() - start:.1f}",
        where,
    )


def unread_line(name: str, why: str) -> str:
    """The table's line of a task whose data were not read."""
    return _row(name, *[""] * (len(COLUMNS) - 2), why)


def page(task: Task, sizes: Sizes, seed: int, shift: Shift) -> Iterator[str]:
    """All about a task. Raises ConfigError where its data are not there or cannot be split."""
    shift.check(task)
    splits, manifest = Splits.of(task, sizes, seed, shift).made()
    yield f"\n# {task.name}\n\n{_rows(task, manifest):,} rows, {origin(task)}\n"
    yield from _head(PAGE_COLUMNS)
    yield _split_row("all", {**manifest["offered"], "asked": ""})
    for name, described in manifest["splits"].items():
        yield _split_row(name, described)
    reasons = [f"{n:,} {reason}" for reason, n in manifest["dropped"].items()]
    yield f"\nLeft out: {'; '.join(reasons) or 'nothing'}."
    yield from _shown(splits["supervisor"])


def origin(task: Task) -> str:
    """Where the data of a task come from. Raises ConfigError where they are not there."""
    source = getattr(task, "source", None)
    return source.where() if isinstance(source, Source) else "made here"


def _rows(task: Task, manifest: Mapping[str, Any]) -> int:
    """Rows of the source; points of a task that has none."""
    source = getattr(task, "source", None)
    if not isinstance(source, Source):
        return manifest["offered"]["n"]
    return sum(1 for _ in source.rows())


def _split_row(name: str, described: Mapping[str, Any]) -> str:
    chars = [f"{described['chars'][key]:,.0f}" for key in ("min", "median", "max")]
    return _row(
        name,
        str(described["asked"]),
        f"{described['n']:,}",
        f"{described['groups']:,}",
        _shares(described["classes"]),
        *chars,
    )


def _shown(examples: Sequence[Example]) -> Iterator[str]:
    """The first examples of each class; where the labels are completions, the first of all."""
    classes = sorted({e.label for e in examples if isinstance(e.label, int)})
    for c in classes:
        yield f"\nClass {c}:"
        of_class = [e for e in examples if e.label == c]
        yield from map(_example, of_class[:EXAMPLES])
    if not classes:
        yield "\nExamples:"
        yield from map(_example, examples[:EXAMPLES])


def _example(example: Example) -> str:
    first, *others = map(_end, example.views)
    answer = f" ->{example.label}" if isinstance(example.label, str) else ""
    lines = [f"  - {first}{answer}", *(f"  | {view}{answer}" for view in others)]
    return "\n".join(lines)


def _end(text: str) -> str:
    text = " / ".join(text.split("\n"))
    return text if len(text) <= WIDTH else "..." + text[-WIDTH:]


def _shares(classes: Mapping[str, int]) -> str:
    total = sum(classes.values())
    shares = [f"{n / total:.0%}" for n in classes.values()]
    return " : ".join(shares) or "completions"


def _head(columns: Sequence[str]) -> list[str]:
    return [_row(*columns), _row(*["---"] * len(columns))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
