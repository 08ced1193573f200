"""Generative finetuning: what is read, by whom, and what starts from it. Nothing trains here."""

from __future__ import annotations

import pytest
from toys import Toy, ToyCompletions, ToyPairs, setting

from w2sweep.engine.stage import closure
from w2sweep.experiment.backbone import HubModel, Pretraining
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.generative import Generative, Reading
from w2sweep.experiment.ladder import HubRung, Ladder
from w2sweep.experiment.losses import ConfidenceLoss, CrossEntropy
from w2sweep.experiment.methods import Naive
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.stages import Adapt, Finetune, SplitTexts, Text
from w2sweep.experiment.supervision import Weak
from w2sweep.experiment.target import Target
from w2sweep.experiment.tuning import Lora
from w2sweep.tasks.example import Example
from w2sweep.values import Impossible

READING = Reading(epochs=2, lr_scale=3.0, batch=4)
GENERATIVE = Generative("generative", CrossEntropy(), READING)
BOTH = Generative("both", CrossEntropy(), READING, supervisor=True)


def first_phase(stage: object) -> Adapt:
    assert isinstance(stage, Finetune)
    assert isinstance(stage.init, Adapt)
    return stage.init


def read_by(stage: object) -> SplitTexts:
    corpus = first_phase(stage).text.corpus
    assert isinstance(corpus, SplitTexts)
    return corpus


def test_texts_of_a_split_have_no_labels_and_no_other_split():
    splits = {
        "supervisor": [Example.of("s", label=0)],
        "student": [Example.of("q a", "q b", label=1), Example.of("q b", "p", label=0)],
        "validation": [Example.of("v >", label=" move")],
        "test": [Example.of("t", label=0)],
    }
    texts = SplitTexts(setting().splits, "student")
    assert texts.documents(splits) == (["q a", "q b", "p"], ["v >"])


def test_the_student_and_a_second_ceiling_start_from_the_same_first_phase():
    s = setting()
    student, naive = GENERATIVE.student(s), Naive("naive", CrossEntropy()).student(s)
    ceiling = GENERATIVE.compared(s)["ceiling_generative"]
    assert first_phase(student) == first_phase(ceiling)
    assert first_phase(student).init == s.pretrained("l")
    assert read_by(student) == SplitTexts(s.splits, "student")
    assert isinstance(ceiling, Finetune)
    assert (student.labels, ceiling.labels) == (s.supervisor, None)
    # in nothing else do they differ from those that have not read
    assert student.lr == naive.lr == ceiling.lr == s.ceiling.lr
    assert Cell(s, GENERATIVE).compared["ceiling"] == s.ceiling


def test_what_is_read_depends_on_the_splits_and_not_on_the_labels_of_anybody():
    phase = first_phase(GENERATIVE.student(setting()))
    stages = closure((phase,))
    assert {type(s).__name__ for s in stages} == {"Splits", "Text", "Adapt"}
    other = setting(supervision=Weak(noise=0.2))
    assert first_phase(GENERATIVE.student(other)).key == phase.key
    assert first_phase(GENERATIVE.student(setting(seed=1))).text.key != phase.text.key
    half = Text(SplitTexts(setting().splits, "supervisor"), phase.text.tokenizer)
    assert half.key != phase.text.key


def test_the_supervisor_may_read_its_own_half_first():
    s = setting()
    cell = Cell(s, BOTH)
    supervisor = cell.compared["supervisor"]
    assert isinstance(supervisor, Finetune)
    assert supervisor != s.supervisor
    assert (supervisor.on, supervisor.labels) == ("supervisor", None)
    assert read_by(supervisor).of == "supervisor"
    assert first_phase(supervisor).init == s.pretrained("s")
    student = cell.student
    assert isinstance(student, Finetune)
    assert student.labels == supervisor
    assert "supervisor" not in GENERATIVE.compared(s)


def test_the_supervisor_that_has_read_is_the_one_that_answers_other_tasks():
    s = setting()
    cell = Cell(s, BOTH, (Target(Toy(name="other"), s.sizes),))
    [applied] = cell.elsewhere.values()
    assert {role: stage.of.of for role, stage in applied.items()} == {
        role: cell.compared[role] for role in ("supervisor", "student", "ceiling")
    }


def test_a_supervisor_whose_answers_are_not_its_own_reads_nothing():
    with pytest.raises(Impossible, match="use supervision=weak without noise"):
        Cell(setting(supervision=Weak(noise=0.1)), BOTH)
    Cell(setting(supervision=Weak(noise=0.1)), GENERATIVE)


def test_nothing_is_read_with_weights_in_bf16():
    recipe = Recipe(epochs=1, batch_size=8, precision="bf16-true")
    with pytest.raises(Impossible, match=r"bf16-true.* use bf16-mixed, or another method"):
        GENERATIVE.student(setting(recipe=recipe))


@pytest.mark.parametrize("task", [ToyPairs(), ToyCompletions()])
def test_every_family_has_it_and_any_loss_and_adapters(task):
    cell = Cell(setting(task, tuning=Lora()), GENERATIVE)
    assert read_by(cell.student).of == "student"
    confident = Generative("g", ConfidenceLoss(0.5, 0.2), READING)
    assert first_phase(confident.student(setting())) == first_phase(GENERATIVE.student(setting()))


def test_a_rung_of_the_hub_reads_in_its_own_tokens():
    rung = HubRung(lr=1e-4, model="openai-community/gpt2", params=9, pretrain_tokens=9)
    larger = HubRung(lr=1e-5, model="openai-community/gpt2-xl", params=99, pretrain_tokens=9)
    s = setting(ladder=Ladder("hub", {"s": rung, "l": larger}))
    phase = first_phase(GENERATIVE.student(s))
    assert phase.init is None
    assert phase.text.tokenizer.context == s.recipe.max_tokens
    assert phase.text.tokenizer.model == HubModel("openai-community/gpt2-xl")  # type: ignore[union-attr]
    assert phase.recipe == Pretraining(tokens=0, lr=1e-5 * 3.0, batch=4, epochs=2)


@pytest.mark.parametrize(
    ("recipe", "length", "steps"),
    [
        (Pretraining(tokens=1000, lr=1e-3, batch=4), 10**6, 25),  # 1000 / (4 * 10)
        (Pretraining(tokens=0, lr=1e-3, batch=4), 10**6, 0),
        (Pretraining(tokens=0, lr=1e-3, batch=4, epochs=3), 400, 30),  # 3 * 400 / 40
        (Pretraining(tokens=0, lr=1e-3, batch=4, epochs=1), 401, 11),
        (Pretraining(tokens=0, lr=1e-3, batch=4, epochs=1), 7, 1),  # not even a window
    ],
)
def test_epochs_are_passes_over_the_text(recipe: Pretraining, length: int, steps: int):
    assert recipe.steps(length, context=10) == steps
