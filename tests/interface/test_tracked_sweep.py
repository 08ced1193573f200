"""A sweep in Weights & Biases, offline, read back from what was written there."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import plan, read, w2sweep
from omegaconf import OmegaConf
from wandb_files import history, record, runs

TRACKED = ("tracking=wandb", "tracking.project=study", "tracking.mode=offline")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a sweep of two cells was run, twice."""
    from commands import add_pretending_tasks

    folder = tmp_path_factory.mktemp("tracked")
    add_pretending_tasks(folder)
    for _ in range(2):
        w2sweep(folder, *TRACKED, "task=pretend", "method=naive,scratch", "sweep=night")
    return folder


def test_each_trained_stage_is_a_run_of_the_sweeps_group(tracked: Path):
    written = [record(file, "run") for file in runs(tracked / "outputs")]
    stages = {w["run_id"]: w for w in written if w["job_type"] != "summary"}
    trained = [name for name in plan(tracked, "night")["stages"] if name.startswith("Finetune/")]
    assert sorted(stages) == sorted(name.removeprefix("Finetune/") for name in trained)
    assert {w["run_group"] for w in written} == {"night"}
    assert {w["project"] for w in written} == {"study"}
    roles = sorted(w["job_type"] for w in stages.values())
    assert roles == ["ceiling", "student", "student", "supervisor"]
    names = plan(tracked, "night")["stages"]
    for key, run in stages.items():
        assert names[f"Finetune/{key}"].startswith(run["display_name"])
        assert run["config"]["update"]["is"] == "Finetune"


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
        replayed = [file for file in new if record(file, "run")["job_type"] != "summary"]
        assert len(replayed) == stages
        for file in replayed:
            [logged] = history(file)
            assert logged.keys() == {"_step", "train/loss", "validation/accuracy_own"}


def test_a_sweep_says_with_what_it_was_made_also_where_the_store_answers_it(
    tracked: Path, tmp_path: Path
):
    """Both runs of the fixture and the one here end with the same words."""
    night = tracked / "outputs" / "sweeps" / "night"
    first = (night / "config.yaml").read_text()
    (night / "config.yaml").unlink()
    said = w2sweep(tracked, *TRACKED, "task=pretend", "method=naive,scratch", "sweep=night").stderr
    assert "0 cells to run" in said
    assert (night / "config.yaml").read_text() == first
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
