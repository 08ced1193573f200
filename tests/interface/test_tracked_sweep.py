"""A sweep in Weights & Biases, offline, read back from what was written there."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import plan, read, w2sweep
from conftest import REPOSITORY
from omegaconf import OmegaConf
from wandb_files import config, history, record, runs, summary

WANDB_PAGE = REPOSITORY / "docs" / "wandb.md"
TRACKED = ("tracking=wandb", "tracking.project=study", "tracking.mode=offline")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a sweep of two cells was run, twice: the second time the store answered all
    of it, and the sweep's configuration was not there any more."""
    from commands import add_pretending_tasks

    folder = tmp_path_factory.mktemp("tracked")
    add_pretending_tasks(folder)
    for _ in range(2):
        config_file = folder / "outputs" / "sweeps" / "night" / "config.yaml"
        config_file.unlink(missing_ok=True)
        w2sweep(folder, *TRACKED, "task=pretend", "method=naive,scratch", "sweep=night")
    return folder


def test_each_trained_stage_is_a_run_of_the_sweeps_group(tracked: Path):
    written = [record(file, "run") for file in runs(tracked / "outputs")]
    stages = {w["run_id"]: w for w in written if w["job_type"] not in ("summary", "cell")}
    trained = [name for name in plan(tracked, "night")["stages"] if name.startswith("Finetune/")]
    assert sorted(stages) == sorted(name.removeprefix("Finetune/") for name in trained)
    assert {w["run_group"] for w in written} == {"night"}
    assert {w["project"] for w in written} == {"study"}
    roles = sorted(w["job_type"] for w in stages.values())
    assert roles == ["ceiling", "student", "student", "supervisor"]
    for key, run in stages.items():
        assert run["config"]["update"]["identity"]["is"] == "Finetune"
        assert run["config"]["update"]["stage"] == f"Finetune/{key}"


def test_what_a_stage_logs_is_grouped_by_its_prefix(tracked: Path):
    [student, *_] = [
        f for f in runs(tracked / "outputs") if record(f, "run")["job_type"] == "student"
    ]
    [logged] = history(student)
    assert logged.keys() == {"_step", "train/loss", "validation/accuracy_own"}


def test_a_sweep_has_one_run_with_its_table_and_figures(tracked: Path):
    summaries = [f for f in runs(tracked / "outputs") if record(f, "run")["job_type"] == "summary"]
    [summary] = summaries  # the second time nothing was run
    assert record(summary, "run")["run_id"] == "sweep-night"
    [logged] = history(summary)
    kinds = {key.removesuffix("._type"): kind for key, kind in logged.items() if "._type" in key}
    assert kinds["table"] == "table-file"
    assert kinds["page"] == "html-file"
    assert "image-file" in kinds.values()


def test_a_sweep_that_the_store_answers_has_its_curves_in_its_group_once(
    tracked: Path, tmp_path: Path
):
    before = set(runs(tracked / "outputs"))
    for stages, said in ((4, "the tracker is given the curves of 4 stages"), (0, "0 cells to run")):
        cells = ["task=pretend", "method=naive,scratch", "sweep=day"]
        assert said in w2sweep(tracked, *TRACKED, *cells).stderr
        new = [file for file in runs(tracked / "outputs") if file not in before]
        before |= set(new)
        written = [record(file, "run") for file in new]
        assert {w["run_group"] for w in written} <= {"day"}
        types = [record(file, "run")["job_type"] for file in new]
        replayed = [f for f, of in zip(new, types, strict=True) if of not in ("summary", "cell")]
        assert types.count("cell") == (2 if stages else 0)
        assert len(replayed) == stages
        for file in replayed:
            [logged] = history(file)
            assert logged.keys() == {"_step", "train/loss", "validation/accuracy_own"}


def test_a_sweep_says_with_what_it_was_made_also_where_the_store_answers_it(tracked: Path):
    first = (tracked / "outputs" / "sweeps" / "night" / "config.yaml").read_text()
    comments = [line for line in first.splitlines() if line.startswith("#")]
    assert comments[1:] == [
        "# What the first of 2 cells is made of.",
        "# Others differ in these keys, and in what these choose (see sweep.json):",
        "#   method: naive, scratch",
    ]
    config = OmegaConf.create(first)
    assert config.sizes.supervisor == 100
    assert config.method.name == "naive"
    assert config.tracking.project == "study"
    assert "hydra" not in config
    assert "${" not in first
    environment = plan(tracked, "night")["environment"]
    [*stages] = (tracked / "outputs" / "store" / "Finetune").glob("*/stage.json")
    assert environment["versions"].keys() >= {"python", "w2sweep", "torch", "transformers"}
    assert all(read(file)["environment"] == environment for file in stages)


GRID = ("task=pretend", "weak=nano,micro", "strong=small", "method=naive,scratch", "seed=0,1")
TABLE = ("task", "weak", "strong", "method", "seed", "weak_accuracy", "student_accuracy")
NUMBERS = ("ceiling_accuracy", "pgr", "agreement", "n_test")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tracked sweep of eight cells."""
    from commands import add_pretending_tasks

    folder = tmp_path_factory.mktemp("grid")
    add_pretending_tasks(folder)
    w2sweep(folder, *TRACKED, *GRID, "sweep=grid")
    return folder


def number(held: Any) -> str:
    """A PGR may be undefined: then W&B is told none, and a table has an empty field."""
    return "" if held in (None, "") else str(float(held))


def of_type(folder: Path, *job_types: str) -> list[Path]:
    files = runs(folder / "outputs")
    return [file for file in files if record(file, "run")["job_type"] in job_types]


def test_a_table_of_the_sweep_is_rebuilt_from_its_runs_alone(grid: Path):
    """As W&B's own charts do it: by the config and the summary of runs."""
    rebuilt = [config(file) | summary(file) for file in of_type(grid, "cell")]
    with (grid / "outputs/sweeps/grid/report/cells.csv").open(newline="") as file:
        expected = [row for row in csv.DictReader(file) if row["status"] == "finished"]
    columns = (*TABLE, *NUMBERS)

    def line(row: dict[str, Any]) -> list[str]:
        return [number(row.get(c)) if c in NUMBERS else str(row[c]) for c in columns]

    assert len(rebuilt) == 8
    assert sorted(map(line, rebuilt)) == sorted(map(line, expected))


def test_files_of_another_tracker_say_the_same(
    grid: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Curves of all stages and the table of all cells, of a sweep that the store answers."""
    w2sweep(grid, "tracking=csv", *GRID, "sweep=quickstart")
    curves, table, columns = {}, [], (*TABLE, "pgr")
    for file in (grid / "outputs/csv/quickstart").glob("*/version_0/metrics.csv"):
        told = yaml.safe_load((file.parent / "hparams.yaml").read_text())
        with file.open(newline="") as opened:
            [row] = csv.DictReader(opened)
        if told["job_type"] == "cell":
            cell = {**told, **row}
            table.append([str(cell[c]) if c in told else number(cell.get(c)) for c in columns])
        else:
            curves[told["stage"]] = {key: float(held) for key, held in row.items()}
    cells = [config(file) | summary(file) for file in of_type(grid, "cell")]
    named = {"task", "weak", "strong", "method", "seed"}
    expected = [
        [str(cell[c]) if c in named else number(cell.get(c)) for c in columns] for cell in cells
    ]
    assert sorted(table) == sorted(expected)
    trained = of_type(grid, "student", "supervisor", "ceiling")
    logged = {config(file)["stage"]: history(file)[0] for file in trained}
    as_logged = {
        stage: {"step" if key == "_step" else key: held for key, held in row.items()}
        for stage, row in logged.items()
    }
    assert curves == as_logged
    monkeypatch.chdir(grid)
    [program] = re.findall(r"```python\n(.*?)```", WANDB_PAGE.read_text("utf-8"), re.DOTALL)
    exec(program, {})  # what the documentation says of it
    assert "naive" in capsys.readouterr().out


def test_runs_are_told_apart_by_their_names(grid: Path):
    names = [record(file, "run")["display_name"] for file in runs(grid / "outputs")]
    assert len(names) == len(set(names))
    both = {f"pretend / ceiling / small / seed {seed}" for seed in (0, 1)}
    for seed in (0, 1):
        for weak in ("nano", "micro"):
            both.add(f"pretend / supervisor / {weak} / seed {seed}")
            for method in ("naive", "scratch"):
                pair = f"{method} / {weak} -> small / seed {seed}"
                both |= {f"pretend / {pair}", f"pretend / student / {pair}"}
    assert set(names) == both | {"grid: summary"}


def test_runs_are_filtered_by_flat_keys(grid: Path):
    found = {record(f, "run")["display_name"]: config(f) for f in of_type(grid, "student")}
    student = found["pretend / student / naive / nano -> small / seed 1"]
    flat = {key: held for key, held in student.items() if key not in ("identity", "stage")}
    assert flat == {
        "role": "student",
        "task": "pretend",
        "family": "nlp",
        "ladder": "lab",
        "rung": "small",
        "teacher": "nano",
        "weak": "nano",
        "strong": "small",
        "method": "naive",
        "loss": "cross_entropy",
        "tuning": "full",
        "lr": pytest.approx(flat["lr"]),
        "seed": 1,
        "sweep": "grid",
        "parameters": flat["parameters"],
        "compute": pytest.approx(flat["compute"]),
    }
    [cell] = [
        config(f)
        for f in of_type(grid, "cell")
        if record(f, "run")["display_name"] == "pretend / naive / nano -> small / seed 1"
    ]
    shared = flat.keys() & cell.keys() - {"role"}
    assert shared >= {"task", "family", "ladder", "weak", "strong", "method", "loss", "seed"}
    assert {key: cell[key] for key in shared} == {key: flat[key] for key in shared}
    assert cell["student_stage"] == student["stage"]  # from a cell to its curves
    ceiling = config(of_type(grid, "ceiling")[0])
    assert ceiling["strong"] == "small"
    assert not {"weak", "method"} & ceiling.keys()  # which share it


def test_the_summary_run_has_the_configuration_of_the_sweep(grid: Path):
    [summary_run] = of_type(grid, "summary")
    found = config(summary_run)
    assert found["axes"] == {"weak": ["nano", "micro"], "method": ["naive", "scratch"]} | {
        "seed": ["0", "1"]
    }
    assert found["cells"] == 8
    assert found["configuration"]["sizes"]["supervisor"] == 100
    assert found["command"].startswith("w2sweep ")
