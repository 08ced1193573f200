"""`w2sweep-report`: what it prints, and how it exits."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_sweep import TWO_RUNGS, cell, fail, fake_sweep

from w2sweep.engine.files import write_json
from w2sweep.interface.report_command import main


def test_it_prints_the_table_and_says_where_the_page_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sweep = fake_sweep(tmp_path / "s", tasks={"[red]x[/]": "nlp"}, ladder=TWO_RUNGS)
    assert main([str(sweep)]) == 0
    said = capsys.readouterr().out
    assert "[red]x[/]" in said
    assert "± one standard error, [95 % interval], over seeds and test examples." in said
    assert said.splitlines()[-1] == f"report   {sweep / 'report' / 'index.html'}"
    fail(cell(sweep, weak="nano", strong="small", method="naive", seed=0), "out of memory")
    assert main([str(sweep)]) == 1
    place = "[red]x[/]: small <- nano on lab, naive, seed 0"
    assert f"failed   {place}: out of memory\n" in capsys.readouterr().out


def nothing(sweep: Path) -> None:
    shutil.rmtree(sweep)
    sweep.mkdir()


def all_failed(sweep: Path) -> None:
    for file in sweep.glob("*/correct.safetensors"):
        fail(file.parent, "out of memory")


def torn_plan(sweep: Path) -> None:
    (sweep / "sweep.json").write_text('{"name": ')


def older_version(sweep: Path) -> None:
    for file in sweep.glob("*/cell.json"):
        write_json(file, {"task": "sentiment", "variant": "", "weak_accuracy": 0.5})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shutil.rmtree, "no folder"),
        (nothing, "is no sweep: it has neither sweep.json nor cells"),
        (all_failed, "no finished cell in"),
        (torn_plan, "sweep.json is damaged"),
        (older_version, "the first: unreadable result, remove the folder and run the sweep again"),
    ],
)
def test_what_cannot_be_reported_is_said_in_one_line(
    spoil: Callable[[Path], None], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sweep = fake_sweep(tmp_path / "s", tasks={"sentiment": "nlp"}, ladder=TWO_RUNGS)
    spoil(sweep)
    with pytest.raises(SystemExit) as exited:
        main([str(sweep)])
    assert exited.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("w2sweep-report: ")
    assert said in error
    assert error.count("\n") == 1


def test_the_help_imports_nothing_heavy():
    code = (
        "import sys; from w2sweep.interface.report_command import main\n"
        "try: main(['--help'])\n"
        "finally: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "outputs/sweeps/<name>" in done.stdout
    assert not {"matplotlib", "torch", "jinja2", "rich"} & set(done.stdout.split())
