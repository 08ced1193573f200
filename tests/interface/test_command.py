"""The command, from the outside: what it prints, what it writes, how it exits."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from commands import (
    START,
    accuracies,
    cells,
    complaint,
    environment,
    executed,
    identity,
    journal,
    plan,
    read,
    stages,
    w2sweep,
)
from safetensors.numpy import load_file

from w2sweep.interface import command

ROLES = ("supervisor", "student", "ceiling")
CONFIDENT = ("task=pretend", "strong=base", "method=confidence", "loss.alpha_max=0.75")
"""A cell whose ceiling is far above its supervisor."""


def test_a_gpu_that_is_not_there_is_told_before_anything_runs(folder, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    for bf16 in ("auto", "yes"):
        asked = ["task=pretend", "runtime.accelerator=gpu", f"runtime.bf16={bf16}"]
        code, line = complaint(monkeypatch, capsys, *asked, "sweep=gpu")
        assert code == 2
        assert line.startswith("w2sweep: runtime.accelerator=gpu, but torch ")
        assert line.count("\n") == 1
        assert not (folder / "outputs/store/executed").exists()
        assert cells(folder, "gpu", "failure.json") == []


def test_a_cell_says_how_its_three_models_compare(folder):
    said = w2sweep(folder, *CONFIDENT, "sweep=one")
    [path] = folder.glob("outputs/sweeps/one/*/cell.json")
    assert path.parent.name == "loss.alpha_max=0.75,method=confidence,strong=base,task=pretend"

    cell, correct = read(path), load_file(path.with_name("correct.safetensors"))
    assert {role: (of.dtype, of.shape) for role, of in correct.items()} == dict.fromkeys(
        ROLES, (np.uint8, (100,))
    )
    assert accuracies(cell) == {role: float(correct[role].mean()) for role in ROLES}
    weak, student, ceiling = (accuracies(cell)[role] for role in ROLES)
    assert weak < ceiling
    assert cell["pgr"] == pytest.approx((student - weak) / (ceiling - weak))
    assert cell["agreement"] == np.mean(correct["supervisor"] == correct["student"])  # 2 classes
    assert "pretend, base <- nano, confidence: " in said.stdout
    assert f"weak {weak:.3f}, student {student:.3f}, ceiling {ceiling:.3f}, PGR " in said.stdout
    assert "] (test examples only) -> " in said.stdout


def test_a_cell_says_where_it_lies_and_what_it_is_from(folder):
    w2sweep(folder, *CONFIDENT, "sweep=one")
    [cell] = cells(folder, "one")
    place = {
        "task": "pretend",
        "family": "nlp",
        "ladder": "lab",
        "weak": "nano",
        "strong": "base",
        "method": "confidence",
        "seed": 0,
        "variant": {"loss.alpha_max": "0.75"},
    }
    assert {key: cell[key] for key in place} == place
    rungs = ["nano", "micro", "tiny", "mini", "small", "medium", "base"]
    assert list(cell["rungs"]) == rungs
    sizes = [cell["rungs"][rung]["size"] for rung in rungs]
    assert sizes == sorted(sizes)
    made = {role: identity(folder, stage) for role, stage in stages(cell).items()}
    assert {role: stage["on"] for role, stage in made.items()} == {
        "supervisor": "supervisor",
        "student": "student",
        "ceiling": "student",
    }
    assert made["student"]["labels"] == {"stage": stages(cell)["supervisor"]}
    assert made["student"]["loss"]["alpha_max"] == 0.75


def test_a_ceiling_may_be_trained_on_the_supervisors_half(folder):
    w2sweep(folder, "task=pretend", "ceiling_on=student,supervisor", "sweep=halves")
    by_half = {cell["variant"]["ceiling_on"]: cell for cell in cells(folder, "halves")}
    ceilings = {half: stages(cell)["ceiling"] for half, cell in by_half.items()}
    ons = {half: identity(folder, stage)["on"] for half, stage in ceilings.items()}
    assert ons == {"student": "student", "supervisor": "supervisor"}
    others = {half: {**stages(cell), "ceiling": ""} for half, cell in by_half.items()}
    assert others["student"] == others["supervisor"]


def test_a_sweep_computes_no_stage_twice_and_a_second_one_nothing(folder):
    pairs = ["weak=nano,micro", "strong=micro,mini"]
    grid = ["task=pretend", *pairs, "method=naive,bootstrap", "seed=0,1", "sweep=grid"]
    first = w2sweep(folder, *grid)
    planned = plan(folder, "grid")
    assert "4 cells skipped: weak is not below strong" in first.stderr
    assert len(planned["cells"]) == len(cells(folder, "grid")) == 16
    assert len(executed(folder)) == len(set(executed(folder)))
    finetuned = {stage for stage in planned["stages"] if stage.startswith("Finetune/")}
    assert {f"Finetune/{key}" for key in executed(folder)} == finetuned
    assert (folder / "outputs/sweeps/grid/report/index.html").exists()

    before = executed(folder)
    second = w2sweep(folder, *grid, anew=True)  # with another seed of hashes, and so order of sets
    assert "0 cells to run, 12 answered" in second.stderr
    assert executed(folder) == before
    assert second.stdout == first.stdout


@pytest.mark.parametrize("launcher", ["stages_local", "submitit_local"])
def test_the_workers_of_a_launcher_share_the_work_of_a_sweep(folder, launcher):
    options = {
        "stages_local": ["hydra.launcher.n_jobs=2", "hydra.launcher.preload=[]"],
        "submitit_local": ["hydra.launcher.timeout_min=2"],
    }
    methods = "method=naive,bootstrap"
    w2sweep(
        folder,
        "task=pretend",
        "strong=mini,small",
        methods,
        "sweep=shared",
        f"hydra/launcher={launcher}",
        *options[launcher],
    )
    assert len(cells(folder, "shared")) == 4
    assert len(executed(folder)) == len(set(executed(folder)))


def test_cells_that_share_no_work_start_first(folder):
    grid = ["seed=0,1", "strong=mini,small", "method=naive,bootstrap_all", "task=pretend"]
    w2sweep(folder, *grid, "sweep=order")
    first = [(c["seed"], c["strong"], c["method"]) for c in cells(folder, "order")[:2]]
    assert first == [(0, "small", "bootstrap_all"), (1, "small", "bootstrap_all")]


def test_force_runs_again_what_is_there_once(folder):
    cell = ["task=pretend", "seed=0,1", "sweep=force"]
    w2sweep(folder, *cell)
    before = executed(folder)
    said = w2sweep(folder, *cell, "cache=force").stderr
    assert "2 cells to run, 0 answered" in said
    assert sorted(executed(folder)) == sorted(2 * before)
    assert len(cells(folder, "force")) == 2


def test_what_was_damaged_since_is_written_or_computed_again(folder):
    grid = ["task=pretend", "seed=0,1", "sweep=damaged"]
    w2sweep(folder, *grid)
    before = [accuracies(cell) for cell in cells(folder, "damaged")]
    student = stages(cells(folder, "damaged")[0])["student"]
    splits = identity(folder, student)["splits"]["stage"]
    lines = folder / "outputs/store" / splits / "test.jsonl"
    lines.write_text("".join(lines.read_text().splitlines(keepends=True)[10:]))
    for i, record in enumerate(folder.glob("outputs/sweeps/damaged/*/cell.json")):
        edited = record.read_text().replace('"accuracy": 0.', '"accuracy": 0.1')
        record.write_text(edited if i else "null")
    said = w2sweep(folder, *grid).stderr
    assert "is damaged: test.jsonl has " in said
    assert "Traceback" not in said
    after = [accuracies(cell) for cell in cells(folder, "damaged")]
    assert sorted(after, key=str) == sorted(before, key=str)
    assert journal(folder, "damaged") == ["splits of pretend"]


def test_cached_takes_a_failure_for_a_result_and_retry_does_not(folder):
    cell = ["task=pretend", "task.failing=student", "sweep=failing"]
    for arguments, attempts in (([], 1), (["cache=cached"], 1), (["cache=retry"], 2)):
        w2sweep(folder, *cell, *arguments, code=1)
        assert len(journal(folder, "failed")) == attempts
        [failure] = cells(folder, "failing", "failure.json")
        assert failure["reason"].startswith("student small <- nano, pretend ")
        assert failure["reason"].endswith(": students fail here")


def test_read_only_answers_what_is_there_and_computes_nothing(folder):
    refused = w2sweep(folder, "task=pretend", "sweep=before", "cache=read-only", code=1)
    assert "outputs/store is read-only and lacks 7 results" in refused.stderr
    assert not (folder / "outputs/store").exists()

    w2sweep(folder, "task=pretend", "sweep=between")
    kept = sorted(folder.glob("outputs/store/**/*"))
    answered = w2sweep(folder, "task=pretend", "sweep=after", "cache=read-only")
    assert "0 cells to run, 1 answered" in answered.stderr
    [after], [between] = cells(folder, "after"), cells(folder, "between")
    assert stages(after) == stages(between)
    assert sorted(folder.glob("outputs/store/**/*")) == kept


def test_the_precision_is_settled_once_a_sweep(folder):
    """The planning process decides, its workers do as `sweep.json` says, and so do reruns."""
    grid = ["task=pretend", "seed=0,1", "sweep=precise"]
    grid += ["hydra/launcher=stages_local", "hydra.launcher.preload=[]"]
    gains = "from w2sweep.sweep import sweep; sweep.gains_from_bf16 = lambda device: {}; "
    w2sweep(folder, *grid, python=gains.format(True) + START)
    assert plan(folder, "precise")["bf16"] == "yes"
    assert bf16_of_stages(folder) == {True}

    w2sweep(folder, *grid[:1], "seed=0,1,2", *grid[2:], python=gains.format(False) + START)
    assert plan(folder, "precise")["bf16"] == "yes"
    assert bf16_of_stages(folder) == {True}

    w2sweep(folder, "task=pretend", "seed=3", "sweep=told", "runtime.bf16=no")
    assert plan(folder, "told")["bf16"] == "no"
    assert bf16_of_stages(folder) == {True, False}


def bf16_of_stages(folder) -> set[bool]:
    """What the finetuned stages of the store were told (see `pretend.finetune`)."""
    records = folder.glob("outputs/store/Finetune/*/stage.json")
    return {read(record)["computed"]["bf16"] for record in records}


def test_a_failing_cell_stops_no_other_and_is_told(folder):
    grid = ["task=pretend", 'task.failing="",student', "seed=0,1", "sweep=failing"]
    said = w2sweep(folder, *grid, code=1)
    assert "2 cells failed" in said.stderr
    failures = cells(folder, "failing", "failure.json")
    assert (len(cells(folder, "failing")), len(failures)) == (2, 2)
    failure = failures[0]
    assert failure["error"] == "ValueError"
    assert failure["reason"].endswith("students fail here")
    assert "Traceback" in failure["traceback"]
    assert failure["variant"] == {"task.failing": "student"}
    assert failure["reason"] in said.stdout + said.stderr


def test_what_is_in_the_store_is_answered_without_torch(folder):
    w2sweep(folder, "task=pretend", "seed=0,1", "sweep=first")
    probe = (
        "import sys; from w2sweep.interface.command import main; main();"
        "heavy = {'torch', 'transformers', 'wandb', 'datasets', 'joblib'};"
        "sys.exit(not heavy.isdisjoint(sys.modules))"
    )
    w2sweep(folder, "task=pretend", "seed=0,1", "sweep=second", python=probe, anew=True)
    assert len(cells(folder, "second")) == 2


def test_completions_are_marked_by_their_task_and_impossible_cells_can_be_left_out(folder):
    grid = ["task=pretend_completions", "method=naive,confidence", "impossible=skip"]
    w2sweep(folder, *grid, "sweep=completions")
    by_method = {cell["method"]: cell for cell in cells(folder, "completions")}
    naive, skipped = by_method["naive"], by_method["confidence"]
    marks = naive["marks"]
    assert 0 < marks["legality"] < 1  # "maybe" is no answer
    assert 0 < marks["weak_labels_legality"] < 1
    assert marks["weak_labels_legality"] != marks["legality"]
    assert naive["family"] == "chess"
    assert "needs two classes" in skipped["skipped"]


def test_supervision_may_be_simulated_for_any_method_without_a_supervisor(folder):
    kinds = ["supervision.errors=random,rule", "supervision.cue=iiii", "supervision.rate=0.3"]
    methods = "method=naive,naive_hard,bootstrap,scratch,confidence,confidence_75"
    simulated = ["task=pretend", "supervision=simulated", *kinds]
    said = w2sweep(folder, *simulated, methods, "strong=mini", "sweep=simulated")
    found = cells(folder, "simulated")
    assert {accuracies(cell)["supervisor"] for cell in found} == {0.7}  # exactly
    supervisors = {stages(cell)["supervisor"] for cell in found}
    assert len(supervisors) == 2
    assert all(stage.startswith("Erring/") for stage in supervisors)
    same = {"supervision": "simulated", "supervision.cue": "iiii", "supervision.rate": "0.3"}
    for cell in found:
        assert cell["variant"].pop("supervision.errors") in ("random", "rule")
        assert cell["variant"] == same
    names = plan(folder, "simulated")["stages"].values()
    assert "supervisor truth with rule errors (0.3), pretend" in names
    assert not any(what.startswith("supervisor 1x") for what in names)
    assert "Error" not in said.stderr
    assert (folder / "outputs/sweeps/simulated/report/knob.png").exists()


def test_a_supervisor_may_be_noisy(folder):
    w2sweep(folder, "task=pretend", "supervision.noise=0.0,0.5", "sweep=noisy")
    by_noise = {cell["variant"]["supervision.noise"]: cell for cell in cells(folder, "noisy")}
    clean, noisy = by_noise["0.0"], by_noise["0.5"]
    assert accuracies(noisy)["supervisor"] < accuracies(clean)["supervisor"]
    assert stages(clean)["supervisor"].startswith("Finetune/")
    assert stages(clean)["ceiling"] == stages(noisy)["ceiling"]


def test_an_impossible_rate_of_errors_fails_in_one_line(folder):
    impossible = ["supervision=simulated", "supervision.errors=rule", "supervision.rate=0.9"]
    said = w2sweep(folder, "task=pretend", *impossible, code=1).stderr
    assert "errors=rule can make 0 of the " in said
    assert "lower supervision.rate, or another cue" in said


def test_help_names_the_groups_and_their_choices(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["w2sweep", "--help"])
    with pytest.raises(SystemExit) as exit:
        command.main()
    said = capsys.readouterr().out
    assert exit.value.code == 0
    [methods] = [line for line in said.splitlines() if line.lstrip().startswith("method: ")]
    assert {"bootstrap", "confidence", "naive", "zero_shot"} <= set(re.findall(r"\w+", methods))
    assert "pretend, pretend_completions" in said  # of the current folder


def test_a_reader_who_has_seen_enough_is_no_error(folder):
    call = [sys.executable, "-m", "w2sweep", "--help"]
    pipe = subprocess.PIPE
    with subprocess.Popen(call, cwd=folder, env=environment(), stdout=pipe, stderr=pipe) as said:
        assert said.stdout is not None
        assert said.stderr is not None
        said.stdout.close()  # as `| head` does
        assert said.stderr.read() == b""
    assert said.returncode == 128 + signal.SIGPIPE
