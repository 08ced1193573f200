"""The atlas: power laws, what a probe finds, and a page of a world and of the ladder that has read it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toys import rung, setting, store

from w2sweep.analyses.atlas import atlas
from w2sweep.analyses.heldout_losses import HeldOutLosses
from w2sweep.analyses.knowledge import Bin, by_rank, overall, probe, questions
from w2sweep.analyses.power_law import PowerLaw, Scaling
from w2sweep.engine.store import Store
from w2sweep.experiment.setting import Setting
from w2sweep.lab.text.tasks import Sentiment
from w2sweep.lab.text.world import World
from w2sweep.tasks.example import Example
from w2sweep.tasks.heads import Choice
from w2sweep.tasks.task import Corpus
from w2sweep.values import ConfigError, value

# --- power laws --------------------------------------------------------------------------------

COMPUTE = np.array([1e9, 5e9, 4e10, 3e11, 3e12])


def ladder(loss: np.ndarray) -> HeldOutLosses:
    """Losses [R, S] of rungs that differ in nothing else that counts."""
    rungs = [f"rung {r}" for r in range(len(loss))]
    x = COMPUTE[: len(loss)]
    return HeldOutLosses(rungs, range(loss.shape[1]), parameters=x, tokens=x, compute=x, loss=loss)


@pytest.mark.parametrize(("floor", "exponent"), [(1.4, 0.3), (0.5, 0.1), (0.0, 0.05)])
def test_a_power_law_is_recovered(floor: float, exponent: float):
    law = PowerLaw.fit(COMPUTE, floor + 1.2 * (COMPUTE / 1e9) ** -exponent)
    assert law is not None
    assert law.floor == pytest.approx(floor, abs=0.02)
    assert law.scale == pytest.approx(1.2, abs=0.02)
    assert law.exponent == pytest.approx(exponent, rel=0.02)


def test_no_floor_is_below_zero():
    law = PowerLaw.fit(COMPUTE, 3 - 0.05 * np.log10(COMPUTE / 1e9) ** 2)  # falls faster and faster
    assert law is not None
    assert law.floor == 0


def test_three_rungs_are_too_few():
    assert PowerLaw.fit(COMPUTE[:3], [3, 2, 1.5]) is None
    assert Scaling.of(ladder(np.array([[3.0], [2.0], [1.5]])), "compute") is None


@pytest.mark.parametrize(
    ("bump", "noise", "says"),
    [
        (0.0, 0.01, "a power law within noise"),
        (0.1, 0.01, "no exact power law"),
        (0.1, 0.0, "one seed cannot say"),
    ],
)
def test_it_says_whether_noise_explains_what_the_law_does_not(bump: float, noise: float, says: str):
    loss = 1.4 + 1.2 * (COMPUTE / 1e9) ** -0.3 + bump * np.array([0, 1, -1, 1, 0])
    seeds = [-noise, noise] if noise else [0.0]  # whose mean is the law itself
    scaling = Scaling.of(ladder(loss[:, None] + seeds), "compute")
    assert scaling is not None
    assert says in scaling.verdict
    assert scaling.spread == (pytest.approx(noise * 2**0.5) if noise else None)


# --- what is known -----------------------------------------------------------------------------


def test_a_probe_finds_the_words_that_are_known_and_only_those():
    rng = np.random.default_rng(0)
    rank = np.repeat(np.arange(400), 3)
    meaning, cluster = rng.integers(0, 2, 400), rng.permutation(400) % 40
    known = np.arange(400) < 200
    hidden = rng.normal(size=(400, 8))
    hidden[:, 0] = np.where(known, 4.0 * (2 * meaning - 1), 0) + rng.normal(size=400)
    right = probe(hidden[rank], meaning[rank], cluster[rank])
    bins = list(by_rank(right, rank, 400))
    assert [(first, last, words) for first, last, words, _ in bins] == [
        (0, 25, 25), (25, 50, 25), (50, 100, 50), (100, 200, 100), (200, 400, 200)
    ]  # fmt: skip
    accuracies = [accuracy for *_, accuracy in bins]
    assert min(accuracies[:4]) > 0.95
    assert 0.4 < accuracies[4] < 0.6


def test_recognizing_words_is_not_knowing_them():
    """Features that tell words apart and nothing else: other clusters' words teach nothing."""
    rank = np.repeat(np.arange(200), 5)
    rng = np.random.default_rng(0)
    meaning = np.arange(200) % 2
    right = probe(
        np.eye(200)[rank], meaning[rank], (rng.permutation(100)[np.arange(200) // 2] // 5)[rank]
    )
    assert right.mean() < 0.6


def test_every_word_counts_alike():
    bins = [
        Bin("adjectives", "nano", seed, 1, 10, words, a)
        for seed, words, a in [(0, 10, 1.0), (0, 30, 0.6)]
    ]
    assert overall(bins, "adjectives", "nano") == [pytest.approx(0.7)]
    ((_, _, words, accuracy),) = by_rank(
        np.array([True, True, True, False]), np.array([8, 8, 8, 9]), 16
    )
    assert (words, accuracy) == (2, 0.5)


def test_a_word_is_asked_about_where_it_stands_last_and_alone():
    adjectives, entities = questions(World(seed=0))
    a, b = adjectives.words[:2]
    texts = [
        f"the x was {b}",
        f"it is {a} and {b}",
        f"it is {a} though",
        f"the x of {entities.words[0]}",
    ]
    split = {"test": [Example.of(text, label=0) for text in texts]}
    rank, hidden = adjectives.asked(
        split, {"test": np.arange(4.0, dtype=np.float32).reshape(4, 1, 1)}
    )
    assert (rank.tolist(), hidden.tolist()) == ([1], [[0.0]])


# --- the page ----------------------------------------------------------------------------------


def worlds(seeds: range) -> Iterator[Setting]:
    for seed in seeds:
        world = World(seed=seed, adjectives=96, entities=192, tokens=30_000)
        task = Sentiment(name="sentiment", world=world, head=Choice(init="zero"))
        s = setting(task, seed=seed)
        widths = {"s": 8, "m": 12, "l": 24}
        rungs = {name: rung(width, tokens=4_000) for name, width in widths.items()}
        yield replace(s, ladder=replace(s.ladder, rungs=rungs, pretrain_seed=seed))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    folder = tmp_path_factory.mktemp("atlas")
    shelf = store(folder / "store")
    atlas(list(worlds(range(2))), shelf, folder / "page")
    return shelf, folder / "page"


def rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


def test_the_page_has_all_sections_and_needs_nothing_else(made: tuple[Store, Path]):
    page = (made[1] / "index.html").read_text()
    sections = ("The ladder", "Held-out loss along the ladder", "What each rung knows")
    samples = ("dialogues", "reviews", "articles", "answer 0")
    for section in (*sections, *samples, "knows adjectives", "too few rungs"):
        assert section in page
    assert page.count("<svg") == 2
    assert re.search(r'(src|href)="(?!#)(?!\w+\.(csv|png|svg|txt)")', page) is None
    files = {f.name for f in made[1].iterdir()}
    assert files == {"index.html", "samples.txt", "losses.csv", "knowledge.csv"} | {
        f"{name}.{kind}" for name in ("losses", "knowledge") for kind in ("png", "svg")
    }


def test_its_numbers_are_of_all_rungs_and_seeds(made: tuple[Store, Path]):
    losses, knowledge = rows(made[1] / "losses.csv"), rows(made[1] / "knowledge.csv")
    assert [(r["rung"], r["seed"]) for r in losses] == [(r, s) for r in "sml" for s in "01"]
    assert {r["rung"] for r in knowledge} == {"s", "m", "l", "untrained"}
    assert {r["kind"] for r in knowledge} == {"adjectives", "entities"}
    assert all(0 <= float(r["accuracy"]) <= 1 for r in knowledge)


def test_it_is_drawn_again_without_training_and_to_the_same_bytes(
    made: tuple[Store, Path], tmp_path: Path
):
    shelf, page = made
    atlas(list(worlds(range(2))), Store(shelf.root, mode="read-only"), tmp_path / "page")
    for file in page.iterdir():
        assert file.read_bytes() == (tmp_path / "page" / file.name).read_bytes(), file.name


@value
class Hostile(Corpus):
    def documents(self) -> Iterator[str]:
        for n in range(200):
            yield f"<script>alert({n})</script> & so on and on and on"


def test_texts_are_escaped_and_what_no_world_is_asks_for_no_knowledge(tmp_path: Path):
    s = setting()
    s = replace(s, ladder=replace(s.ladder, corpus=Hostile(), rungs={"<s>": rung(8, tokens=4_000)}))
    page = atlas([s], store(tmp_path / "store"), tmp_path / "page").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; so on" in page
    assert "&lt;s&gt;" in page
    assert "What each rung knows" not in page
    assert not (tmp_path / "page" / "knowledge.csv").exists()


def test_settings_that_differ_in_more_than_the_seed_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="several worlds of seed 0"):
        atlas([setting(), setting()], store(tmp_path), tmp_path / "page")
