"""Ensembles of supervisors: what they say together, and of whom they are. Nothing trains here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toys import Toy, ToyCompletions, job, setting

from w2sweep.engine.stage import Stage, identity
from w2sweep.experiment.ensembles import Bag, Ensemble, MeanOfSupervisors, Raven, combined
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.supervision import Weak
from w2sweep.values import Impossible

CE = CrossEntropy()


def test_the_mean_is_one_of_probabilities():
    said = [np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.3, 0.7], [0.4, 0.6]])]
    assert combined(said).tolist() == [  # type: ignore[union-attr]
        [pytest.approx(0.6), pytest.approx(0.4)],
        [pytest.approx(0.3), pytest.approx(0.7)],
    ]


def test_completions_are_voted_on_and_the_first_breaks_ties():
    assert combined([["a", "x"], ["b", "y"], ["b", "z"]]) == ["b", "x"]


def test_an_ensemble_speaks_of_every_split_that_its_members_speak_of(tmp_path: Path):
    s = setting()
    members = MeanOfSupervisors("mean", CE, over="seeds", members=2).supervisors(s)
    stage = Ensemble(members)
    said = [{"student": np.full((2, 2), p), "test": np.full((1, 2), 1 - p)} for p in (0.0, 0.5)]
    results: dict[Stage, Predictions] = {
        member: Predictions(its) for member, its in zip(members, said, strict=True)
    }
    with job(tmp_path, stage, results) as made:
        stage.run(made)
    found = Predictions.load(tmp_path).answers
    assert {name: np.asarray(its).tolist() for name, its in found.items()} == {
        "student": [[0.25, 0.25]] * 2,
        "test": [[0.75, 0.75]],
    }
    assert stage.label == "mean of 2 s"


def test_a_bag_is_a_bootstrap_sample(tmp_path: Path):
    s = setting()
    stage = Bag(s.splits, "supervisor", 3)
    examples = {"supervisor": list(range(1000))}
    with job(tmp_path, stage, {s.splits: examples}) as made:
        stage.run(made)
    rows = stage.read(tmp_path)
    assert (len(rows), list(rows)) == (1000, sorted(rows))
    assert 0.60 < len(set(rows)) / 1000 < 0.66  # 1 - 1/e
    assert Bag(s.splits, "supervisor", 4) != stage


def test_members_differ_in_one_thing():
    s = setting(weak="m")
    seeds = MeanOfSupervisors("mean", CE, over="seeds", members=3).supervisors(s)
    assert seeds[0] == s.weak_model
    assert [member.seed for member in seeds] == [0, 1000, 2000]
    bags = MeanOfSupervisors("mean", CE, over="bags", members=2).supervisors(s)
    assert {member.seed for member in bags} == {0}
    assert [member.role for member in bags] == ["supervisor"] * 2
    assert len({member.rows for member in bags}) == 2
    rungs = MeanOfSupervisors("mean", CE, over="rungs").supervisors(s)
    assert [member.label for member in rungs] == ["s", "m"]
    for member in (*seeds, *bags, *rungs):
        assert (member.on, member.labels) == ("supervisor", None)


def test_the_student_of_a_raven_learns_from_all_and_its_key_says_so():
    s = setting()
    mean = MeanOfSupervisors("mean", CE, over="bags", members=2).student(s)
    raven = Raven("raven", CE, over="bags", members=2, lr=0.5).student(s)
    assert raven.weighing is not None
    assert set(raven.weighing.supervisors) <= set(raven.inputs)
    assert raven.labels == mean.labels
    assert raven.key != mean.key
    assert "weighing" not in identity(mean)


def test_what_cannot_be_an_ensemble_says_why():
    mean = MeanOfSupervisors("mean", CE, over="rungs")
    with pytest.raises(Impossible, match="s is the first of ladder toys: raise weak"):
        mean.student(setting())
    with pytest.raises(Impossible, match="use supervision=weak without noise"):
        mean.student(setting(Toy(), weak="m", supervision=Weak(noise=0.1)))
    with pytest.raises(Impossible, match="toy_completions generates completions"):
        Raven("raven", CE, over="seeds").student(setting(ToyCompletions()))
