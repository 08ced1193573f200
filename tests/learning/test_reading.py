"""The first phase of generative finetuning: a backbone reads the texts of a split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toys import Toy, ToyCompletions, ToyPairs, pretrained_store, setting
from transformers import AutoTokenizer

from w2sweep.engine.store import Store
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.generative import Generative, Reading
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.splits import Sizes
from w2sweep.experiment.stages import Adapt, Finetune
from w2sweep.learning.loading import load
from w2sweep.learning.pretraining import heldout_loss

GENERATIVE = Generative("generative", CrossEntropy(), Reading(epochs=3, lr_scale=2.0, batch=4))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


def first_phase(stage: object) -> Adapt:
    assert isinstance(stage, Finetune)
    assert isinstance(stage.init, Adapt)
    return stage.init


def loss_of(folder: Path, phase: Adapt, ids: np.ndarray) -> float:
    net = load(phase.backbone, folder, None, 0)
    return heldout_loss(net, ids, 24, next(net.parameters()).device)


def read(shelf: Store, phase: Adapt, name: str) -> list[str]:
    """The documents of a stream."""
    folder = shelf.get(phase.text)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer.decode(np.load(folder / f"{name}.npy")).split("<|endoftext|>")


@pytest.mark.parametrize("task", [Toy(), ToyPairs(), ToyCompletions()])
def test_exactly_the_texts_of_the_students_split_are_read(shelf: Store, task: Toy):
    s = setting(task)
    phase = first_phase(GENERATIVE.student(s))
    shelf.ensure(phase.text)
    splits = shelf.get(s.splits)
    for name, split in {"train": "student", "heldout": "validation"}.items():
        expected = {view for e in splits[split] for view in e.views}
        found = [text.strip() for text in read(shelf, phase, name)]
        assert found[0] == ""
        assert set(found[1:]) == expected
        assert len(found) - 1 == len(expected)


def test_the_loss_falls_on_what_is_read_and_the_tokenizer_stays(shelf: Store):
    s = setting()
    phase = first_phase(GENERATIVE.student(s))
    shelf.ensure(phase)
    before, after = shelf.get(s.pretrained("l")), shelf.get(phase)  # type: ignore[arg-type]
    ids = np.load(shelf.get(phase.text) / "train.npy")
    assert loss_of(after, phase, ids) < loss_of(before, phase, ids) - 0.1
    assert (after / "tokenizer.json").read_text() == (before / "tokenizer.json").read_text()
    facts = json.loads((after / "pretrain.json").read_text())
    steps = -(-3 * len(ids) // (4 * 24))
    assert facts["tokens"] == steps * 4 * 24


def test_fewer_tokens_than_a_window_are_read_again_and_again(shelf: Store):
    s = setting(sizes=Sizes(supervisor=8, student=2, validation=2, test=8))
    phase = first_phase(GENERATIVE.student(s))
    shelf.ensure(phase)
    ids = np.load(shelf.get(phase.text) / "train.npy")
    tokenizer = AutoTokenizer.from_pretrained(shelf.get(phase.text))
    texts = [view for e in shelf.get(s.splits)["student"] for view in e.views]
    once = [token for text in texts for token in tokenizer(text)["input_ids"]]
    assert len(once) < len(ids) == 24 + 2  # a window, and what its last token and offset need
    assert ids.tolist() == [once[i % len(once)] for i in range(26)]


def test_student_and_both_ceilings_are_trained(shelf: Store):
    cell = Cell(setting(ToyPairs()), GENERATIVE)
    shelf.ensure(*cell.compared.values())
    said = {role: shelf.get(stage).answers["test"] for role, stage in cell.compared.items()}
    assert said.keys() == {"supervisor", "student", "ceiling", "ceiling_generative"}
    assert not np.array_equal(said["ceiling"], said["ceiling_generative"])
