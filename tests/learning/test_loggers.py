"""Runs as files of Lightning's loggers, read back: CSV by Python's own reader, TensorBoard's by
TensorBoard's."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from w2sweep.engine import tracker
from w2sweep.learning import loggers
from w2sweep.learning.loggers import CsvFiles, TensorBoardFiles
from w2sweep.values import ConfigError

STUDENT: dict[str, Any] = {
    "id": "0123456789abcdef",
    "name": "sentiment / student / naive / nano -> small / seed 0",
    "group": "night",
    "job_type": "student",
    "tags": ["sentiment", "naive"],
    "config": {"weak": "nano", "seed": 0, "lr": 1e-3, "identity": {"is": "Finetune"}},
}
CELL: dict[str, Any] = {**STUDENT, "id": "cell-1", "name": "a cell", "job_type": "cell"}
ROWS: tuple[dict[str, float], ...] = (
    {"train/loss": 0.75, "train/lr": 0.5},
    {"train/loss": 0.25, "validation/accuracy_own": 0.5},
)
FOLDER = "night/sentiment, student, naive, nano to small, seed 0, 9f9f51"


def lines(file: Path) -> list[dict[str, float]]:
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    return [{k: float(v) for k, v in row.items() if v} for row in rows]


def test_csv_files_hold_the_rows_and_what_the_run_can_be_found_by(tmp_path: Path):
    with CsvFiles(str(tmp_path)).run(**STUDENT) as run:
        for step, row in enumerate(ROWS):
            run.log(row, step=10 * step)
            written = lines(tmp_path / FOLDER / "version_0" / "metrics.csv")
            assert written[-1] == {"step": 10 * step, **row}  # at once, whatever comes
    assert written == [{"step": 10 * i, **row} for i, row in enumerate(ROWS)]
    found = yaml.safe_load((tmp_path / FOLDER / "version_0" / "hparams.yaml").read_text())
    told = {key: STUDENT[key] for key in ("id", "name", "job_type")}
    assert found == {**told, "tags": "sentiment, naive", "weak": "nano", "seed": 0, "lr": 1e-3}


def test_a_resumed_stage_loses_no_rows(tmp_path: Path):
    for step in (100, 140):
        with CsvFiles(str(tmp_path)).run(**STUDENT) as run:
            run.log({"train/loss": 1.0}, step=step)
    files = sorted((tmp_path / FOLDER).glob("version_*/metrics.csv"))
    assert [line["step"] for file in files for line in lines(file)] == [100, 140]


def test_a_cell_is_a_row_of_numbers(tmp_path: Path):
    with CsvFiles(str(tmp_path)).run(**CELL) as run:
        run.summarize({"pgr": 0.5, "agreement": None, "pgr_undefined": "a reason"})
    [file] = tmp_path.glob("night/a cell, */version_0/metrics.csv")
    assert lines(file) == [{"step": 0.0, "pgr": 0.5}]


def test_runs_of_one_name_have_two_folders(tmp_path: Path):
    for id in ("a", "b"):
        with CsvFiles(str(tmp_path)).run(**{**STUDENT, "id": id}):
            pass
    assert len(list((tmp_path / "night").iterdir())) == 2


def test_what_cannot_be_written_is_said_and_left(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    tracker.warn.cache_clear()
    (tmp_path / "file").touch()
    with CsvFiles(str(tmp_path / "file")).run(**STUDENT) as run:
        run.log({"train/loss": 1.0}, step=0)
    [said] = caplog.messages
    assert said.startswith("CsvFiles cannot be used (")


def test_names_are_names_of_folders():
    assert loggers._safe("../x/y: z") == "_x_y_ z"
    assert loggers._safe("..") == "_"


def test_without_tensorboard_nothing_is_begun(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'w2sweep\[tensorboard\]'"):
        TensorBoardFiles().check()


# --- by TensorBoard itself -----------------------------------------------------------------------


def events(folder: Path) -> Any:
    reading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="TensorBoard is not installed",
    )
    found = reading.EventAccumulator(str(folder))
    found.Reload()
    return found


def test_tensorboard_reads_the_same_rows(tmp_path: Path):
    pytest.importorskip("tensorboard")
    with TensorBoardFiles(str(tmp_path)).run(**STUDENT) as run:
        run.log(ROWS[0], step=0)
    with TensorBoardFiles(str(tmp_path)).run(**STUDENT) as run:  # a resumed stage
        run.log(ROWS[1], step=10)
    found = events(tmp_path / FOLDER)
    curves = {
        tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]
    }
    assert curves == {
        "train/loss": [(0, 0.75), (10, 0.25)],
        "train/lr": [(0, 0.5)],
        "validation/accuracy_own": [(10, 0.5)],
    }
    written = yaml.safe_load((tmp_path / FOLDER / "hparams.yaml").read_text())
    assert written["weak"] == "nano"


def test_tensorboard_has_cells_with_what_they_came_to(tmp_path: Path):
    pytest.importorskip("tensorboard")
    from PIL import Image

    Image.new("RGB", (4, 3), (255, 0, 0)).save(tmp_path / "pgr.png")
    with TensorBoardFiles(str(tmp_path)).run(**CELL) as run:
        run.summarize({"pgr": 0.5, "student_accuracy": 0.75, "pgr_undefined": "a reason"})
        run.show([{"task": "a"}], [tmp_path / "pgr.png"], None)
    [folder] = (tmp_path / "night").iterdir()
    found = events(folder)
    assert {tag: found.Scalars(tag)[0].value for tag in found.Tags()["scalars"]} == {
        "pgr": 0.5,
        "student_accuracy": 0.75,
    }
    plugin_data_pb2 = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")

    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    data = plugin_data_pb2.HParamsPluginData.FromString(content)
    told = data.session_start_info.hparams
    assert told["weak"].string_value == "nano"
    assert told["seed"].number_value == 0
    [image] = found.Images("figures/pgr")
    assert (image.width, image.height) == (4, 3)
    assert image.encoded_image_string == (tmp_path / "pgr.png").read_bytes()
