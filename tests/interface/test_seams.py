"""Methods of two phases, and models compared beside the usual three: a user's file and a few lines
of YAML, in the lab, through the command. What trains here is tiny, and trains."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import accuracies, cells, identity, plan, stages, w2sweep

METHODS = '''
from w2sweep import LinearProbe, Loss, Method, Weights, value


@value
class ProbeThenFinetune(Method):
    """LP-FT: finetuning that starts with the head of a linear probe. Kumar et al. 2022."""

    name: str
    loss: Loss

    def student(self, s):
        weak = {"labels": s.supervisor, "loss": self.loss}
        probe = s.finetune(s.strong, tuning=LinearProbe(), **weak)
        return s.finetune(s.strong, init=Weights(probe), **weak)


@value
class FinetuneThenProbe(Method):
    """A probe with the ground truth on what finetuning with weak labels made of the backbone.

    Burns et al. 2023, section 5.2.2; beside it the student that it is made of.
    """

    name: str
    loss: Loss

    def student(self, s):
        tuned = self.compared(s)["finetuned"]
        return s.finetune(s.strong, init=Weights(tuned), tuning=LinearProbe())

    def compared(self, s):
        return {"finetuned": s.finetune(s.strong, labels=s.supervisor, loss=self.loss)}
'''
YAML = "# w2sweep method={0}\n_target_: mine.{1}\nname: {0}\nloss: ${{loss}}\n"
TINY = (
    "task.pool=600",
    "task.world.tokens=20000",
    "sizes={supervisor: 64, student: 64, validation: 16, test: 32}",
    "ladder.rungs.nano.tokens=2000",
    "ladder.rungs.micro.tokens=2000",
    "strong=micro",
    "recipe.epochs=1",
)

TRAINING_ONCE = """
from w2sweep.interface.command import main
from w2sweep.learning import finetuning
finetuning.train_again = None  # what would train a model again for its weights alone
main()
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two methods of a user's own, and a sweep over both."""
    folder = tmp_path_factory.mktemp("seams")
    (folder / "mine.py").write_text(METHODS)
    (folder / "conf" / "method").mkdir(parents=True)
    for name, target in (("probed_first", "ProbeThenFinetune"), ("ft_lp", "FinetuneThenProbe")):
        (folder / "conf" / "method" / f"{name}.yaml").write_text(YAML.format(name, target))
    asked = [*TINY, "method=probed_first,ft_lp", "sweep=phases"]
    w2sweep(folder, *asked, python=TRAINING_ONCE, seconds=300)
    return folder


def cell(folder: Path, method: str) -> dict:
    [found] = [cell for cell in cells(folder, "phases") if cell["method"] == method]
    return found


def test_a_probe_and_then_finetuning_is_a_method_of_a_few_lines(ran: Path):
    student = identity(ran, stages(cell(ran, "probed_first"))["student"])
    assert student["tuning"]["is"] == "Full"
    weights = identity(ran, student["init"]["stage"])
    assert weights["is"] == "Weights"
    probe = identity(ran, weights["of"]["stage"])
    assert probe["tuning"]["is"] == "LinearProbe"
    assert (
        probe["labels"]
        == student["labels"]
        == {"stage": stages(cell(ran, "probed_first"))["supervisor"]}
    )


def test_finetuning_and_then_a_probe_with_the_truth_is_a_method_of_a_few_lines(ran: Path):
    of = stages(cell(ran, "ft_lp"))
    student = identity(ran, of["student"])
    assert (student["tuning"]["is"], student["labels"]) == ("LinearProbe", None)
    weights = identity(ran, student["init"]["stage"])
    assert weights["of"] == {"stage": of["finetuned"]}


def test_a_method_names_a_fourth_model_to_compare(ran: Path):
    found = cell(ran, "ft_lp")
    assert list(accuracies(found)) == ["supervisor", "student", "ceiling", "finetuned"]
    assert list(accuracies(cell(ran, "probed_first"))) == ["supervisor", "student", "ceiling"]
    assert identity(ran, stages(found)["finetuned"])["labels"] == {
        "stage": stages(found)["supervisor"]
    }
    header, *rows = (ran / "outputs/sweeps/phases/report/cells.csv").read_text().splitlines()
    assert any("finetuned" in column for column in header.split(","))
    assert len(rows) == 2
    page = (ran / "outputs/sweeps/phases/report/index.html").read_text()
    assert "finetuned" in page


def test_a_stage_with_and_without_its_weights_is_trained_once(ran: Path):
    weights = [name for name in plan(ran, "phases")["stages"] if name.startswith("Weights/")]
    assert len(weights) == 2
    for name in weights:
        assert (ran / "outputs/store" / name / "config.json").exists()
        finetuned = ran / "outputs/store" / identity(ran, name)["of"]["stage"]
        assert finetuned.is_dir()
        assert not (finetuned / "model.safetensors").exists()
