"""Weights: ordinary Hugging Face folders that answer as their stage did, and where others start."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from toys import Toy, ToyCompletions, ToyCorpus, ToyPairs, job, pretrained_store, run, setting
from transformers import GPT2Config, GPT2LMHeadModel

from w2sweep.engine.stage import Job
from w2sweep.engine.store import Store
from w2sweep.experiment.backbone import HubModel, Pretraining, Tokenizer
from w2sweep.experiment.ladder import HubRung, Ladder
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.stages import Adapt, Finetune, OwnTokenizer, Text
from w2sweep.experiment.tuning import Full, LinearProbe, Lora, Tuning
from w2sweep.experiment.weights import Weights
from w2sweep.learning import finetuning
from w2sweep.learning.learner import Course, Trained, fit
from w2sweep.learning.subjects import subject_of
from w2sweep.learning.tokens import train_tokenizer
from w2sweep.tasks.task import Task

RECIPE = Recipe(epochs=2, batch_size=16, head_lr=5.0, lr_scale=2.0, max_tokens=32, evaluations=2)
TUNINGS: dict[str, Tuning] = {"full": Full(), "lora": Lora(rank=2), "probe": LinearProbe(lr=0.05)}
TASKS: dict[str, Task] = {
    "choice": Toy(),
    "reward": ToyPairs(),
    "completion": ToyCompletions(),
}

# What somebody does who has never heard of w2sweep: folders and texts come in, answers go out.
PLAIN_TRANSFORMERS = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

def classes(folder, examples):
    model, head = AutoModel.from_pretrained(folder).eval(), load_file(folder / "head.safetensors")
    linear = lambda h: h @ head["weight"].T + head.get("bias", 0.0)
    logits = [torch.cat([linear(hidden(model, ids)) for ids in views]) for views in examples]
    return torch.stack(logits).softmax(-1).tolist()

def hidden(model, ids):
    return model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]

def completions(folder, examples, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": tokenizer.pad_token_id}
    said = []
    for (ids,) in examples:
        prompt = torch.tensor([ids])
        out = model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)
        said.append(tokenizer.decode(out[0, len(ids):], skip_special_tokens=True))
    return said

@torch.no_grad()
def answers(folder, texts):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    examples = [[tokenizer(text)["input_ids"] for text in views] for views in texts]
    if (folder / "head.safetensors").exists():
        return classes(folder, examples)
    return completions(folder, examples, tokenizer)

asked = json.load(sys.stdin)
print(json.dumps([answers(Path(a["folder"]), a["texts"]) for a in asked]))
assert not [name for name in sys.modules if name.startswith("w2sweep")]
"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> HubModel:
    """A random model of the family that stores its matrices the other way."""
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = train_tokenizer(Tokenizer("word"), list(ToyCorpus().documents()))
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
    config = GPT2Config(vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=1, **sizes)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return HubModel(str(folder), rung="s")


def hub_setting(model: HubModel, **changes: Any) -> Setting:
    rung = HubRung(lr=3e-3, model=model.model, params=1, pretrain_tokens=1)
    return setting(ladder=Ladder("hub", {"s": rung, "l": rung}), recipe=RECIPE, **changes)


def homegrown(task: str = "choice", tuning: str = "full") -> Finetune:
    return setting(TASKS[task], tuning=TUNINGS[tuning], recipe=RECIPE).ceiling


CASES = [
    *[("llama", task, tuning) for task in ("choice", "reward") for tuning in TUNINGS],
    ("llama", "completion", "full"),
    *[("gpt2", "choice", tuning) for tuning in TUNINGS],
]
Case = tuple[str, str, str]


@pytest.fixture(scope="module")
def stages(gpt2: HubModel) -> dict[Case, Finetune]:
    found = {}
    for family, task, tuning in CASES:
        if family == "gpt2":
            s = hub_setting(gpt2, task=TASKS[task], tuning=TUNINGS[tuning])
            found[family, task, tuning] = s.ceiling
        else:
            found[family, task, tuning] = homegrown(task, tuning)
    return found


@pytest.fixture(scope="module")
def reloaded(shelf: Store, stages: dict[Case, Finetune]) -> dict[Case, Any]:
    """What plain Transformers answers, in one process of its own for all cases."""
    shelf.ensure(*(Weights(stage) for stage in stages.values()))
    asked = [asked_of(stage, shelf) for stage in stages.values()]
    command = [sys.executable, "-c", PLAIN_TRANSFORMERS]
    done = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(stages, json.loads(done.stdout.splitlines()[-1]), strict=True))


def asked_of(stage: Finetune, shelf: Store) -> dict[str, Any]:
    texts = [e.views for e in shelf.get(stage.splits)["test"]]
    return {"folder": str(shelf.get(Weights(stage))), "texts": texts}


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_plain_transformers_gives_the_stored_predictions(
    shelf: Store, stages: dict[Case, Finetune], reloaded: dict[Case, Any], case: Case
):
    stored, found = shelf.get(stages[case]).answers["test"], reloaded[case]
    if isinstance(stored, list):
        assert found == stored
        assert len(set(stored)) > 1
    else:
        np.testing.assert_allclose(np.array(found), stored, atol=1e-5)
        assert np.ptp(stored[:, 0]) > 0.01  # it has learned something


def parameters(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def differing(one: Path, other: Path) -> set[str]:
    """Names of the parameters that differ; all of them have to be in both folders."""
    a, b = parameters(one), parameters(other)
    assert a.keys() == b.keys()
    return {name for name in a if not torch.equal(a[name], b[name])}


def differ_everywhere(one: Path, other: Path) -> bool:
    return differing(one, other) == set(parameters(one))


MATRICES = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_what_was_tuned_differs_from_the_pretrained_model_and_nothing_else(
    shelf: Store, stages: dict[Case, Finetune], reloaded: dict[Case, Any]
):
    before = shelf.get(homegrown().init)  # type: ignore[arg-type]
    moved = {}
    for tuning in TUNINGS:
        folder = shelf.get(Weights(stages["llama", "choice", tuning]))
        moved[tuning] = differing(before, folder)
    assert moved["full"] == set(parameters(before))
    assert {name.split(".")[-2] for name in moved["lora"]} == MATRICES
    assert moved["probe"] == set()


# --- trained once --------------------------------------------------------------------------------


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A line for each training from now on."""
    found: list[str] = []

    def counted(net: nn.Module, course: Course, made: Job) -> Trained:
        found.append(type(net).__name__)
        return fit(net, course, made)

    monkeypatch.setattr(finetuning, "fit", counted)
    return found


@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_stage_that_is_needed_with_and_without_its_weights_is_trained_once(
    shelf: Store, trainings: list[str], tuning: str
):
    stage = replace(homegrown(tuning=tuning), seed=11)
    shelf.ensure(stage, Weights(stage))
    assert trainings == ["ProbeNet" if tuning == "probe" else "Net"]
    assert shelf.done(stage)
    assert shelf.done(Weights(stage))


@pytest.mark.parametrize("tuning", TUNINGS)
def test_weights_that_are_asked_for_later_are_trained_again_and_equal(
    shelf: Store,
    stages: dict[Case, Finetune],
    reloaded: dict[Case, Any],
    tmp_path: Path,
    tuning: str,
):
    weights = Weights(stages["llama", "choice", tuning])
    run(weights, tmp_path, shelf)
    assert differing(shelf.get(weights), tmp_path) == set()
    for name in ("head.safetensors", "head.json", "tokenizer.json"):
        assert (shelf.get(weights) / name).read_bytes() == (tmp_path / name).read_bytes()


def test_weights_of_an_earlier_sweep_are_trained_again_by_the_store(
    shelf: Store, trainings: list[str]
):
    stage = replace(homegrown(), seed=12)
    shelf.ensure(stage)
    assert not shelf.done(Weights(stage))
    shelf.ensure(Weights(stage))
    assert trainings == ["Net", "Net"]
    record = json.loads((shelf.path(Weights(stage)) / "stage.json").read_text())
    assert record["stage"]["of"] == {"stage": stage.name}


# --- starting points -----------------------------------------------------------------------------


def beginning(stage: Finetune, shelf: Store, folder: Path) -> dict[str, Tensor]:
    """The parameters before training."""
    shelf.ensure(*stage.inputs)
    results = {s: shelf.get(s) for s in stage.inputs}
    with job(folder, stage, results) as made:
        subject = subject_of(stage, shelf.get(stage.splits), made)
    return {name: p.detach() for name, p in subject.net.named_parameters()}


@pytest.mark.parametrize("task", ["choice", "reward"])
@pytest.mark.parametrize("first", TUNINGS)
def test_finetuning_starts_from_a_model_and_its_head(
    shelf: Store, reloaded: dict[Case, Any], tmp_path: Path, task: str, first: str
):
    """With a probe first it is LP-FT (Kumar et al. 2022)."""
    weights = Weights(homegrown(task, first))
    start = beginning(replace(homegrown(task), init=weights), shelf, tmp_path)
    folder = shelf.get(weights)
    head = load_file(folder / "head.safetensors")
    assert head["weight"].any()
    for name, expected in head.items():
        assert torch.equal(start[f"own_head.{name}"], expected)
    for name, expected in parameters(folder).items():
        assert torch.equal(start[f"lm.{name}"], expected)


def test_a_head_of_another_kind_is_not_taken(
    shelf: Store, reloaded: dict[Case, Any], tmp_path: Path
):
    stage = replace(homegrown("choice"), init=Weights(homegrown("reward")))
    start = beginning(stage, shelf, tmp_path)
    assert not start["own_head.weight"].any()
    assert start["own_head.weight"].shape == (2, 24)


def test_a_probe_on_a_finetuned_model_starts_with_a_new_head(
    shelf: Store, reloaded: dict[Case, Any], tmp_path: Path
):
    weights = Weights(homegrown("choice"))
    s = setting(tuning=LinearProbe(), recipe=RECIPE)
    probe, plain = s.finetune("l", init=weights), s.ceiling
    start = beginning(probe, shelf, tmp_path)
    assert start.keys() == {"own_head.weight", "own_head.bias"}
    assert not start["own_head.weight"].any()
    assert plain.features is not None
    assert probe.features is not None
    shelf.ensure(plain.features)
    before, after = shelf.get(plain.features), shelf.get(probe.features)
    assert not np.allclose(before["test"], after["test"], atol=1e-3)


def test_a_finetuned_model_is_finetuned_on(shelf: Store, reloaded: dict[Case, Any]):
    """In another task, with another head, and its weights are weights again."""
    first = Weights(homegrown("choice"))
    second = replace(homegrown("completion"), init=first)
    shelf.ensure(second, Weights(second))
    assert differ_everywhere(shelf.get(first), shelf.get(Weights(second)))


BRIEF = Pretraining(tokens=2_000, lr=1e-3, batch=8)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_finetuned_model_is_trained_on_as_a_language_model(
    shelf: Store, reloaded: dict[Case, Any], tmp_path: Path, tuning: str
):
    student = homegrown("choice", tuning)
    text = student.init.text  # type: ignore[union-attr]
    still = Adapt(student.backbone, Weights(student), text, replace(BRIEF, tokens=0), seed=0)
    moving = replace(still, recipe=BRIEF)
    run(still, tmp_path / "still", shelf)
    run(moving, tmp_path / "moving", shelf)
    before = shelf.get(Weights(student))
    assert differing(before, tmp_path / "still") == set()
    assert differ_everywhere(before, tmp_path / "moving")
    assert not (tmp_path / "moving" / "head.json").exists()


def test_its_own_tokenizer_goes_with_a_model_that_is_trained_on(
    shelf: Store, gpt2: HubModel, reloaded: dict[Case, Any]
):
    """Homegrown or of the hub, the text is read in the tokens that the model knows."""
    student = hub_setting(gpt2, tuning=Full()).ceiling
    text = Text(ToyCorpus(), OwnTokenizer(Weights(student), context=24))
    adapted = Adapt(gpt2, Weights(student), text, BRIEF, seed=0)
    last = replace(student, init=adapted)
    shelf.ensure(last)
    folders = [shelf.get(Weights(student)), shelf.get(adapted), shelf.get(text)]
    words = [json.loads((f / "tokenizer.json").read_text())["model"]["vocab"] for f in folders]
    assert words[0] == words[1] == words[2]
    assert differ_everywhere(folders[0], folders[1])
