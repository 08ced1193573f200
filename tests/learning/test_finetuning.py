"""Finetuning: what moves and what does not, what is learned, what is kept, resuming."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import (
    Toy,
    ToyCompletions,
    ToyPairs,
    by_transformers,
    job,
    killed_after,
    pretrained_store,
    run,
    setting,
)

from w2sweep.engine.devices import processor
from w2sweep.engine.job import StoreJob
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.store import Store
from w2sweep.experiment.losses import BufferedConfidence, ConfidenceLoss, CrossEntropy
from w2sweep.experiment.methods import Bootstrap
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.recipe import EarlyStop, Recipe
from w2sweep.experiment.splits import Sizes
from w2sweep.experiment.stages import Finetune
from w2sweep.experiment.tuning import Full, LinearProbe, Lora, Tuning
from w2sweep.learning.batches import finetuning_batches
from w2sweep.learning.learner import Course, Evaluation, fit
from w2sweep.learning.subjects import Classifier, Subject, subject_of
from w2sweep.learning.tuned import parameter_groups
from w2sweep.tasks.heads import Choice
from w2sweep.tasks.task import Task

RESULT = ("predictions.safetensors", "evaluations.safetensors", "curves.jsonl")
RECIPE = Recipe(epochs=3, batch_size=16, evaluations=6, max_tokens=32)  # 18 steps


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


def accuracy(stage: Finetune, shelf: Store) -> float:
    shelf.ensure(stage)
    said, examples = shelf.get(stage).answers["test"], shelf.get(stage.splits)["test"]
    return float(stage.head.correct(said, examples).mean())


def subject(stage: Finetune, shelf: Store, folder: Path, runtime: Runtime | None = None) -> Subject:
    shelf.ensure(stage.splits)
    splits = shelf.get(stage.splits)
    results = {s: shelf.get(s) for s in stage.inputs}
    with job(folder, stage, results, runtime) as made:
        return subject_of(stage, splits, made)


def brief(of: Subject, stage: Finetune, shelf: Store, folder: Path, steps: int = 12) -> list[dict]:
    """The curves of a few steps on the ground truth."""
    data = of.data(stage.on, stage.head.labels(shelf.get(stage.splits)[stage.on]))
    batches = partial(finetuning_batches, data, stage.recipe, 0, 10_000)
    course = Course(
        steps=steps,
        batches=lambda start: islice(batches(start), steps),
        loss=CrossEntropy(),
        groups=parameter_groups(of.net, 1e-2),
        lr_factor=lambda _: 1.0,
        evaluate=lambda *_: Evaluation({}),
        evaluations=1,
    )
    with job(folder) as made:
        return fit(of.net, course, made).curves


@pytest.mark.parametrize("tuning", [Full(), Lora(rank=2)])
@pytest.mark.parametrize("task", [Toy(), ToyPairs(), ToyCompletions()])
def test_exactly_the_intended_parameters_move(
    shelf: Store, tmp_path: Path, tuning: Tuning, task: Task
):
    stage = setting(task, tuning=tuning).ceiling
    learner = subject(stage, shelf, tmp_path)
    before = {n: p.detach().clone() for n, p in learner.net.named_parameters()}
    brief(learner, stage, shelf, tmp_path)
    after = dict(learner.net.named_parameters())
    moved = {n for n in before if not torch.equal(after[n], before[n])}
    head = {n for n in before if n.startswith("own_head")}
    body = {n for n in before if n.startswith("lm.")}
    if isinstance(tuning, Lora):
        body = {n for n in body if "lora_" in n}
    assert moved == body | head
    outputs = {"nlp": {"weight", "bias"}, "reward": {"weight"}, "chess": set()}[task.family]
    assert head == {f"own_head.{name}" for name in outputs}


def test_gradient_checkpointing_recomputes_and_changes_nothing(shelf: Store, tmp_path: Path):
    stage = setting().ceiling
    calls, curves = [], []
    for on in (False, True):
        runtime = Runtime(accelerator="cpu", gradient_checkpointing=on)
        learner = subject(stage, shelf, tmp_path, runtime)
        assert isinstance(learner, Classifier)
        seen: list[int] = []
        layer = learner.net.lm.base_model.layers[0].self_attn  # type: ignore[union-attr, index]
        layer.register_forward_hook(lambda *_, seen=seen: seen.append(1))
        with by_transformers():
            curves.append(brief(learner, stage, shelf, tmp_path, steps=3))
        calls.append(len(seen))
    assert calls == [3, 6]
    assert curves[0] == curves[1]


def test_a_probe_leaves_the_backbone_alone_and_learns_from_features(shelf: Store):
    recipe = Recipe(epochs=40, batch_size=32)
    stage = setting(tuning=LinearProbe(lr=0.1), recipe=recipe).ceiling
    assert stage.init not in stage.inputs  # the weights are not even loaded
    assert accuracy(stage, shelf) > 0.8


@pytest.mark.parametrize("task", [Toy(), ToyPairs(), ToyCompletions()])
def test_a_pretrained_model_learns_each_head(shelf: Store, task: Task):
    recipe = Recipe(epochs=10, batch_size=16, head_lr=5.0, lr_scale=3.0, max_tokens=32)
    assert accuracy(setting(task, recipe=recipe).ceiling, shelf) > 0.9


def test_each_step_of_bootstrapping_learns_what_the_last_one_says_of_fresh_examples(shelf: Store):
    s = setting(sizes=Sizes(supervisor=60, student=60, student_sets=2, validation=20, test=40))
    student = Bootstrap("bootstrap", CrossEntropy(), fresh_per_step=True).student(s)
    shelf.ensure(student)
    splits = shelf.get(s.splits)
    first, second = ({e.group for e in splits[name]} for name in ("student", "student_2"))
    assert first.isdisjoint(second)
    assert isinstance(student, Finetune)
    assert student.labels is not None
    assert len(shelf.get(student.labels).answers["student_2"]) == len(splits["student_2"])


def test_a_head_of_two_classes_reads_one_hot_truth(shelf: Store):
    examples = shelf.get(setting().splits)["test"]
    truth = Choice().labels(examples)
    assert {e.label for e in examples} == {0, 1}
    assert truth.tolist() == [[1.0, 0.0] if e.label == 0 else [0.0, 1.0] for e in examples]


# --- evaluations ---------------------------------------------------------------------------------


def agreement(stage: Finetune, said: Predictions, shelf: Store) -> float:
    truth = stage.head.labels(shelf.get(stage.splits)["validation"])
    return float(stage.head.agree(said.answers["validation"], truth).mean())


@pytest.mark.parametrize("task", [Toy(), ToyCompletions()])
@pytest.mark.parametrize("early_stop", ["none", "own_labels"])
def test_every_evaluation_keeps_its_answers(shelf: Store, task: Task, early_stop: EarlyStop):
    stage = setting(task, recipe=replace(RECIPE, early_stop=early_stop)).ceiling
    shelf.ensure(stage)
    evaluations = stage.evaluations(shelf.path(stage))
    final, splits = shelf.get(stage).answers, shelf.get(stage.splits)
    assert list(evaluations) == [3, 6, 9, 12, 15, 18]
    for said in evaluations.values():
        sizes = {name: len(answers) for name, answers in said.answers.items()}
        assert sizes == {name: len(splits[name]) for name in ("validation", "test")}
    scores = {step: agreement(stage, said, shelf) for step, said in evaluations.items()}
    kept = max(scores, key=lambda step: scores[step]) if early_stop != "none" else 18
    for name, said in evaluations[kept].answers.items():
        np.testing.assert_array_equal(said, final[name])
    rows = [json.loads(x) for x in (shelf.path(stage) / "curves.jsonl").read_text().splitlines()]
    told = {r["step"]: r["validation/accuracy_truth"] for r in rows if r["step"] in scores}
    assert told == scores


# --- nothing is lost -----------------------------------------------------------------------------


def ceiling(task: Task, tuning: Tuning, **recipe: str) -> Finetune:
    return setting(task, tuning=tuning, recipe=replace(RECIPE, **recipe)).ceiling


def confident() -> Finetune:
    s = setting(recipe=RECIPE)
    loss = ConfidenceLoss(warmup=0.9)  # so that it matters how far the training was
    return s.finetune("l", labels=s.supervisor, loss=loss)


STAGES = {
    "full": ceiling(Toy(), Full()),
    "best evaluation": ceiling(Toy(), Full(), early_stop="own_labels"),
    "completions": ceiling(ToyCompletions(), Full()),
    "lora": ceiling(Toy(), Lora(rank=2)),
    "probe": ceiling(Toy(), LinearProbe(lr=0.01)),
    "confidence loss": confident(),
    "loss that remembers": replace(confident(), loss=BufferedConfidence(0.9, 0.0, buffer=40)),
}


@pytest.mark.parametrize("which", STAGES)
def test_a_killed_stage_resumes_bit_for_bit(shelf: Store, tmp_path: Path, which: str):
    stage, whole, killed = STAGES[which], tmp_path / "whole", tmp_path / "killed"
    shelf.ensure(*stage.inputs)
    run(stage, whole, shelf)
    with killed_after(steps=10):
        run(stage, killed, shelf, checkpoint_seconds=1e-9)
    assert (killed / "checkpoint.safetensors").exists()
    run(stage, killed, shelf)
    for name in (*RESULT, "evaluations.json", "completions.json"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name


def test_the_trackers_curve_of_a_resumed_stage_has_its_beginning(
    shelf: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stage, logged = ceiling(Toy(), Full()), []
    shelf.ensure(*stage.inputs)
    with killed_after(steps=10):
        run(stage, tmp_path, shelf, checkpoint_seconds=1e-9)
    monkeypatch.setattr(StoreJob, "log", lambda self, row: logged.append(row))
    run(stage, tmp_path, shelf)
    lines = (tmp_path / "curves.jsonl").read_text().splitlines()
    assert logged == list(map(json.loads, lines))


def test_the_record_says_in_which_precision_it_was(shelf: Store, tmp_path: Path):
    stage = ceiling(Toy(), Full())
    facts = run(stage, tmp_path, shelf)
    tokens = facts.pop("tokens_per_text")
    assert 5 < tokens < 10
    assert facts == {
        "device": "cpu",
        "processor": processor("cpu"),
        "precision": "32-true",
        "cut": {},
    }
