"""The moving average of weights: its arithmetic, and that it is what answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from toys import below, job, killed_after, pretrained_store, setting, store

from w2sweep.engine.store import Store
from w2sweep.experiment.controls import AveragedWeights
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.stages import LEARNED, Finetune
from w2sweep.learning.averaging import Average
from w2sweep.learning.learner import Learner
from w2sweep.learning.subjects import subject_of


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


def averaged(seed: int = 0, **recipe: Any) -> Finetune:
    """The toys' smallest rung, finetuned on the truth."""
    s = setting()
    decay = AveragedWeights("ema", CrossEntropy(), decay=0.8).student(s).recipe.ema
    return s.finetune("s", recipe=replace(s.recipe, ema=decay, **recipe), seed=seed)


def parameters(net: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in net.named_parameters()}


def test_what_answers_is_the_average_of_the_weights_of_all_steps(
    shelf: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stage, steps = averaged(), []
    after = Learner.after_step

    def noticed(self: Any, *given: Any) -> None:
        steps.append(parameters(self.net))
        after(self, *given)

    monkeypatch.setattr(Learner, "after_step", noticed)
    new = below(shelf, tmp_path / "store")
    new.ensure(stage)
    splits = new.get(stage.splits)
    with job(tmp_path / "begun", stage, {each: new.get(each) for each in stage.inputs}) as made:
        subject = subject_of(stage, splits, made)
    expected = parameters(subject.net)
    for step, now in enumerate(steps, start=1):
        decay = min(0.8, (1 + step) / (10 + step))
        for name, p in now.items():
            expected[name] = decay * expected[name] + (1 - decay) * p
    assert len(steps) == 12
    kept = load_file(new.path(stage) / LEARNED)
    assert kept.keys() == expected.keys()
    for name, p in kept.items():
        torch.testing.assert_close(p, expected[name], atol=1e-6, rtol=1e-5)
        assert not torch.equal(p, steps[-1][name])
        subject.net.get_parameter(name).data.copy_(p)
    subject.net.eval()
    said = new.get(stage).answers["test"]
    again = subject.answers("test", torch.device("cpu"), 10_000)
    np.testing.assert_allclose(np.asarray(again), np.asarray(said), atol=1e-6)


def test_training_itself_is_that_of_the_naive_student(shelf: Store, tmp_path: Path):
    stage = averaged()
    plain = replace(stage, recipe=replace(stage.recipe, ema=0.0))
    new = below(shelf, tmp_path)
    new.ensure(stage, plain)
    losses = [(new.path(each) / "curves.jsonl").read_text().splitlines() for each in (stage, plain)]
    for one, other in zip(*losses, strict=True):
        assert one.split('"lr"')[0] == other.split('"lr"')[0]
    assert (new.get(stage).answers["test"] != new.get(plain).answers["test"]).any()  # type: ignore[union-attr]


def test_an_average_is_put_in_place_for_a_while_or_for_good():
    net = nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(1.0)
    average = Average(net, 0.5, {})
    net.weight.data.fill_(3.0)
    average.update(1)  # 2/11 of 1.0, and the rest of 3.0
    expected = 3 - 2 * 2 / 11
    with average.in_place():
        assert net.weight.item() == pytest.approx(expected)
    assert net.weight.item() == 3.0
    average.put()
    assert net.weight.item() == pytest.approx(expected)
    assert Average(net, 0.0, {}).values == {}


@pytest.mark.parametrize("early_stop", ["none", "own_labels"])
def test_killed_and_resumed_it_goes_on_with_its_average(
    shelf: Store, tmp_path: Path, early_stop: str
):
    stage = averaged(early_stop=early_stop, evaluations=4)
    whole, killed = (below(shelf, tmp_path / name) for name in ("whole", "killed"))
    whole.ensure(stage)
    with killed_after(7):
        store(killed.root, checkpoint_seconds=1e-9).ensure(stage)
    store(killed.root).ensure(stage)
    for name, said in whole.get(stage).answers.items():
        np.testing.assert_array_equal(np.asarray(killed.get(stage).answers[name]), said)


def test_side_by_side_each_has_an_average_of_its_own(shelf: Store, tmp_path: Path):
    stages = [averaged(seed) for seed in range(3)]
    alone, together = (below(shelf, tmp_path / str(n), together=n) for n in (1, 16))
    alone.ensure(*stages)
    together.ensure(*stages)
    for stage in stages:
        kept = [load_file(each.path(stage) / LEARNED) for each in (alone, together)]
        for name, p in kept[0].items():
            torch.testing.assert_close(kept[1][name], p, atol=2e-5, rtol=1e-4)
