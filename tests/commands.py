"""Commands in processes of their own, in a folder with tasks whose stages only pretend to train
(see `pretend`), and what they leave there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm
from conftest import REPOSITORY

START = "from w2sweep.interface.command import main; main()"
QUIET = ("tracking=none", "runtime.accelerator=cpu")
PRETEND = """# @package _global_
task: {_target_: pretend.%s, failing: "", deadly: "", lasting: ""}
sizes: {supervisor: 100, student: 100, validation: 20, test: 100}
"""


def add_pretending_tasks(folder: Path) -> None:
    """Makes `task=pretend` and `task=pretend_completions` known to commands in the folder."""
    tasks = folder / "conf" / "task"
    tasks.mkdir(parents=True)
    (tasks / "pretend.yaml").write_text(PRETEND % "Pretend")
    (tasks / "pretend_completions.yaml").write_text(PRETEND % "PretendCompletions")


def environment() -> dict[str, str]:
    """With this package, and the tasks that pretend; without what W&B tells its own helpers, which
    are those of another process."""
    path = [".", str(REPOSITORY / "src"), str(REPOSITORY / "tests")]
    own = {key: held for key, held in os.environ.items() if key != "WANDB_SERVICE"}
    return {**own, "PYTHONPATH": os.pathsep.join(path)}


def w2sweep(
    folder: Path,
    *arguments: str,
    code: int = 0,
    python: str = START,
    seconds: float = 120,
    anew: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Runs `w2sweep` in the folder, without tracking unless the arguments say so.

    Args:
        code: the exit code that is expected.
        python: a script that calls the command.
        seconds: after which it is taken to hang.
        anew: in a process that begins with nothing, as that of a launcher always does, whose
            workers depend on it; else in one that has its imports behind it (see `warm`).
    """
    words = [*QUIET, *arguments]
    launches = any(word.startswith("hydra/launcher=") for word in arguments)
    run = _begun if anew or launches else warm.run
    done = run(python, words, folder, environment(), seconds)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """A sweep in a session of its own, which goes on. Its processes are found by `of_sweep`."""
    return subprocess.Popen(
        [sys.executable, "-m", "w2sweep", *QUIET, *arguments],
        cwd=folder,
        env={**environment(), "TEST_SWEEP": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def of_sweep(folder: Path) -> list[int]:
    """The processes that a sweep has started, and that still live."""
    mark = f"TEST_SWEEP={folder}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            zombie = (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            if not zombie and mark in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def eventually(holds: Callable[[], bool], seconds: float = 60) -> bool:
    """Waits until something holds, but not for long. Returns whether it does."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.05)
    return holds()


def _begun(
    script: str, words: list[str], folder: Path, environment: dict[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, *(("-m", "w2sweep") if script == START else ("-c", script))]
    return subprocess.run(
        [*call, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def complaint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str]:
    """Exit code and stderr of a command that runs nothing, in this process."""
    from w2sweep.interface import command

    monkeypatch.setattr(sys, "argv", ["w2sweep", *arguments])
    with pytest.raises(SystemExit) as exit:
        command.main()
    assert isinstance(exit.value.code, int)
    return exit.value.code, capsys.readouterr().err


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def plan(folder: Path, sweep: str) -> dict[str, Any]:
    return read(folder / "outputs" / "sweeps" / sweep / "sweep.json")


def cells(folder: Path, sweep: str, file: str = "cell.json") -> list[dict[str, Any]]:
    """What the cells of a sweep say, oldest first."""
    found = (folder / "outputs" / "sweeps" / sweep).glob(f"*/{file}")
    return [read(path) for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]


def accuracies(cell: dict[str, Any]) -> dict[str, float]:
    return {role: model["accuracy"] for role, model in cell["models"].items()}


def stages(cell: dict[str, Any]) -> dict[str, str]:
    return {role: model["stage"] for role, model in cell["models"].items()}


def identity(folder: Path, stage: str) -> dict[str, Any]:
    """What the store says that a stage was computed from."""
    return read(folder / "outputs" / "store" / stage / "stage.json")["stage"]


def executed(folder: Path) -> list[str]:
    """The keys of all stages that pretended to train, in this order, as often as they did."""
    return (folder / "outputs" / "store" / "executed").read_text().split()


def journal(folder: Path, event: str) -> list[str]:
    """What the stages are called to which this happened."""
    lines = (folder / "outputs" / "store" / "journal.jsonl").read_text().splitlines()
    entries = map(json.loads, lines)
    return [entry["what"] for entry in entries if entry["event"] == event]
