"""Which truth methods read: that of the supervisor's half, and of the examples that they say they
spend. All other labels are turned, and no student changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toys import pretrained_store, setting, store

from w2sweep.engine.stage import Job
from w2sweep.engine.store import Store
from w2sweep.experiment.easy_to_hard import EasyToHard
from w2sweep.experiment.ensembles import Raven
from w2sweep.experiment.few_labels import MixedTruth, Spending, WeakThenTrue, labelled
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Method
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.refinement import LabelRefinement
from w2sweep.experiment.setting import Setting
from w2sweep.experiment.splits import Splits, read_examples, write_examples
from w2sweep.experiment.trust import TrustFilter
from w2sweep.tasks.example import Example

CE = CrossEntropy()
SHORT = Recipe(epochs=1, batch_size=16, head_lr=5.0, max_tokens=32, evaluations=1)
METHODS: list[Method] = [
    Raven("raven", CE, over="bags", members=2, agreed=0.0),
    MixedTruth("mixed_truth", CE, 0.2),
    WeakThenTrue("weak_then_true", CE, 0.2),
    TrustFilter("trust_and_truth", CE, 0.2, with_known=True),
    LabelRefinement("refined", CE, rounds=1, comparer="weak"),
]
"""One of each kind of stage that could read a label."""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


def brief() -> Setting:
    return setting(recipe=SHORT, strong="m")


def turned(root: Path, shelf: Store, known: Sequence[int], mine: bool) -> Store:
    """A new store, in which labels of the examples that a supervisor has not learned are turned:
    all but those known, or (`mine`) those alone."""
    new = store(root)
    for folder in ("Text", "Adapt"):
        (root / folder).symlink_to(shelf.root / folder)
    made = Splits.run

    def run(stage: Splits, job: Job) -> None:
        made(stage, job)
        for name in ("student", "validation", "test"):
            rows = set(known) if name == "student" else set()
            examples = read_examples(job.out / f"{name}.jsonl")
            other = [_turned(e) if (n in rows) == mine else e for n, e in enumerate(examples)]
            write_examples(job.out / f"{name}.jsonl", other)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Splits, "run", run)
        new.ensure(brief().splits)
    return new


def _turned(e: Example) -> Example:
    return replace(e, label=1 - int(e.label))


def plain(root: Path, shelf: Store) -> Store:
    new = store(root)
    for folder in ("Splits", "Text", "Adapt"):
        (root / folder).symlink_to(shelf.root / folder)
    return new


def answers(of: Store, methods: Sequence[Method]) -> dict[str, np.ndarray]:
    """What the student of each method says of the test split."""
    students = {method.name: method.student(brief()) for method in methods}
    of.ensure(*students.values())
    return {name: np.asarray(of.get(s).answers["test"]) for name, s in students.items()}


def test_no_method_reads_more_truth_than_it_says(shelf: Store, tmp_path: Path):
    s = brief()
    given = plain(tmp_path / "given", shelf)
    slice_ = labelled(s, 0.2)
    given.ensure(slice_)
    known = given.get(slice_).tolist()
    assert len(known) == 19  # of 96
    others = turned(tmp_path / "others", shelf, known, mine=False)
    assert others.get(s.splits)["student"] != given.get(s.splits)["student"]
    found, same = answers(given, METHODS), answers(others, METHODS)
    for name, said in found.items():
        np.testing.assert_allclose(same[name], said, atol=1e-6, err_msg=name)  # rounding alone
    spending = [method for method in METHODS if isinstance(method, Spending)]
    for method in METHODS:
        assert method.true_labels(s) == (19 if method in spending else 0)
    mine = answers(turned(tmp_path / "mine", shelf, known, mine=True), spending)
    for name, said in mine.items():
        assert np.abs(said - found[name]).max() > 1e-4, name


def test_a_student_of_the_truth_says_so():
    s = setting()
    assert EasyToHard("easy", CE, "easy", labels="truth", share=0.5).true_labels(s) == 48
    assert EasyToHard("easy", CE, "easy", labels="weak", share=0.5).true_labels(s) == 0
