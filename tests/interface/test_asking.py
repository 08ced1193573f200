"""What is asked on the command line, and what is understood: grids whose choices need each other,
keys that no YAML has, flags, files of one's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from commands import QUIET, cells, environment, plan, w2sweep

from w2sweep.interface import command, data_command
from w2sweep.interface.asking import with_additions
from w2sweep.interface.composing import requested
from w2sweep.sweep.request import Request
from w2sweep.values import ConfigError
from w2sweep.version import __version__

HUB = ("task=pretend", "ladder=gpt2", "weak=gpt2", "strong=gpt2-medium")
STUDENT = """
from w2sweep import {base}, value


class Mine({base}):
    def student(self, s):
        return s.finetune(s.strong, labels=s.supervisor, loss=self.loss)
"""


def shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[str, str]:
    """What a command prints, on stdout and on stderr."""
    monkeypatch.setattr(sys, "argv", ["w2sweep", *words])
    try:
        command.main()
    except SystemExit as exit:
        assert not exit.code, capsys.readouterr().err  # noqa: PT017
    said = capsys.readouterr()
    return said.out, said.err


def test_a_key_that_only_swept_choices_have_spans_a_grid(folder: Path):
    grid = ["task=pretend", "method=confidence,confidence_75", "loss.alpha_max=0.6"]
    w2sweep(folder, *grid, "sweep=grid")
    assert {cell["method"] for cell in cells(folder, "grid")} == {"confidence", "confidence_75"}
    assert len(plan(folder, "grid")["cells"]) == 2


def test_a_plus_adds_to_what_a_sweep_names():
    of_the_sweep = ["method=naive,confidence", "seed=0,1"]
    asked = [*of_the_sweep, "method=+mine", "seed=+7", "+recipe.new=1", "~loss.hard"]
    added = ["method=naive,confidence,mine", "seed=0,1,7", "+recipe.new=1", "~loss.hard"]
    assert with_additions(asked) == [*of_the_sweep, *added]
    assert with_additions(["method=a", "method=+b", "method=+c"])[-1] == "method=a,b,c"
    assert with_additions(["method=a", "method=b", "method=+c"])[-1] == "method=b,c"
    assert with_additions(["recipe.lr_scale=+2"]) == ["recipe.lr_scale=+2"]  # a number's sign
    with pytest.raises(ConfigError, match=r"method=\+mine: found no values of method to add to"):
        with_additions(["method=+mine"])


def test_so_does_a_key_of_swept_tasks_and_of_a_sweeps_file(folder: Path, monkeypatch, capsys):
    chess = requested(["task=lichess,lichess_easy", "task.target=uci"])
    assert [r.task.target for r in chess] == ["uci", "uci"]  # type: ignore[attr-defined]
    (folder / "sweeps").mkdir()
    params = "hydra: {sweeper: {params: {method: 'confidence,confidence_75'}}}"
    (folder / "sweeps" / "sure.yaml").write_text(f"defaults: [config, _self_]\n{params}\n")
    words = ["task=pretend", "-cn", "sure", "loss.alpha_max=0.6", "--cfg", "job"]
    out, err = shown(monkeypatch, capsys, *words)
    assert "alpha_max: 0.6" in out
    assert "the first of 2 cells: loss.alpha_max=0.6,method=confidence,task=pretend" in err


def test_another_projects_root_is_not_read_and_that_is_said(folder: Path, monkeypatch, capsys):
    (folder / "conf" / "config.yaml").write_text("lr: 0.1\n")
    out, err = shown(monkeypatch, capsys, "task=pretend", "--cfg", "job")
    assert "lr: 0.1\n" not in out
    assert "conf/config.yaml is not read: w2sweep begins with a config.yaml of its own" in err


def test_overrides_stand_on_both_sides_of_a_flag(folder: Path, monkeypatch, capsys):
    words = ["task=pretend", "--cfg", "job", "seed=3", "-p", "recipe", "recipe.epochs=7"]
    assert "epochs: 7" in shown(monkeypatch, capsys, *words)[0]


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("sizes.student_sets=2", lambda r: r.sizes.student_sets),
        ("sizes={student_sets: 2}", lambda r: r.sizes.student_sets),
        ("ladder.corpus_tokens=2", lambda r: r.ladder.corpus_tokens),
        ("ladder.rungs.gpt2.revision='2'", lambda r: int(r.ladder.rungs["gpt2"].revision)),
        ("ladder.rungs.gpt2.trust_remote_code=true", lambda r: 1 + _trusts(r)),
        ("ladder.pretrain_seed=2", lambda r: r.ladder.pretrain_seed),
    ],
)
def test_no_key_that_a_class_has_needs_a_plus(folder: Path, override, found):
    [request] = requested([*HUB, override])
    assert found(request) == 2
    [request] = requested([*HUB, f"++{override}"])
    assert found(request) == 2


def _trusts(request: Request) -> bool:
    return request.ladder.rungs["gpt2"].trust_remote_code  # type: ignore[attr-defined]


def test_a_key_of_no_yaml_is_a_variant_like_any_other(folder: Path):
    w2sweep(folder, "task=pretend", "sizes.student_sets=1,2", "strong=mini", "sweep=sets")
    found = cells(folder, "sets")
    assert [cell["variant"] for cell in found] == [
        {"sizes.student_sets": "1"},
        {"sizes.student_sets": "2"},
    ]


def test_the_version_is_that_of_w2sweep(monkeypatch, capsys):
    assert shown(monkeypatch, capsys, "--version")[0] == f"w2sweep {__version__}\n"


@pytest.mark.parametrize("base", ["Method", "Naive"])
@pytest.mark.parametrize("marked", [True, False])
def test_a_method_of_ones_own_only_says_what_its_student_is(
    folder: Path, monkeypatch, base: str, marked: bool
):
    name = f"mine_{base}_{marked}".lower()
    code = STUDENT.format(base=base).replace("import Naive, value", "import value")
    code = code.replace("class", "@value\nclass") if marked else code
    if base == "Naive":
        code = "from w2sweep.experiment.methods import Naive\n" + code
    (folder / f"{name}.py").write_text(code)
    (folder / "conf" / "method").mkdir()
    yaml = f"_target_: {name}.Mine\nname: mine\nloss: ${{loss}}\n"
    (folder / "conf" / "method" / "mine.yaml").write_text(yaml)
    monkeypatch.syspath_prepend(folder)
    [request] = requested(["task=pretend", "method=mine"])
    assert request.method.name == "mine"
    assert request.cell.student.loss == request.loss  # type: ignore[attr-defined]


def test_the_data_of_a_task_of_ones_own_are_shown(folder: Path, capsys):
    assert "pretend" in data_command.known()
    data_command.main(["pretend", "sizes.student_sets=1"])
    assert "# pretend\n\n400 rows" in capsys.readouterr().out


SAME_SECOND = """
from omegaconf import OmegaConf
from w2sweep.interface import command
OmegaConf.register_new_resolver("sweep_folder", lambda *_: "outputs/runs/now", replace=True)
command.main()
"""


def test_two_sweeps_of_the_same_second_never_share_a_folder(folder: Path):
    call = [sys.executable, "-c", SAME_SECOND, *QUIET, "task=pretend", "strong=mini"]
    both = [
        subprocess.Popen([*call, seed], cwd=folder, env=environment())
        for seed in ("seed=0", "seed=1")
    ]
    assert [sweep.wait(timeout=120) for sweep in both] == [0, 0]
    found = sorted(folder.glob("outputs/runs/*/*/cell.json"))
    assert [path.parents[1].name for path in found] == ["now", "now-2"]
    w2sweep(folder, "task=pretend", "strong=mini", "hydra.sweep.dir=outputs/runs/now")
    assert not (folder / "outputs/runs/now-3").exists()


def test_the_surroundings_of_a_notebook_stop_no_report(folder: Path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://nobody_has_this.backend_inline")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    (folder / "matplotlibrc").write_text("figure.facecolor: red\naxes.titlesize: 40\n")
    w2sweep(folder, "task=pretend", "strong=mini,small", "sweep=notebook", anew=True)
    red = (folder / "outputs/sweeps/notebook/report/accuracy.png").read_bytes()
    (folder / "matplotlibrc").unlink()
    w2sweep(folder, "task=pretend", "strong=mini,small", "sweep=notebook")
    assert (folder / "outputs/sweeps/notebook/report/accuracy.png").read_bytes() == red
