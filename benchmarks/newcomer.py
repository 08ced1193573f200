"""What a newcomer waits for: from `git clone` to the page of the demo, part by part.

    python benchmarks/newcomer.py                      # in a temporary folder, which is removed
    python benchmarks/newcomer.py --folder FOLDER      # in a new one, which stays
    python benchmarks/newcomer.py --source ADDRESS     # a clone of another repository than this one

It types what the README says, in a clone: what is committed counts. Seconds are on the clock, so
that nothing else should run. It needs no package, but git, make, and what `make setup` downloads
unless pip has it: PIP_NO_CACHE_DIR=1 downloads all of it, as on a new machine.

On two cores of an AMD EPYC, torch 2.13.0, with packages that pip had already and little else
running: clone 0.5 s, install 107, first answer 0.9, plan 2.4, demo 359, demo again 8.3.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PARTS = {
    "install": "make setup",
    "first answer": ".venv/bin/w2sweep --version",
    "plan": ".venv/bin/w2sweep -cn quickstart plan=true",
    "demo": "make demo",
    "demo again": "make demo",
}
"""What is typed in the clone, in this order."""
PAGE = "outputs/sweeps/quickstart/report/index.html"
SENTENCES = 3
"""What the demo says at its end: one for each family of tasks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--folder", type=Path, help="a new one, for the clone and all it makes")
    parser.add_argument("--source", default=str(HERE), help="what to clone")
    asked = parser.parse_args()
    with place(asked.folder) as folder:
        clone = folder / "w2sweep"
        typed(folder, "clone", f"git clone --quiet {asked.source} {clone}")
        said = {part: typed(clone, part, line) for part, line in PARTS.items()}
        check(clone, said)


@contextlib.contextmanager
def place(folder: Path | None) -> Iterator[Path]:
    if folder is None:
        with tempfile.TemporaryDirectory() as made:
            yield Path(made)
    else:
        folder.mkdir(parents=True)
        yield folder.resolve()


def typed(folder: Path, part: str, line: str) -> str:
    """What a command says, which is shown where it fails."""
    began = time.monotonic()
    done = subprocess.run(line.split(), cwd=folder, capture_output=True, text=True)
    print(f"{part:14}{time.monotonic() - began:8.1f} s   {line}", flush=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\n{line}: exit code {done.returncode}")
    return done.stdout


def check(clone: Path, said: dict[str, str]) -> None:
    """That the demo ends with what came out, and trains nothing the second time."""
    found = [line for line in said["demo"].splitlines() if line.startswith("found ")]
    print("\n".join(found))
    assert len(found) == SENTENCES, found
    assert said["demo again"].splitlines()[-1] == f"Open {PAGE}"
    events = map(json.loads, (clone / "outputs/store/journal.jsonl").read_text().splitlines())
    computed = [event["stage"] for event in events if event["event"] == "commit"]
    assert len(computed) == len(set(computed))
    size = (clone / PAGE).stat().st_size / 1e6
    print(f"{len(computed)} stages, each computed once; the page has {size:.1f} MB")


if __name__ == "__main__":
    main()
