"""Stages that do arithmetic, and one that does what it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from w2sweep.engine.job import Circumstances
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Job, Stage
from w2sweep.engine.store import Store
from w2sweep.values import value

Deed = Callable[[Path], object]
"""What to do in a stage's working folder."""


@dataclass(frozen=True)
class Number(Stage[int]):
    n: int

    def run(self, job: Job) -> None:
        (job.out / "n").write_text(str(self.n))

    def read(self, path: Path) -> int:
        return int((path / "n").read_text())


@dataclass(frozen=True)
class Sum(Stage[int]):
    of: tuple[Stage[int], ...]

    def run(self, job: Job) -> None:
        total = sum(job.get(stage) for stage in self.of)
        (job.out / "n").write_text(str(total))

    def read(self, path: Path) -> int:
        return int((path / "n").read_text())


@value
class Orders(Runtime):
    """A stage cannot hold a function; how it is run can."""

    deed: Deed = lambda out: None


@dataclass(frozen=True)
class Told(Stage[None]):
    """Does what the runtime orders."""

    label: str = "x"
    seven: Number = field(default_factory=lambda: Number(7))

    def run(self, job: Job) -> None:
        assert isinstance(job.runtime, Orders)
        job.runtime.deed(job.out)

    def read(self, path: Path) -> None:
        return None


def telling(root: Path, deed: Deed, **options: Any) -> Store:
    """A store in which `Told` does `deed`."""
    return Store(root, Circumstances(Orders(deed=deed)), **options)


def works(root: Path) -> list[str]:
    """The names of the files in the working folders of `Told`."""
    folder = (root / Told().name).parent
    return sorted(file.name for file in folder.glob(f".working/{Told().key}.[0-9]*/*"))


def events(root: Path) -> Counter[str]:
    """How often what happened."""
    return Counter(line["event"] for line in Store(root, mode="read-only").journal())


def hidden(root: Path) -> list[str]:
    """What running workers leave; nothing, once they are through."""
    places = (".clock", ".leases", ".working", ".failed")
    entries = [entry for entry in root.glob("**/.*") if entry.name not in places]
    found = [*entries, *root.glob("*/.working/*"), *root.glob("*/.leases/*/*.*.*")]
    return [str(entry.relative_to(root)) for entry in found]
