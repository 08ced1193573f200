"""Comparisons: what is written into a cell's folder, and when it need not be written again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pretend import Pretend, PretendCompletions
from safetensors.numpy import load_file, save_file
from toys import cell, place, rung, store

from w2sweep.experiment.backbone import Tokenizer
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.ladder import Ladder, Rung
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Bootstrap, Method
from w2sweep.experiment.setting import Setting
from w2sweep.results import cell as records
from w2sweep.sweep import comparison
from w2sweep.values import value

RUNGS: dict[str, Rung] = {"s": rung(8), "m": rung(64), "l": rung(160)}


@value
class BesideAnother(Method):
    """The naive student, compared with one rung smaller."""

    name: str = "beside another"
    loss: CrossEntropy = CrossEntropy()

    def student(self, s: Setting) -> Labels:
        return s.finetune(s.strong, labels=s.supervisor)

    def compared(self, s: Setting) -> dict[str, Labels]:
        return {"smaller": s.finetune("m", labels=s.supervisor)}


def pretending(**changes: object) -> Cell:
    """A cell whose stages pretend to train; its ceiling is far above its supervisor."""
    return cell(Pretend(), ladder=Ladder("toys", RUNGS, Tokenizer("word", 24)), **changes)


def test_a_cell_says_how_much_of_the_gap_is_recovered(tmp_path: Path):
    said = compared(pretending(), tmp_path)
    weak, student, ceiling = (said.accuracy(r) for r in ("supervisor", "student", "ceiling"))
    assert weak < student < ceiling
    assert said.pgr == pytest.approx((student - weak) / (ceiling - weak))


def test_a_cell_compares_what_its_method_names_too(tmp_path: Path):
    toy = pretending()
    said = compared(Cell(toy.setting, BesideAnother()), tmp_path)
    assert list(said.models) == ["supervisor", "student", "ceiling", "smaller"]
    assert said.models["smaller"].stage != said.models["student"].stage
    assert said.accuracy("smaller") == said.correct["smaller"].mean()


def test_a_cell_says_what_became_of_its_supervisors_errors(tmp_path: Path):
    said = compared(pretending(), tmp_path)
    weak, student, ceiling = (r.astype(bool) for r in said.paired)
    found = said.diagnostics
    assert found["errors_inherited"] == (~weak & ~student).mean()
    assert found["errors_corrected"] == (~weak & student).mean()
    assert found["errors_new"] == (weak & ~student).mean()
    assert found["errors_other"] == 0.0
    gained = said.accuracy("student") - said.accuracy("supervisor")
    assert found["accuracy_gained"] == pytest.approx(gained)
    assert found["ceiling_agreement"] == (weak == ceiling).mean()  # of two classes
    assert {"misfit", "capa", "blind_spots", "weak_ece", "student_brier"} <= found.keys()
    for role in records.ROLES:
        counts = [count for _, _, count in said.reliability[role]]
        assert sum(counts) == said.n_test


def test_completions_have_errors_but_no_probabilities(tmp_path: Path):
    said = compared(cell(PretendCompletions()), tmp_path)
    assert said.diagnostics["errors_inherited"] > 0
    assert "misfit" not in said.diagnostics
    assert said.reliability == {}


def test_a_cell_that_was_written_before_there_were_diagnostics_is_written_again(tmp_path: Path):
    toy, shelf, folder = pretending(), store(tmp_path / "store"), tmp_path / "cell"
    assert comparison.run(toy, place(), shelf, folder)
    said = records.read(folder)
    assert isinstance(said, records.Result)
    replace(said, diagnostics={}).write(folder)
    assert not comparison.current(toy, place(), shelf, folder)


def test_a_cell_that_fails_says_why(tmp_path: Path):
    toy = cell(Pretend(failing="student"))
    assert not comparison.run(toy, place(), store(tmp_path / "store"), tmp_path / "cell")
    failed = records.read(tmp_path / "cell")
    assert isinstance(failed, records.Failed)
    assert failed.error == "ValueError"
    assert failed.reason.endswith("students fail here")


def test_a_cell_is_written_once(tmp_path: Path):
    toy, shelf, folder = pretending(), store(tmp_path / "store"), tmp_path / "cell"
    assert not comparison.current(toy, place(), shelf, folder)
    assert comparison.run(toy, place(), shelf, folder)
    assert comparison.current(toy, place(), shelf, folder)

    bootstrapped = Cell(toy.setting, Bootstrap("bootstrap", CrossEntropy()))
    elsewhere = place(variant={"recipe.epochs": "3"})
    assert not comparison.current(bootstrapped, place(), shelf, folder)
    assert not comparison.current(toy, elsewhere, shelf, folder)
    assert not comparison.current(toy, place(), store(tmp_path / "another"), folder)


DAMAGES = ["version", "no JSON", "half a record", "no answers", "null", "a list", "edited"]


@pytest.mark.parametrize("damage", [*DAMAGES, "other answers", "no checksum"])
def test_a_cell_that_is_old_or_damaged_is_written_again(tmp_path: Path, damage: str):
    toy, shelf, folder = pretending(), store(tmp_path / "store"), tmp_path / "cell"
    comparison.run(toy, place(), shelf, folder)
    record = folder / "cell.json"
    said = json.loads(record.read_text())
    if damage == "version":
        record.write_text(json.dumps({**said, "w2sweep": "0.0.1"}))
    elif damage == "no JSON":
        record.write_text("{")
    elif damage == "half a record":
        record.write_text(json.dumps({"models": said["models"]}))
    elif damage in ("null", "a list"):
        record.write_text("null" if damage == "null" else "[]")
    elif damage == "edited":
        said["models"]["student"]["accuracy"] += 0.01
        record.write_text(json.dumps(said))
    elif damage == "no checksum":
        record.write_text(json.dumps({k: v for k, v in said.items() if k != records.SEAL}))
    elif damage == "other answers":
        answers = load_file(folder / "correct.safetensors")
        answers["student"] ^= 1
        save_file(answers, folder / "correct.safetensors")
    else:
        (folder / "correct.safetensors").unlink()
    assert not comparison.current(toy, place(), shelf, folder)
    assert comparison.answer(toy, place(), shelf, folder)
    assert comparison.current(toy, place(), shelf, folder)


def test_a_cell_is_answered_where_only_an_input_is_gone(tmp_path: Path):
    toy, shelf, folder = pretending(), store(tmp_path / "store"), tmp_path / "cell"
    assert comparison.run(toy, place(), shelf, folder)
    shutil.rmtree(shelf.path(toy.setting.splits))
    assert not comparison.answer(toy, place(), shelf, folder)
    assert comparison.run(toy, place(), shelf, folder)


def test_a_cell_whose_stages_are_damaged_is_computed_again_and_not_answered(tmp_path: Path):
    toy, shelf, folder = pretending(), store(tmp_path / "store"), tmp_path / "cell"
    assert comparison.run(toy, place(), shelf, folder)
    before = records.read(folder)
    answers = shelf.path(toy.compared["student"]) / "predictions.safetensors"
    shutil.copy(shelf.path(toy.compared["ceiling"]) / answers.name, answers)
    assert not comparison.answer(toy, place(), store(tmp_path / "store"), folder)
    lines = shelf.path(toy.setting.splits) / "test.jsonl"
    lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:-10]))
    assert comparison.run(toy, place(), store(tmp_path / "store"), folder)
    after = records.read(folder)
    assert isinstance(before, records.Result)
    assert isinstance(after, records.Result)
    assert after.models == before.models
    assert shelf.done(toy.compared["student"])


def compared(toy: Cell, folder: Path) -> records.Result:
    """Runs the cell, and reads what it wrote."""
    assert comparison.run(toy, place(), store(folder / "store"), folder / "cell")
    found = records.read(folder / "cell")
    assert isinstance(found, records.Result)
    return found


def test_a_cell_says_what_chance_is_and_who_has_one_answer_only(tmp_path: Path, monkeypatch):
    said = compared(pretending(), tmp_path / "first")
    assert said.chance == 0.5
    assert {model.only for model in said.models.values()} == {None}

    completed = compared(cell(PretendCompletions()), tmp_path / "completed")
    assert completed.chance is None

    always = np.tile(np.array([0.4, 0.6], np.float32), (100, 1))
    monkeypatch.setattr("pretend.pretended", lambda its, *_: always[: len(its)])
    stuck = compared(pretending(), tmp_path / "second")
    assert {model.only for model in stuck.models.values()} == {"1"}
