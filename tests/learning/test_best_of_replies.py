"""Replies that language models write, what reward models say of them, and what a cell makes of
it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from toys import (
    BAD,
    GOOD,
    Toy,
    ToyCompletions,
    ToyPairs,
    job,
    place,
    pretrained_store,
    sentence,
    setting,
)

from w2sweep.engine.store import Store
from w2sweep.experiment.best_of import BestOf, Scored
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.ladder import HubRung, Ladder
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Naive
from w2sweep.experiment.supervision import Simulated
from w2sweep.experiment.tuning import LinearProbe
from w2sweep.experiment.weights import Weights
from w2sweep.learning.best_of import written
from w2sweep.learning.loading import load
from w2sweep.results.cell import Result, read
from w2sweep.sweep import comparison
from w2sweep.tasks.example import Example
from w2sweep.values import ConfigError, Impossible, named, value

NAIVE = Naive("naive", CrossEntropy())
FEW = BestOf(questions=3, replies=40, largest=8)


@value
class ToyReplies(ToyPairs):
    """Pairs whose replies may be anybody's: a good one names a good thing."""

    name: str = named(default="toy_replies")
    respects: ClassVar = {"goodness": 1.0}
    reply_words: ClassVar[int] = 3

    def questions(self, rng: np.random.Generator, n: int) -> list[str]:
        return [str(rng.choice(["the", "that", "this"])) for _ in range(n)]

    def replies(
        self, rng: np.random.Generator, question: str, n: int, held_out: Sequence[Example]
    ) -> list[str]:
        assert len(held_out) == 64  # the test split
        return [sentence(rng, i % 2) for i in range(n)]

    def judged(self, question: str, replies: Sequence[str]) -> np.ndarray:
        return np.array(
            [[reply.split()[-1:][0] in GOOD] if reply else [False] for reply in replies]
        )


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return pretrained_store(tmp_path_factory.getbasetemp() / "toys")


@pytest.mark.parametrize("tuning", [None, LinearProbe()], ids=["full", "probe"])
def test_scores_are_what_the_model_compares_pairs_by(tmp_path: Path, shelf: Store, tuning):
    s = setting(ToyReplies(), **({"tuning": tuning} if tuning else {}))
    weights = Weights(s.finetune("s", on="supervisor"))
    scored = Scored(weights, FEW.candidates(s))
    shelf.ensure(weights, scored.candidates)
    examples = shelf.get(s.splits)["test"][:20]
    judged = replace(shelf.get(scored.candidates), marks=np.zeros((20, 1, 1), dtype=bool))
    found = []
    for view in (0, 1):  # as if each view of a pair were a reply to its first word
        firsts, rest = zip(*(e.views[view].split(maxsplit=1) for e in examples), strict=True)
        asked = replace(judged, questions=list(firsts), replies=[[reply] for reply in rest])
        given = {scored.candidates: asked, weights: shelf.get(weights)}
        with job(tmp_path / str(view), scored, given) as made:
            scored.run(made)
        found.append(scored.read(tmp_path / str(view))[:, 0])
    said = np.asarray(shelf.get(weights.of).answers["test"])[:20]
    expected = np.log(said[:, 1]) - np.log(said[:, 0])
    assert found[1] - found[0] == pytest.approx(expected, abs=1e-4)
    assert np.abs(expected).max() > 0.05


def test_what_a_model_writes_is_as_likely_as_it_says(shelf: Store):
    s = setting()
    stage = s.pretrained("l")
    assert stage is not None
    net = load(stage.backbone, shelf.get(stage), None, 0).eval()
    prompt = net.tokenizer("the new sun")["input_ids"]
    n = 4000
    chances = torch.from_numpy((np.arange(n)[:, None] + 0.5) / n).float()
    said = written(net, prompt, chances, 1.0, budget=1 << 20)
    with torch.no_grad():
        logits = net.lm(input_ids=torch.tensor([prompt])).logits[0, -1]
    for temperature, texts in ((1.0, said), (3.0, written(net, prompt, chances, 3.0, 1 << 20))):
        likely = (logits / temperature).softmax(-1)
        for word in ("is", "the", *GOOD[:2], *BAD[:2]):
            [token] = net.tokenizer(word, add_special_tokens=False)["input_ids"]
            assert texts.count(word) / n == pytest.approx(float(likely[token]), abs=2 / n)
    several = torch.from_numpy(np.random.default_rng(0).random((50, 4))).float()
    whole = written(net, prompt, several, 5.0, budget=1 << 20)
    assert written(net, prompt, several, 5.0, budget=20) == whole
    assert len(set(whole)) > 10


def test_a_cell_says_how_good_the_chosen_replies_are(tmp_path: Path, shelf: Store):
    cell = Cell(setting(ToyReplies()), NAIVE, best_of=FEW)
    folder = tmp_path / "cell"
    assert comparison.run(cell, place(), shelf, folder)
    said = read(folder)
    assert isinstance(said, Result)
    found = said.best_of
    assert found is not None
    assert (found.n, found.replies, found.written_by) == ([1, 2, 4, 8], 40, "the task")
    assert set(found.stages) == {"supervisor", "student", "ceiling"}
    for who in (*found.stages, "truth"):
        assert found.means(who)[0] == pytest.approx(0, abs=1e-9)  # half of the replies are good
    assert found.means("truth")[-1] > 0.98
    assert found.means("ceiling")[-1] > 0.8
    assert np.mean(found.good["truth"]["goodness"]) > 0.8
    assert comparison.current(cell, place(), shelf, folder)
    other = Cell(cell.setting, NAIVE, best_of=replace(FEW, questions=4))
    assert not comparison.current(other, place(), shelf, folder)


def test_other_replies_are_other_stages_and_the_models_stay():
    s = setting(ToyReplies())
    plain, cell = Cell(s, NAIVE), Cell(s, NAIVE, best_of=FEW)
    assert cell.student.key == plain.student.key
    by_model = replace(FEW, writer="m")
    keys = {
        of.candidates(s).key
        for of in (FEW, by_model, replace(by_model, temperature=2.0), replace(FEW, questions=4))
    }
    assert len(keys) == 4
    # from how many is chosen, and a temperature at which nobody writes, change no reply
    assert replace(FEW, largest=4, temperature=2.0).candidates(s).key == FEW.candidates(s).key


@pytest.mark.parametrize("task", [Toy(), ToyPairs(), ToyCompletions()], ids=lambda t: t.name)
def test_tasks_that_know_no_quality_are_refused(task):
    with pytest.raises(Impossible, match=rf"task {task.name} is not such a one: use task=pref"):
        Cell(setting(task), NAIVE, best_of=FEW)


def test_what_is_impossible_is_said_before_anything_runs():
    s = setting(ToyReplies())
    with pytest.raises(ConfigError, match=r"best_of\.writer: .*'huge'"):
        Cell(s, NAIVE, best_of=replace(FEW, writer="huge"))
    hub = Ladder("hub", {name: HubRung(1e-4, "org/model", 1000, 1000) for name in "sl"}, None)
    with pytest.raises(ConfigError, match=r"best_of\.writer: found l, which has not read"):
        Cell(replace(s, ladder=hub), NAIVE, best_of=replace(FEW, writer="l"))
    with pytest.raises(ConfigError, match="largest: found 8, but of 4 replies no more"):
        replace(FEW, replies=4)
    with pytest.raises(Impossible, match="best_of needs models that were finetuned"):
        Cell(replace(s, supervision=Simulated("random", 0.1)), NAIVE, best_of=FEW)
