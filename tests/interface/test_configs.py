"""Every file under conf/ and sweeps/ says how to use it, composes, and becomes what it says."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from conftest import REPOSITORY
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig

from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.stages import Finetune
from w2sweep.interface.composer import Composer
from w2sweep.interface.composing import plan, use_folders
from w2sweep.interface.origins import Origins
from w2sweep.report.paper import FINDINGS
from w2sweep.sweep.plan import Planned

CONF, SWEEPS = REPOSITORY / "conf", REPOSITORY / "sweeps"
FILES = sorted(
    f for f in (*CONF.rglob("*.yaml"), *SWEEPS.rglob("*.yaml")) if "local" not in f.parts
)
BASES = [f for f in FILES if f.parent == CONF / "task" / "base"]
"""What other files begin with: no choices of their own."""
CHOICES = [
    f for f in FILES if f.parent not in (CONF, SWEEPS) and "hydra" not in f.parts and f not in BASES
]
RUNGS = {
    "gpt2": ["weak=gpt2", "strong=gpt2-xl"],
    "pythia": ["weak=pythia-14m", "strong=pythia-12b"],
    "olmo": ["weak=olmo2-1b", "strong=olmo2-32b"],
    "qwen": ["weak=qwen3-600m", "strong=qwen3-14b"],
    "ensemble_rungs": ["weak=micro"],
    "smollm": ["weak=smollm-135m", "strong=smollm-1700m"],
    "smollm_cut": ["weak=smollm-4", "strong=smollm-30"],
}


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.fixture(scope="module")
def loader() -> Iterator[object]:
    use_folders()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture(autouse=True)
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the examples for a file of one's own speak of."""
    rows = [{"text": "fine film", "label": "good"}, {"text": "poor film", "label": "bad"}]
    (tmp_path / "reviews.csv").write_text("text,label\nfine film,good\npoor film,bad\n")
    (tmp_path / "reviews.jsonl").write_text("\n".join(map(json.dumps, rows)))
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, tmp_path / "reviews.parquet")
    monkeypatch.chdir(tmp_path)


def planned(loader, overrides: list[str], config: str = "config") -> list[Planned]:
    composed = root(loader, config)
    params = [f"{key}={value}" for key, value in composed.hydra.sweeper.params.items()]
    return plan(loader, composed, [*params, *overrides])


@functools.cache
def root(loader, config: str) -> DictConfig:
    return loader.load_configuration(config, [], RunMode.MULTIRUN)


def test_the_walk_finds_what_is_there():
    known = {"config.yaml", "confidence.yaml", "quickstart.yaml", "gpt2.yaml", "sst2.yaml"}
    assert known <= {f.name for f in FILES}
    assert {"nlp.yaml", "own_file.yaml"} <= {f.name for f in BASES}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_begins_with_the_command_that_uses_it(path):
    lines = [
        line for line in path.read_text("utf-8").splitlines() if not line.startswith("# @package")
    ]
    assert lines[0].startswith("# w2sweep"), "the first line is a comment with the command"
    assert lines[1].startswith("# "), "the second line says what it is for"
    used = lines[0]
    if path.parent == SWEEPS:
        assert f"-cn {path.stem}" in used
    elif path in CHOICES:
        group = name(path.parent).removeprefix("conf/")
        assert re.search(rf"\b{group}(={path.stem}\b|\.)", used) or path.stem in (
            "default",
            "wandb",
            "confidence",
        )


@pytest.mark.parametrize("path", BASES, ids=name)
def test_a_base_is_what_other_files_begin_with_and_says_so(path):
    text = path.read_text("utf-8")
    assert "# Not a task, but " in text
    entry = re.compile(rf"^  - (base|/task/base)/{path.stem}$", re.MULTILINE)
    users = [f.stem for f in FILES if entry.search(f.read_text("utf-8"))]
    assert len(users) >= 2


@pytest.mark.parametrize("path", CHOICES, ids=name)
def test_a_choice_becomes_what_it_describes(path, loader):
    group, choice = name(path.parent).removeprefix("conf/"), path.stem
    overrides = [
        f"{group}={choice}",
        *(RUNGS.get(choice, []) if group in ("ladder", "method") else []),
        *(["task=preference"] if group == "best_of" else []),
    ]
    if group == "task" and choice in ("csv", "jsonl", "parquet"):
        overrides += [f"task.path=reviews.{choice}", "task.classes=[bad,good]"]
    (cell,) = planned(loader, overrides)
    assert cell.cell is not None
    assert cell.place.task


NARROWED = {"zoo": ["task=sentiment,mate_in_one"]}
"""Of sweeps with two hundred cells a seed: a task with classes, and one without."""


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=name)
def test_a_sweep_can_be_run_whole(path, loader):
    fewer = NARROWED.get(path.stem, [])
    cells = planned(loader, ["seed=0", *fewer], path.stem)  # seeds differ in nothing checked
    runnable = [p for p in cells if p.cell]
    assert runnable
    assert {p.request.sweep for p in cells} == {path.stem}
    assert len({p.folder for p in cells}) == len(cells)
    params = yaml.safe_load(path.read_text())["hydra"]["sweeper"]["params"]
    methods = {word.strip() for word in params["method"].split(",")}
    assert {p.place.method for p in runnable} == methods  # none is left out on all tasks


def on_hub_models(path: Path) -> tuple[str, list[str]]:
    """The command by which a sweep's first comment says to run it on models of the hub: the name of
    its configuration, and its overrides."""
    comment = [line[2:] for line in path.read_text("utf-8").splitlines() if line.startswith("# ")]
    rest = " ".join(comment).partition("On models of the hub")[2].partition(": w2sweep ")[2]
    words = rest.split()
    name = words[1] if words[0] == "-cn" else "config"
    given = words[2:] if words[0] == "-cn" else words
    return name, list(itertools.takewhile(lambda word: "=" in word, given))


@pytest.mark.parametrize("name", dict.fromkeys(finding.sweep for finding in FINDINGS))
def test_a_sweep_of_the_paper_says_how_to_run_it_on_models_of_the_hub(name, loader, tmp_path):
    (tmp_path / "FILE.txt").write_text("a text to transfer to\n")
    config, overrides = on_hub_models(SWEEPS / f"{name}.yaml")
    params = yaml.safe_load((SWEEPS / f"{name}.yaml").read_text())["hydra"]["sweeper"]["params"]
    # the last of each is the least like any other sweep's, and one takes a second to compose
    one = [f"{k}={v.split(',')[-1]}" for k, v in params.items() if k in ("method", "supervision")]
    cells = planned(loader, [*overrides, *one, "seed=0"], config)
    assert any(p.cell for p in cells)
    assert {p.request.ladder.name for p in cells} == {"pythia"}


@pytest.mark.parametrize("path", sorted((CONF / "recipe").glob("*.yaml")), ids=name)
def test_any_value_of_a_recipe_can_be_set_without_a_plus(path, loader):
    fields = [f.name for f in dataclasses.fields(Recipe)]
    composed = loader.load_configuration("config", [f"recipe={path.stem}"], RunMode.MULTIRUN)
    assert [f for f in fields if f not in composed.recipe] == []


def test_a_method_brings_its_loss_and_leaves_it_to_the_command_line(loader):
    (confident,) = planned(loader, ["method=confidence", "loss.alpha_max=0.75"])
    assert type(confident.request.loss).__name__ == "ConfidenceLoss"
    assert confident.request.method.loss == confident.request.loss
    (plain,) = planned(loader, ["method=confidence", "loss=cross_entropy"])
    assert type(plain.request.loss).__name__ == "CrossEntropy"
    assert plain.place.variant == {"loss": "cross_entropy"}


def test_methods_that_differ_in_their_loss_alone_stand_beside_each_other_in_one_sweep(loader):
    cells = planned(loader, ["method=naive,naive_hard,confidence,confidence_75"])
    methods = ["naive", "naive_hard", "confidence", "confidence_75"]
    assert [p.place.method for p in cells] == methods
    assert [p.place.variant for p in cells] == [{}] * len(methods)
    losses = [p.request.method.loss for p in cells]
    assert losses == [
        CrossEntropy(),
        CrossEntropy(hard=True),
        ConfidenceLoss(0.5, 1.0),
        ConfidenceLoss(0.75, 1.0),
    ]
    assert losses == [p.request.loss for p in cells]
    (stronger,) = planned(loader, ["method=confidence_75", "loss.alpha_max=0.9"])
    assert stronger.request.method.loss == ConfidenceLoss(0.9, 1.0)


def test_rungs_can_be_changed_and_added_from_the_command_line(loader, tmp_path):
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "config.json").write_text("{}")
    target = "_target_: w2sweep.experiment.ladder.HubRung"
    facts = f"model: {tmp_path}/my, lr: 1e-5, params: 9, pretrain_tokens: 7"
    mine = f"+ladder.rungs.mine={{{target}, {facts}}}"
    rungs = ["ladder.rungs.gpt2.lr=3e-5", "ladder.rungs.gpt2-xl.model=/models/xl", mine]
    (cell,) = planned(loader, ["ladder=gpt2", "weak=gpt2", "strong=mine", *rungs])
    ladder = cell.request.ladder
    assert list(ladder.rungs) == ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "mine"]
    assert (ladder.rungs["gpt2"].lr, ladder.rungs["mine"].compute) == (3e-5, 6 * 9 * 7)


def test_a_recipe_says_how_slowly_confidence_grows(loader):
    overrides = ["method=confidence", "loss.alpha_max=0.5"]
    paper = ["task=sst2", "ladder=gpt2", "recipe=paper_nlp", "weak=gpt2", "strong=gpt2-xl"]
    for more, warmup in (
        ([], 1.0),
        (paper, 0.2),
        (["alpha_warmup=0.4"], 0.4),
        (["loss.warmup=0.1"], 0.1),
    ):
        (cell,) = planned(loader, [*overrides, *more])
        assert cell.request.method.loss == ConfidenceLoss(0.5, warmup=warmup)


def test_a_ladder_climbs(loader):
    for path in sorted((CONF / "ladder").glob("*.yaml")):
        (cell,) = planned(loader, [f"ladder={path.stem}", *RUNGS.get(path.stem, [])])
        sizes = [b.size for b in cell.request.ladder.rungs.values()]
        assert sizes == sorted(sizes), path.stem
        assert cell.request.ladder.name == path.stem


def test_the_same_cells_as_hydra_itself_would_compose(loader):
    composed = root(loader, "quickstart")
    overrides = [
        "task=sentiment",
        "weak=nano",
        "method=confidence",
        "seed=1",
        "~tuning.lr_scale",
        "+recipe.added=2",
    ]
    others = ["task=preference", "method=lp_ft", "seed=1", "~tuning.lr_scale"]
    compose = Composer(loader, composed, Origins(loader, composed, []))
    for cell in (overrides, others, overrides):  # what one changes, the next one does not see
        theirs = loader.load_sweep_config(composed, cell)
        assert compose.afresh(cell).config == {k: v for k, v in theirs.items() if k != "hydra"}


def commands() -> list[str]:
    """The commands in comments that nothing else tries, and that are whole: no "...", no remarks in
    brackets, no FOLDERs."""
    text = "\n".join(path.read_text("utf-8") for path in FILES)
    found = re.findall("^# w2sweep (.*)$", text, re.MULTILINE)
    whole = [line for line in found if not re.search(r"\.\.\.|[A-Z]{4}|--help|\(", line)]
    choices = {f"{f.parent.name}={f.stem}" for f in CHOICES}
    sweeps = {f"-cn {f.stem}" for f in SWEEPS.glob("*.yaml")}
    return [line for line in dict.fromkeys(whole) if line not in choices | sweeps]


@pytest.mark.parametrize("line", commands())
def test_a_command_in_a_comment_is_one_that_works(line, loader):
    words = shlex.split(line, comments=True)
    config = words[words.index("-cn") + 1] if "-cn" in words else "config"
    overrides = [w for w in words if "=" in w and not w.startswith("hydra")]
    assert planned(loader, overrides, config)


@pytest.mark.parametrize("sweep", ["nlp_scaling", "nlp_suite"])
def test_nlp_sweeps_train_as_the_paper_does(sweep: str, loader):
    narrow = ["task=sst2", "weak=gpt2", "strong=gpt2-large", "seed=0", "method=naive"]
    (cell,) = planned(loader, narrow, sweep)
    recipe = cell.request.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.early_stop) == (2, 32, "own_labels")


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        ("chess_scaling", []),
        ("config", ["experiment=paper_chess", "ladder=pythia"]),
    ],
)
def test_chess_is_bootstrapped_over_two_rungs_between_on_fresh_sets(config, overrides, loader):
    narrow = ["weak=pythia-70m", "strong=pythia-1400m", "seed=0", "method=bootstrap"]
    (planned_cell,) = planned(loader, [*overrides, *narrow], config)
    assert planned_cell.cell is not None
    step, sets = planned_cell.cell.student, []
    while isinstance(step, Finetune) and step.labels is not None:
        sets.append(step.on)
        step = step.labels
    assert sets == ["student_3", "student_2", "student"]
