"""The command that makes sure of single stages: what it runs, and how it exits."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import QUIET, environment, executed, journal, plan

from w2sweep.engine.leases import held
from w2sweep.interface import command, stage_command

GRID = ["task=pretend", "weak=nano", "strong=micro", *QUIET]


def call(*words: str) -> list[str]:
    return [sys.executable, "-m", "w2sweep.interface.stage_command", *words]


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    """What a stage is called -> its name, by `--list` in this process."""
    assert stage_command.main([*words, "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    parts = [line.split(maxsplit=3) for line in lines]
    return {what: name for name, _, _, what in parts}


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """What the command does to this process is undone."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def names(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    return listed(capsys, *GRID)


def main(*words: str) -> int:
    """In this process."""
    try:
        return stage_command.main(words)
    except SystemExit as exit:
        return int(exit.code or 0)


def test_the_stages_of_a_cell_are_listed_inputs_first(
    folder: Path, names: dict[str, str], capsys: pytest.CaptureFixture[str]
):
    order = list(names)
    assert order.index("splits of pretend") < order.index("supervisor nano, pretend")
    assert order.index("supervisor nano, pretend") < order.index("student micro <- nano, pretend")
    assert main(*GRID, "--only", names["splits of pretend"]) == 0
    assert main(*GRID, "--list") == 0
    lines = {line.split()[0]: line.split()[1:3] for line in capsys.readouterr().out.splitlines()}
    assert lines[names["splits of pretend"]] == ["done", "-"]
    assert lines[names["supervisor nano, pretend"]] == ["missing", "1.76e+03"]


def test_only_what_is_named_is_run(folder: Path, names: dict[str, str]):
    supervisor = names["supervisor nano, pretend"]
    assert main(*GRID, "--only", supervisor) == 3
    assert not (folder / "outputs/store/journal.jsonl").exists()
    assert main(*GRID, "--only", *(n for n in names.values() if "Fine" not in n)) == 0
    assert main(*GRID, "--only", supervisor) == 0
    assert executed(folder) == [supervisor.partition("/")[2]]
    assert main(*GRID) == 0  # all that is left of the cell
    assert len(executed(folder)) == 3


def test_missing_inputs_are_named(
    folder: Path, names: dict[str, str], capsys: pytest.CaptureFixture[str]
):
    assert main(*GRID, "--only", names["supervisor nano, pretend"]) == 3
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "reads what is not" in line]
    assert names["splits of pretend"] in said


def test_a_stage_that_fails_does_not_stop_its_siblings(
    folder: Path, names: dict[str, str], capsys: pytest.CaptureFixture[str]
):
    assert main(*GRID, "task.failing=supervisor") == 1
    said = capsys.readouterr().err
    assert "ValueError: supervisors fail here" in said
    assert "student micro <- nano, pretend" in said  # whose input is missing now
    assert journal(folder, "failed") == ["supervisor nano, pretend"]
    assert "ceiling micro, pretend" in journal(folder, "commit")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--only", "Finetune/0123456789abcdef"], "--only: Finetune/0123456789abcdef is none of"),
        (["weak=huge"], "weak: no rung 'huge'"),
        (["--sweep", "nowhere"], "nowhere is no sweep"),
        (["--cell", "--list"], "unrecognized arguments: --list"),
        (["-cn", "nothing"], "no sweep 'nothing'"),
    ],
)
def test_what_is_wrong_is_one_line_and_exits_with_2(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
):
    assert main(*GRID, *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"w2sweep-stage: {complaint}")


def test_a_full_disk_is_an_interruption_and_nothing_is_remembered_of_it(
    folder: Path, names: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    from w2sweep.experiment.splits import Splits

    def full(self: Splits, job: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(Splits, "run", full)
        assert main(*GRID, "--only", names["splits of pretend"]) == 4
    assert journal(folder, "interrupted") == ["splits of pretend"]
    assert main(*GRID, "--only", names["splits of pretend"]) == 0


@contextmanager
def lasting(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The command in the middle of a supervisor that takes minutes."""
    options = {"cwd": folder, "env": environment(), "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(call(*GRID, "task.lasting=supervisor", *words), **options) as process:  # type: ignore
        end = time.monotonic() + 60
        while not (folder / "outputs/store/executed").exists() and time.monotonic() < end:
            time.sleep(0.05)
        try:
            yield process
        finally:
            process.kill()


def test_signals_interrupt_and_give_the_lease_back(folder: Path, names: dict[str, str]):
    with lasting(folder) as process:
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[1]
        assert process.returncode == 4, said
    assert "interrupted: run the same command again" in said
    assert journal(folder, "interrupted") == ["supervisor nano, pretend"]
    assert held(folder / "outputs/store/Finetune", names["supervisor nano, pretend"][-16:]) is None


def test_a_killed_command_has_the_shells_code(folder: Path):
    with lasting(folder) as process:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert journal(folder, "interrupted") == []


def contents(root: Path) -> dict[str, str]:
    """The files of all results, with checksums, but for what tells who made them and when."""
    files = [f for f in root.rglob("*") if f.is_file() and f.name != "stage.json"]
    there = [f for f in files if not any(p.startswith(".") for p in f.relative_to(root).parts)]
    results = [file for file in there if len(file.relative_to(root).parts) > 2]
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in results}


TOYS = """# @package _global_
task: {_target_: toys.Toy}
ladder:
  _target_: w2sweep.experiment.ladder.Ladder
  name: toys
  tokenizer: {_target_: w2sweep.experiment.backbone.Tokenizer, kind: word, context: 24}
  rungs:
    nano: &rung
      _target_: w2sweep.experiment.ladder.HomegrownRung
      width: 8
      depth: 1
      heads: 2
      tokens: 4000
      pretrain_lr: 0.01
      lr: 0.003
    small: {<<: *rung, width: 12}
sizes: {supervisor: 32, student: 32, validation: 16, test: 32}
recipe: {epochs: 1, batch_size: 16}
"""


@pytest.mark.slow
def test_results_are_those_of_w2sweep_byte_for_byte(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Really trained, each stage by a command of its own, with the weights that only the sweep as a
    whole wants."""
    (folder / "conf/task/toys.yaml").write_text(TOYS)
    others = TOYS.replace("toys.Toy", "toys.Toy, name: others")
    (folder / "conf/task/others.yaml").write_text(others)
    # together, sums are made in another order
    cell = ["task=toys", "evaluate_on=[others]", "runtime.together=1"]
    monkeypatch.setattr(sys, "argv", ["w2sweep", *QUIET, *cell, "sweep=whole"])
    command.main()
    names = list(plan(folder, "whole")["stages"])
    for name in names:
        ours = [*QUIET, *cell, "store=outputs/single"]
        assert main(*ours, "--sweep", "outputs/sweeps/whole", "--only", name) == 0
    single = folder / "outputs" / "single"
    assert contents(single) == contents(folder / "outputs" / "store")
    weights = [name for name in names if name.startswith("Weights/")]
    records = [(single / name / "stage.json").read_text() for name in weights]
    assert len(records) == 3
    assert all("delivered_by" in record for record in records)
