"""The report in Weights & Biases, built by W&B's own library and not sent."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_sweep import TWO_RUNGS, fake_sweep

from w2sweep.interface import report_command
from w2sweep.interface.keeping import tracked_at
from w2sweep.report import report
from w2sweep.report.wandb_report import send, wandb_report
from w2sweep.values import ConfigError

TRACKED = "tracking: {project: study, entity: %s}\n"


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    made = fake_sweep(tmp_path / "night", tasks={"sentiment": "nlp"}, ladder=TWO_RUNGS, seeds=1)
    (made / "config.yaml").write_text(TRACKED % "team")
    return made


@pytest.fixture
def built(sweep: Path) -> Any:
    pytest.importorskip("wandb_workspaces", reason="its library for reports is not installed")
    report(sweep)
    return wandb_report(sweep, "study", "team")


def grids(built: Any) -> list[Any]:
    return [block for block in built.blocks if type(block).__name__ == "PanelGrid"]


def test_its_charts_show_the_cells_and_the_curves_of_the_sweep(built: Any):
    assert (built.project, built.entity, built.title) == ("study", "team", "w2sweep: night")
    scaling, curves, _, everywhere = grids(built)
    drawn = [(panel.x.name, panel.y.name, panel.log_x) for panel in scaling.panels]
    assert drawn == [
        ("parameters", "pgr", True),
        ("parameters", "student_accuracy", True),
        ("parameters", "agreement", True),
    ]
    metrics = [panel.y for panel in curves.panels]
    assert [y for [y] in metrics] == [
        "validation/accuracy_own",
        "validation/accuracy_truth",
        "train/loss",
    ]
    [cells], [models], [every] = scaling.runsets, curves.runsets, everywhere.runsets
    assert cells.filters == "JobType in ['cell'] and Group == 'night'"
    assert models.filters == "JobType in ['student', 'supervisor', 'ceiling'] and Group == 'night'"
    assert every.filters == "JobType in ['cell']"
    assert {run_set.project for run_set in (cells, models, every)} == {"study"}


def test_it_shows_the_figures_that_the_summary_run_has(built: Any, sweep: Path):
    [browser] = grids(built)[2].panels
    drawn = {f"figures/{figure.stem}" for figure in (sweep / "report").glob("*.png")}
    assert set(browser.media_keys) == drawn
    assert drawn


def test_all_of_it_becomes_what_is_sent(built: Any, monkeypatch: pytest.MonkeyPatch):
    """As the library would send it, but for the number of the project, which W&B gives."""
    interface = pytest.importorskip("wandb_workspaces.reports.v2.interface")

    def answer(api: object, query: str, names: dict[str, str]) -> dict[str, Any]:
        assert names == {"entityName": "team", "projectName": "study"}
        return {"project": {"internalId": "1"}}

    monkeypatch.setattr(interface, "_get_api", lambda: None)
    monkeypatch.setattr(interface, "execute_graphql", answer)
    blocks = json.loads(built._to_model().model_dump_json(by_alias=True))["spec"]["blocks"]
    scaling = next(block["metadata"] for block in blocks if "metadata" in block)
    [filtered] = scaling["runSets"]
    asked = [(f["key"]["name"], f["op"], f["value"]) for f in filtered["filters"]["filters"]]
    assert asked == [("jobType", "IN", ["cell"]), ("group", "=", "night")]
    first = scaling["panelBankSectionConfig"]["panels"][0]["config"]
    assert first["xAxis"] == "config:parameters.value"
    assert first["yAxis"] == "summary:pgr"
    assert first["xAxisLogScale"] is True


def test_where_the_runs_are_is_read_from_the_sweep(sweep: Path):
    assert tracked_at(sweep) == ("study", "team")
    (sweep / "config.yaml").write_text(TRACKED % "null")
    assert tracked_at(sweep) == ("study", None)
    for untracked in ("tracking: null\n", "tracking: {dir: outputs/csv}\n", "[", ""):
        (sweep / "config.yaml").write_text(untracked)
        with pytest.raises(ConfigError, match="the sweep was not tracked by W&B"):
            tracked_at(sweep)
    (sweep / "config.yaml").unlink()
    with pytest.raises(ConfigError, match="tracking=wandb, which trains nothing twice"):
        tracked_at(sweep)


def test_without_the_library_it_is_said_how_to_get_it(sweep: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", None)
    with pytest.raises(ConfigError, match=r"pip install 'w2sweep\[wandb\]'"):
        send(sweep, "study", "team")


def test_a_report_that_cannot_be_sent_costs_only_itself(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("wandb_workspaces", reason="its library for reports is not installed")

    def unreachable(**settings: Any) -> None:
        raise ConnectionError("no route to W&B\nand more")

    monkeypatch.setattr("wandb.Api", unreachable)
    with pytest.raises(SystemExit) as end:
        report_command.main([str(sweep), "--wandb-report"])
    assert end.value.code == 2
    said = capsys.readouterr()
    assert "W&B did not take the report (no route to W&B): it needs a network" in said.err
    assert (sweep / "report" / "index.html").exists()
