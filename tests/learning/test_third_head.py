"""A head of a third kind, of this file alone: nothing in the package knows of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from toys import Toy, made, place, pretrained_store, sentence, setting

from w2sweep.engine.stage import identity
from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Naive
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.tuning import Full, LinearProbe, Tuning
from w2sweep.experiment.weights import Weights
from w2sweep.results.cell import Result, read
from w2sweep.sweep import comparison
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice, Head, LinearHead
from w2sweep.values import Count, named, value


@value
class Ordinal(LinearHead):
    """One of K classes in an order, by K - 1 outputs: output k is the log-odds of class k + 1
    against class k."""

    classes: Count = 3
    init: Literal["unembedding", "zero"] = "zero"

    @property
    def words(self) -> list[str]:
        return [str(k) for k in range(1, self.classes)]

    def logits(self, outputs: torch.Tensor) -> torch.Tensor:
        """[B, 1, K - 1] -> [B, K]."""
        steps = outputs.flatten(1)
        return torch.cat([torch.zeros_like(steps[:, :1]), steps.cumsum(-1)], -1)


@value
class Grades(Toy):
    """How many of two nouns are good things."""

    name: str = named(default="grades")
    head: Head = named(default=Ordinal())
    family: ClassVar = "nlp"

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(2)
        for i in range(400):
            grade = i % 3
            first, second = (sentence(rng, int(k < grade)) for k in range(2))
            yield made((f"{first} {second}",), grade, i)


RECIPE = Recipe(epochs=6, batch_size=16, head_lr=5.0, lr_scale=3.0, max_tokens=32, evaluations=2)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


def test_its_logits_add_up_steps():
    said = Ordinal().logits(torch.tensor([[[2.0, -3.0]]]))
    assert said.tolist() == [[0.0, 2.0, -1.0]]


@pytest.mark.parametrize("tuning", [Full(), LinearProbe(lr=0.1)])
def test_it_learns_and_is_saved(shelf: Store, tuning: Tuning):
    epochs = 60 if isinstance(tuning, LinearProbe) else 6
    stage = setting(Grades(), tuning=tuning, recipe=replace(RECIPE, epochs=epochs)).ceiling
    shelf.ensure(stage, Weights(stage))
    said, examples = shelf.get(stage).answers["test"], shelf.get(stage.splits)["test"]
    assert np.asarray(said).shape == (len(examples), 3)
    assert stage.head.correct(said, examples).mean() > 0.7
    facts = (shelf.get(Weights(stage)) / "head.json").read_text()
    assert f'"is": "{Ordinal.__module__}.Ordinal"' in facts


def test_it_goes_through_a_whole_cell(shelf: Store, tmp_path: Path):
    cell = Cell(setting(Grades(), recipe=RECIPE), Naive("naive", CrossEntropy()))
    assert comparison.run(cell, place(task="grades"), shelf, tmp_path)
    result = read(tmp_path)
    assert isinstance(result, Result)
    assert result.models.keys() == {"supervisor", "student", "ceiling"}
    assert result.accuracy("ceiling") > 0.7
    said, examples = shelf.get(cell.setting.ceiling).answers["test"], shelf.get(cell.setting.splits)
    labels = np.array([e.label for e in examples["test"]])
    assert result.accuracy("ceiling") == (np.asarray(said).argmax(1) == labels).mean()


def test_it_is_known_by_its_path_and_is_another_head_than_a_choice():
    ordinal, choice = (setting(Grades(head=h)).ceiling for h in (Ordinal(), Choice(classes=3)))
    assert identity(ordinal)["head"]["is"] == f"{Ordinal.__module__}.Ordinal"
    assert ordinal.key != choice.key
    assert ordinal.splits.key == choice.splits.key
