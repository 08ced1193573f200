"""The command, from the outside: what it prints, what it writes, how it exits."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from safetensors.numpy import load_file

from w2sweep.interface import command
from w2sweep.sweep.plan import by_new_work, folder_name

PRETEND = """# @package _global_
task: {_target_: pretend.%s, failing: "", deadly: "", lasting: ""}
sizes: {supervisor: 100, student: 100, validation: 20, test: 100}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with tasks of its own; what Hydra does to logging is undone."""
    (tmp_path / "conf" / "task").mkdir(parents=True)
    (tmp_path / "conf" / "task" / "pretend.yaml").write_text(PRETEND % "Pretend")
    (tmp_path / "conf" / "task" / "pretend_completions.yaml").write_text(
        PRETEND % "PretendCompletions"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    handlers, level = logging.root.handlers[:], logging.root.level
    yield tmp_path
    logging.root.handlers[:], logging.root.level = handlers, level


def complaint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str]:
    """Exit code and stderr of a command that runs nothing, in this process."""
    monkeypatch.setattr(sys, "argv", ["w2sweep", *arguments])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert isinstance(exit.value.code, int)
    return exit.value.code, capsys.readouterr().err


def command(
    folder: Path, *arguments: str, code: int = 0, python: str = ""
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with stages that only pretend to train."""
    path = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY / "tests")])
    call = ["-c", python] if python else ["-m", "w2sweep"]
    done = subprocess.run(
        [sys.executable, *call, "tracking=none", *arguments], cwd=folder, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done


def read(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def executed(folder: Path) -> list[str]:
    return (folder / "outputs" / "store" / "executed").read_text().split()


WRONG = {
    "unknown key": (["recipe.epoch=3"], "recipe.epoch: unknown key; recipe has epochs, "),
    "near miss of a key": (["recipe.epoch=3"], "Did you mean recipe.epochs?"),
    "near miss at the root": (["sed=3"], "Did you mean seed?"),
    "added key": (["+recipe.batchsize=3"], "Did you mean recipe.batch_size?"),
    "wrong type": (["recipe.epochs=three"], "recipe.epochs: found 'three' (str), expected a valid integer"),
    "no integer": (["seed=1.5"], "w2sweep: seed: found 1.5 (float), expected a valid integer"),
    "impossible value": (["sizes.test=0"], "sizes.test: found 0 (int), expected greater than 0"),
    "negative seed": (["seed=-1"], "seed: found -1 (int), expected greater than or equal to 0"),
    "no rate": (["ladder.rungs.nano.lr=-1"], "ladder.rungs.nano.lr: found -1 (int), expected greater than 0"),
    "no finite number": (["recipe.lr_scale=inf"], "recipe.lr_scale: found inf (float), expected a finite number"),
    "a part of a value": (["recipe.betas=[2,3]"], "recipe.betas.0: found 2 (int), expected less than 1"),
    "no place for results": (["store=conf/task/pretend.yaml"], "cannot write to "),
    "nested value": (["ladder.rungs.nano.width=13"], "ladder.rungs.nano: width 13 over "),
    "no such choice": (["cache=fast"], "cache: found 'fast' (str), expected 'retry', 'cached', 'force' or 'read-only'"),
    "unknown task": (["task=sentimnet"], "no task 'sentimnet'; there is "),
    "near miss of a task": (["task=sentimnet"], "Did you mean task=sentiment?"),
    "unknown launcher": (["hydra/launcher=jobli"], "Did you mean hydra/launcher=joblib?"),
    "unknown rung": (
        ["strong=smal"],
        "strong: no rung 'smal' on ladder 'lab'; it has nano, micro, tiny, mini, small, medium, base. "
        "Did you mean strong=small?",
    ),
    "rungs of another ladder": (["ladder=gpt2"], "weak: no rung 'nano' on ladder 'gpt2'; it has gpt2, gpt2-medium"),
    "unknown sweep": (["-cn", "quickstar"], "no sweep 'quickstar'; there is "),
    "near miss of a sweep": (["-cn", "quickstar"], "Did you mean -cn quickstart?"),
    "no value": (["seed"], "cannot read 'seed': expected key=value"),
    "unbalanced value": (["seed=[1"], "cannot read 'seed=[1': expected key=value"),
    "nothing": (["weak=null"], "weak: found None (NoneType), expected a valid string"),
    "no group": (["task=null"], "Config group override must be a string or a list"),
    "unknown class": (["loss._target_=w2sweep.losses.No"], "loss._target_: cannot import 'w2sweep.losses.No'"),
    "no class": (["loss._target_=w2sweep.losses.value"], "'w2sweep.losses.value' is a function, expected a class"),
    "another class": (["loss._target_=w2sweep.tuning.Full", "~loss.hard"], "expected an instance of Loss"),
    "to be given": (["task=csv"], "task.path: missing; set task.path=..."),
    "missing": (["~sizes.test"], "sizes.test: missing; sizes needs it, so set sizes.test=..."),
    "one cell of many": (["seed=0,1", "recipe.epochs=3,x"], "cell recipe.epochs=x,seed=0: recipe.epochs: found 'x'"),
    "impossible cell": (["task=mate_in_one", "method=confidence"], "ConfidenceLoss needs two classes, but "),
    "what to do": (["task=mate_in_one", "method=confidence"], "impossible=skip leaves such cells out"),
    "no regular expression": (
        ["supervision=simulated", "supervision.cue='(it'"],
        "supervision: cue: found '(it', expected a regular expression (missing ), unterminated subpattern",
    ),
    "a rule without a cue": (
        ["supervision=simulated", "supervision.errors=rule", "supervision.cue=null"],
        "supervision: errors=rule needs a cue, such as cue='^it is'",
    ),
    "no share": (["supervision.noise=1.5"], "supervision.noise: found 1.5 (float), expected less than or equal to 1"),
    "errors without classes": (
        ["supervision=simulated", "task=mate_in_one"],
        "simulated supervision errs by saying the other of two classes, but task mate_in_one has completions",
    ),
    "noise without classes": (["supervision.noise=0.1", "task=mate_in_one"], "noise errs by saying the other of two "),
    "loss of another method": (["loss.alpha_max=0.5"], "loss.alpha_max: unknown key; loss has hard"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_configuration_is_one_line_and_code_2_before_anything_runs(
    case, folder, monkeypatch, capsys
):
    arguments, expected = WRONG[case]
    code, line = complaint(monkeypatch, capsys, *arguments)
    assert code == 2
    assert line.startswith("w2sweep: ")
    assert expected in line
    assert line.count("\n") == 1
    assert not (folder / "outputs").exists()


def test_a_cell_says_how_its_three_models_compare(folder):
    said = command(
        folder, "task=pretend", "sweep=one", "method=confidence", "loss.alpha_max=0.75"
    ).stdout
    (path,) = folder.glob("outputs/sweeps/one/*/cell.json")
    assert path.parent.name == "loss.alpha_max=0.75,method=confidence,task=pretend"
    cell = read(path)
    correct = load_file(path.with_name("correct.safetensors"))
    assert {k: (v.dtype, v.shape) for k, v in correct.items()} == dict.fromkeys(
        ("weak", "student", "ceiling"), (np.uint8, (100,))
    )
    weak, student, ceiling = (float(correct[k].mean()) for k in ("weak", "student", "ceiling"))
    assert [cell[f"{k}_accuracy"] for k in ("weak", "student", "ceiling")] == [
        weak,
        student,
        ceiling,
    ]
    assert cell["pgr"] == pytest.approx((student - weak) / (ceiling - weak))
    assert cell["agreement"] == np.mean(correct["weak"] == correct["student"])  # two classes
    assert {k: cell[k] for k in ("task", "family", "ladder", "weak", "strong", "method", "seed", "variant")} == {
        "task": "pretend", "family": "nlp", "ladder": "lab", "weak": "nano", "strong": "small", "method": "confidence",
        "seed": 0, "variant": "loss.alpha_max=0.75",
    }  # fmt: skip
    assert list(cell["rungs"]) == ["nano", "micro", "tiny", "mini", "small", "medium", "base"]
    assert cell["rungs"]["nano"] == {"size": cell["weak_size"], "compute": cell["weak_compute"]}
    assert (folder / "outputs/store" / cell["stages"]["student"]).is_dir()
    assert "pretend, small <- nano, confidence: weak 0." in said


def test_a_sweep_computes_no_stage_twice_and_a_second_one_nothing(folder):
    grid = [
        "task=pretend",
        "weak=nano,micro",
        "strong=micro,mini",
        "method=naive,bootstrap",
        "seed=0,1",
        "sweep=grid",
    ]
    first = command(folder, *grid)
    plan = read(folder / "outputs/sweeps/grid/sweep.json")
    assert "4 cells skipped: weak is not below strong" in first.stderr
    assert len(plan["cells"]) == 16
    assert all(
        (folder / "outputs/sweeps/grid" / cell["dir"] / "cell.json").exists()
        for cell in plan["cells"]
    )
    assert len(executed(folder)) == len(set(executed(folder)))
    assert {f"Finetune/{key}" for key in executed(folder)} == {
        s for s in plan["stages"] if s.startswith("Finetune/")
    }
    assert (folder / "outputs/sweeps/grid/report/index.html").exists()
    before = executed(folder)
    second = command(folder, *grid)
    assert "0 cells to run, 12 answered" in second.stderr
    assert executed(folder) == before
    assert second.stdout == first.stdout


def test_two_workers_share_the_work_of_a_sweep(folder):
    grid = [
        "task=pretend",
        "weak=nano",
        "strong=mini,small",
        "method=naive,bootstrap",
        "seed=0,1",
        "sweep=shared",
    ]
    command(folder, *grid, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert len(executed(folder)) == len(set(executed(folder)))
    assert len(list(folder.glob("outputs/sweeps/shared/*/cell.json"))) == 8


def test_cells_that_share_no_work_start_first(folder):
    grid = [
        "seed=0,1",
        "strong=mini,small",
        "method=naive,bootstrap",
        "task=pretend",
        "weak=nano",
        "sweep=order",
    ]
    command(folder, *grid)
    cells = sorted(
        folder.glob("outputs/sweeps/order/*/cell.json"), key=lambda cell: cell.stat().st_mtime_ns
    )
    first = [(c["seed"], c["strong"], c["method"]) for c in map(read, cells[:2])]
    assert first == [(0, "small", "bootstrap"), (1, "small", "bootstrap")]


def test_a_cell_is_the_sooner_the_more_is_new_in_it():
    assert by_new_work([{"a"}, {"a", "b", "c"}, {"b", "c", "d"}, set(), {"e", "f"}]) == [
        1,
        4,
        2,
        0,
        3,
    ]


def test_a_failing_cell_stops_no_other_and_is_told(folder):
    grid = ["task=pretend", 'task.failing="",student', "seed=0,1", "sweep=failing"]
    said = command(folder, *grid, code=1)
    assert "2 cells failed" in said.stderr
    cells = sorted(folder.glob("outputs/sweeps/failing/*/cell.json"))
    failures = sorted(folder.glob("outputs/sweeps/failing/*/failure.json"))
    assert (len(cells), len(failures)) == (2, 2)
    failure = read(failures[0])
    assert failure["error"] == "ValueError"
    assert failure["reason"].endswith("students fail here")
    assert "Traceback" in failure["traceback"]
    assert failure["variant"] == "task.failing=student"
    assert failure["reason"] in said.stdout + said.stderr


def test_a_killed_worker_ends_the_sweep_in_words_and_a_rerun_finishes_it(folder):
    grid = [
        "task=pretend",
        "task.deadly=student",
        "seed=0,1,2",
        "sweep=deadly",
        "hydra/launcher=joblib",
    ]
    said = command(folder, *grid, code=1).stderr
    assert "a worker died (TerminatedWorkerError" in said
    assert "run the same command again" in said
    command(folder, *grid)
    assert len(list(folder.glob("outputs/sweeps/deadly/*/cell.json"))) == 3


def test_what_is_in_the_store_is_answered_without_torch(folder):
    command(folder, "task=pretend", "seed=0,1", "sweep=first")
    probe = (
        "import sys; from w2sweep.cli import main; main();"
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'wandb', 'datasets', 'joblib')))"
    )
    command(folder, "task=pretend", "seed=0,1", "sweep=second", python=probe)
    assert len(list(folder.glob("outputs/sweeps/second/*/cell.json"))) == 2


def test_completions_are_marked_by_their_task_and_impossible_cells_can_be_left_out(folder):
    grid = [
        "task=pretend_completions",
        "method=naive,confidence",
        "impossible=skip",
        "sweep=completions",
    ]
    command(folder, *grid)
    naive, skipped = (
        read(
            folder
            / f"outputs/sweeps/completions/method={method},task=pretend_completions/cell.json"
        )
        for method in ("naive", "confidence")
    )
    assert 0 < naive["marks"]["legality"] < 1  # "maybe" is no answer
    assert 0 < naive["marks"]["weak_labels_legality"] < 1
    assert naive["marks"]["weak_labels_legality"] != naive["marks"]["legality"]
    assert naive["family"] == "chess"
    assert "needs two classes" in skipped["skipped"]
    assert skipped["method"] == "confidence"


def test_supervision_may_be_simulated_for_any_method_without_a_supervisor(folder):
    kinds = ["supervision.errors=random,rule", "supervision.cue=iiii", "supervision.rate=0.3"]
    methods = "method=naive,naive_hard,bootstrap,scratch,confidence,confidence_75"
    said = command(
        folder,
        "task=pretend",
        "supervision=simulated",
        *kinds,
        methods,
        "strong=mini",
        "sweep=simulated",
    )
    cells = [read(p) for p in folder.glob("outputs/sweeps/simulated/*/cell.json")]
    assert {c["weak_accuracy"] for c in cells} == {0.7}  # exactly
    assert len({c["stages"]["supervisor"] for c in cells}) == 2
    assert all(c["stages"]["supervisor"].startswith("Erring/") for c in cells)
    same = "supervision.cue=iiii,{},supervision.rate=0.3,supervision=simulated"
    assert {c["variant"] for c in cells} == {
        same.format(f"supervision.errors={e}") for e in ("random", "rule")
    }
    plan = read(folder / "outputs/sweeps/simulated/sweep.json")
    assert "supervisor truth with rule errors (0.3), pretend" in plan["stages"].values()
    assert not any(what.startswith("supervisor 1x") for what in plan["stages"].values())
    assert "Error" not in said.stderr
    assert (folder / "outputs/sweeps/simulated/report/knob.png").exists()


def test_a_supervisor_may_be_noisy_and_an_impossible_rate_fails_in_one_line(folder):
    command(folder, "task=pretend", "supervision.noise=0.0,0.5", "sweep=noisy")
    clean, noisy = (
        read(folder / f"outputs/sweeps/noisy/supervision.noise={noise},task=pretend/cell.json")
        for noise in ("0.0", "0.5")
    )
    assert noisy["weak_accuracy"] < clean["weak_accuracy"]
    assert clean["stages"]["supervisor"].startswith("Finetune/")
    assert clean["stages"]["ceiling"] == noisy["stages"]["ceiling"]
    impossible = ["supervision=simulated", "supervision.errors=rule", "supervision.rate=0.9"]
    said = command(folder, "task=pretend", *impossible, code=1).stderr
    assert "errors=rule can make 0 of the " in said
    assert "lower supervision.rate, or another cue" in said


def test_help_names_the_groups_and_their_choices(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["w2sweep", "--help"])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    said = capsys.readouterr().out
    assert exit.value.code == 0
    assert "method: bootstrap, confidence, confidence_75, naive, naive_hard, scratch" in said
    assert "pretend, pretend_completions" in said  # of the current folder


def test_a_reader_who_has_seen_enough_is_no_error(folder):
    path = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    call = [sys.executable, "-m", "w2sweep", "--help"]
    with subprocess.Popen(
        call, cwd=folder, env=path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as said:
        assert said.stdout is not None
        assert said.stderr is not None
        said.stdout.close()  # as `| head` does
        assert said.stderr.read() == b""
    assert said.returncode == 128 + signal.SIGPIPE


def test_a_sweep_that_is_told_to_end_takes_its_workers_along(folder):
    path = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY / "tests")])
    grid = [
        "task=pretend",
        "task.lasting=ceiling",
        "seed=0,1",
        "hydra/launcher=joblib",
        "tracking=none",
        "sweep=told",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "w2sweep", *grid], cwd=folder, env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as sweep:  # fmt: skip
        try:
            assert eventually(lambda: (folder / "outputs/store/executed").exists())
            sweep.terminate()
            said = sweep.communicate(timeout=30)[1]
            assert sweep.returncode == 130
            assert "interrupted: run the same command again" in said
            assert eventually(lambda: not alive(sweep.pid))
        finally:
            if alive(sweep.pid):
                os.killpg(sweep.pid, signal.SIGKILL)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(holds: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)
    return holds()


def test_a_cells_folder_is_named_by_what_changes_its_result():
    assert (
        folder_name(
            ["weak=nano", "task=a", "sweep=x", "runtime.threads=2", "tracking=none", "store=/s"]
        )
        == "task=a,weak=nano"
    )
    assert folder_name([]) == "defaults"
    assert folder_name(["data_root=/data", "cache=force"]) == "defaults"
    assert folder_name(["+ladder.rungs.b.lr=1", "~loss.hard"]) == "+ladder.rungs.b.lr=1,~loss.hard"


def test_a_cells_folder_is_safe_and_never_shared():
    a, b = (
        folder_name(["ladder.rungs.nano.model=/a/b"]),
        folder_name(["ladder.rungs.nano.model=/a_b"]),
    )
    assert a != b
    assert "/" not in a
    long = [f"ladder.rungs.nano.model={'x' * n}" for n in (300, 301)]
    assert len({folder_name([o]) for o in long}) == 2
    assert all(len(folder_name([o])) <= 200 for o in long)
