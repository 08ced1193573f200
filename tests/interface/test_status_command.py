"""What is told of a sweep that runs, has failed, or is over, from its folder alone."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from commands import QUIET, plan

from w2sweep.engine.leases import claim
from w2sweep.engine.owners import Owner, machine
from w2sweep.engine.queue import LiveJob
from w2sweep.engine.survey import survey
from w2sweep.engine.working import folder_of
from w2sweep.interface import command, status_command

SWEEP = [*QUIET, "task=pretend", "weak=nano,micro", "strong=micro", "sweep=mine"]


def w2sweep(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """In this process."""
    monkeypatch.setattr(sys, "argv", ["w2sweep", *SWEEP, *words])
    try:
        command.main()
    except SystemExit as exit:
        return int(exit.code or 0)
    return 0


def status(
    capsys: pytest.CaptureFixture[str], *words: str, code: int = 0, launched: bool = False
) -> list[str]:
    """What is told of the sweep `mine`, whose launcher is this process, or has ended."""
    file = Path("outputs/sweeps/mine/sweep.json")
    said = json.loads(file.read_text())
    ended = Owner(machine(), os.getpid(), "another time")
    said["launcher"] = (Owner.this() if launched else ended).plain
    file.write_text(json.dumps(said))
    capsys.readouterr()
    assert status_command.main(["outputs/sweeps/mine", *words]) == code
    return capsys.readouterr().out.splitlines()


def test_a_sweep_that_is_over(folder: Path, monkeypatch, capsys):
    assert w2sweep(monkeypatch) == 0
    assert status(capsys) == [
        "cells    1 of 1 done, 0 failed",  # the other has no supervisor below its student
        "stages   7: 7 done, 0 running, 0 queued, 0 failed, 0 missing",
    ]


def test_what_has_failed_and_why(folder: Path, monkeypatch, capsys):
    assert w2sweep(monkeypatch, "task.failing=supervisor") == 1
    told = status(capsys, "--failed", code=1)
    assert told[0] == "cells    0 of 1 done, 1 failed"
    assert "1 failed" in told[1]
    assert told[2].startswith("failed   supervisor nano, pretend (Finetune/")
    assert told[2].endswith("): ValueError: supervisors fail here")
    missing = [line for line in told if line.startswith("missing  student micro <- nano, pretend")]
    assert len(missing) == 1


def test_what_is_still_to_come_is_not_missing_while_the_command_runs(folder, monkeypatch, capsys):
    assert w2sweep(monkeypatch) == 0
    (name,) = [n for n, what in plan(folder, "mine")["stages"].items() if "student" in what]
    (folder / "outputs/store" / name).rename(folder / "elsewhere")
    assert status(capsys, code=1)[1].endswith("6 done, 0 running, 0 queued, 0 failed, 1 missing")
    said = status(capsys, code=0, launched=True)
    assert said[1].endswith("6 done, 0 running, 0 queued, 0 failed, 1 to come")


def test_what_runs_says_how_far_it_is(folder: Path, monkeypatch, capsys):
    assert w2sweep(monkeypatch) == 0
    store = folder / "outputs" / "store"
    (name,) = [n for n, what in plan(folder, "mine")["stages"].items() if "student" in what]
    kind, _, key = name.partition("/")
    (store / name).rename(store / "elsewhere")
    lease = claim(store / kind, key, 600.0)
    assert lease is not None
    work = folder_of(lease)
    work.mkdir(parents=True)
    (work / "progress.json").write_text(json.dumps({"step": 30, "steps": 90, "rate": 2.0}))
    told = status(capsys)
    assert told[1].endswith("6 done, 1 running, 0 queued, 0 failed, 0 missing")
    assert told[2].startswith(
        "running  student micro <- nano, pretend: 30/90, 2 steps/s, 0:30 left, "
    )


def test_stages_of_live_jobs_are_queued_and_told_apart_from_others(tmp_path: Path):
    job = LiveJob("17", "student", "mine", "large", ("Finetune/a",), "log", "PENDING", "Priority")
    found = survey(["Finetune/a", "Finetune/b"], tmp_path, 0.0, [job])
    assert found.queued == {"Finetune/a": "17"}
    assert found.missing == {"Finetune/b"}


def test_no_sweep_is_one_line(tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as exit:
        status_command.main([str(tmp_path)])
    assert exit.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"w2sweep-status: {tmp_path} is no sweep")


def test_an_onlooker_reports_on_what_others_have_done_and_starts_nothing(
    folder: Path, monkeypatch, capsys
):
    assert w2sweep(monkeypatch, "task.failing=supervisor", "sweep=mine") == 1
    before = plan(folder, "mine")
    journal = (folder / "outputs/store/journal.jsonl").read_text()
    for file in (folder / "outputs/sweeps/mine").glob("*/failure.json"):
        file.unlink()
    assert w2sweep(monkeypatch, "task.failing=supervisor", "hydra/launcher=none") == 1
    said = capsys.readouterr().err
    assert "1 cell failed" in said
    assert (folder / "outputs/store/journal.jsonl").read_text() == journal
    after = plan(folder, "mine")
    # jobs that are queued read there what counts, which a look does not change
    kept = ("started", "bf16", "launcher", "stages", "store", "command")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}


def test_an_onlooker_answers_the_cells_whose_stages_are_there(folder: Path, monkeypatch, capsys):
    """As the last job of a cluster does."""
    assert w2sweep(monkeypatch) == 0
    for file in (folder / "outputs/sweeps/mine").glob("*/cell.json"):
        file.unlink()
    assert w2sweep(monkeypatch, "hydra/launcher=none") == 0
    assert len(list((folder / "outputs/sweeps/mine").glob("*/cell.json"))) == 2
    assert (folder / "outputs/sweeps/mine/report/index.html").exists()
