"""`plan=true`: what a command says that it would run, from the outside."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import complaint, w2sweep
from conftest import REPOSITORY
from omegaconf import OmegaConf

from w2sweep.engine.runtime import Runtime
from w2sweep.interface.outlooks import means_of
from w2sweep.values import ConfigError

GRID = ["task=pretend", "weak=nano,micro", "strong=micro,mini", "seed=0,1"]
SLURM = ("hydra/launcher=stages_slurm", "tracking=none")


def test_a_plan_runs_nothing_and_writes_nothing(folder: Path):
    before = sorted(folder.rglob("*"))
    said = w2sweep(folder, *GRID, "plan=true")
    assert said.stdout.startswith("6 cells, ")
    assert "2 skipped: weak is not below strong" in said.stdout
    assert [path for path in sorted(folder.rglob("*")) if path not in before] == []


def test_a_plan_knows_what_is_there(folder: Path):
    w2sweep(folder, *GRID, "seed=0", "strong=micro", "sweep=some")
    told = json.loads(w2sweep(folder, *GRID, "plan=json").stdout)
    assert (told["cells"], told["skipped"]) == (6, {"weak is not below strong": 2})
    assert told["there"] + told["to_run"] == told["stages"]
    rows = list(csv.DictReader(io.StringIO(w2sweep(folder, *GRID, "plan=csv").stdout)))
    assert len(rows) == told["stages"]
    states = [row["state"] for row in rows]
    assert (states.count("there"), states.count("to run")) == (told["there"], told["to_run"])
    finished = {row["stage"] for row in rows if row["state"] == "there"}
    assert all((folder / "outputs/store" / name / "stage.json").exists() for name in finished)
    assert {len(row["inputs"].split()) > 0 for row in rows if row["type"] == "Finetune"} == {True}
    assert not (folder / "outputs/sweeps/plan").exists()


def test_what_is_wrong_is_told_as_in_a_run(folder, monkeypatch, capsys):
    code, line = complaint(monkeypatch, capsys, *GRID, "plan=yes_please")
    assert code == 2
    assert line.startswith("w2sweep: plan: found 'yes_please' (str), expected False, True, 'json'")
    code, line = complaint(monkeypatch, capsys, *GRID, "plan=true", "method=confidence", "seed=-1")
    assert (code, line.count("\n")) == (2, 1)


def test_rules_say_where_stages_would_run(folder: Path):
    told = json.loads(w2sweep(folder, *GRID, *SLURM, "plan=json").stdout)
    rules = {(kind["type"], kind["rule"]) for kind in told["kinds"]}
    assert rules == {
        ("Splits", "data"),
        ("Text", "data"),
        ("Adapt", "small"),
        ("Finetune", "small"),
    }
    assert set(told["jobs"]) == {"data", "small"}
    packed = sum(kind["to_run"] for kind in told["kinds"] if kind["rule"] == "small")
    assert packed / 4 <= told["jobs"]["small"] < packed


def test_a_stage_without_a_rule_is_told_before_anything_runs(folder, monkeypatch, capsys):
    few = "hydra.launcher.resources={small:{up_to:1000}}"
    code, line = complaint(monkeypatch, capsys, *GRID, *SLURM, few, "plan=true")
    assert (code, line.count("\n")) == (2, 1)
    assert line.startswith("w2sweep: hydra.launcher.resources: no rule matches ")


def test_a_plan_reads_nothing_heavy(tmp_path: Path):
    code = f"""
import sys
from w2sweep.interface.command import main
sys.argv = {["w2sweep", "-cn", "quickstart", "tracking=none", "plan=true"]}
main()
print(*sorted(m for m in sys.modules if "." not in m))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split("\n")[-2].split())
    assert "w2sweep" in loaded
    assert loaded.isdisjoint({"torch", "transformers", "datasets", "scipy", "wandb"})


def rules(**said: Any) -> Any:
    return OmegaConf.create({"hydra": {"launcher": {"resources": said}}})


def test_rules_of_a_launcher_say_what_stages_are_given():
    large = {"gpus": 8, "flops": 1e15, "overrides": ["runtime.micro_tokens=4096"]}
    found = means_of(rules(small={"up_to": 1e9}, large=large), None, Runtime())  # type: ignore
    assert found.workers is None
    assert list(found.rules) == ["small", "large"]
    assert (found.rules["large"].gpus, found.rules["large"].flops) == (8, 1e15)
    assert found.runtimes["small"] == Runtime()
    assert found.runtimes["large"] == Runtime(micro_tokens=4096)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"gpu": 1}, r"^hydra\.launcher\.resources\.a\.gpu: unknown key"),
        ({"gpus": -1}, r"^hydra\.launcher\.resources\.a\.gpus: found -1"),
        ({"overrides": ["runtime.sizes=8"]}, r"^hydra\.launcher\.resources\.a\.overrides: "),
    ],
)
def test_a_rule_that_cannot_be_is_told(rule: Any, expected: str):
    with pytest.raises(ConfigError, match=expected):
        means_of(rules(a=rule), None, Runtime())  # type: ignore
