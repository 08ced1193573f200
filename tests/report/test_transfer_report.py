"""What a report says of transfer, of sweeps whose losses follow a known law."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from fake_sweep import change, fake_sweep, record

from w2sweep.report.publishing import report
from w2sweep.report.summary import summarize
from w2sweep.report.transfer import Transfers, transfer
from w2sweep.results.cell import LanguageModel, Result
from w2sweep.results.sweep_folder import read_sweep

RUNGS = {"nano": 1e3, "micro": 4e3, "mini": 2e4}
READ = (10_000, 30_000, 100_000)
ALPHA, BETA = 0.4, 0.25
WORTH = {"{review:1}": 30.0, "{article:1}": 10.0}
"""Pretraining text -> k."""


def loss(tokens: float, seed: int) -> float:
    """From scratch: linear in the logarithm of tokens, so that interpolation is exact."""
    return 9.0 - math.log(tokens) / 2 + 0.01 * seed


def transferred(genres: str, tokens: int, rung: str) -> float:
    return WORTH[genres] * tokens**ALPHA * RUNGS[rung] ** BETA


def models(rung: str, genres: str, tokens: int, seed: int, role: str) -> dict[str, LanguageModel]:
    own = loss(tokens, seed)
    # the largest number of tokens is where pretraining costs
    worth = transferred(genres, tokens, rung)
    better = own + 0.1 if tokens == READ[-1] else loss(tokens + worth, seed)
    scratch = LanguageModel(stage="Adapt/s", rung=rung, tokens=tokens, before=0, loss=own)
    adapted = replace(scratch, stage=f"Adapt/{genres}", before=500_000, loss=better)
    return {f"{role}_adapted": adapted, f"{role}_scratch": scratch}


def records(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    grid = product(READ, WORTH)
    variants = [{"method.tokens": str(d), "task.world.genres": genres} for d, genres in grid]
    tasks, folder = {"sentiment": "nlp"}, tmp_path_factory.mktemp("transfer") / "transfer"
    methods = ("transfer",)
    fake_sweep(folder, tasks=tasks, ladder=RUNGS, methods=methods, variants=variants, n_test=50)
    for cell in folder.iterdir():
        found = record(cell) if cell.is_dir() else None
        if not isinstance(found, Result):
            continue
        tokens, genres = int(found.variant["method.tokens"]), found.variant["task.world.genres"]
        weak = models(found.weak, genres, tokens, found.seed, "weak")
        strong = models(found.strong, genres, tokens, found.seed, "ceiling")
        change(cell, found, language_models=weak | strong)
    return folder


@pytest.fixture(scope="module")
def found(sweep: Path) -> Transfers:
    told = transfer(summarize(read_sweep(sweep)))
    assert told is not None
    return told


def test_each_rung_stands_there_once_for_each_text_and_number_of_tokens(found: Transfers):
    assert len(found.gains) == len(RUNGS) * len(WORTH) * len(READ)
    rungs = [gain.pair.adapted.rung for gain in found.of(found.places[0])]
    assert rungs == [rung for rung in RUNGS for _ in READ]


def test_the_law_of_each_pretraining_text_is_found_again(found: Transfers):
    mixtures = [law.mixture for law in found.laws]
    assert mixtures == [f"task.world.genres={genres}" for genres in WORTH]
    for of, k in zip(found.laws, WORTH.values(), strict=True):
        assert of.law is not None
        exponents = [of.law.alpha.value, of.law.beta.value]
        assert exponents == pytest.approx([ALPHA, BETA])
        assert of.law.k.value == pytest.approx(k)
        # two seeds, three rungs, and two of three numbers of tokens: after the most it has cost
        assert (of.law.points, of.negative, of.below, of.above) == (12, 6, 0, 0)


def test_ossification_is_what_seeds_agree_on(found: Transfers):
    ossified = {gain.tokens for gain in found.gains if gain.ossified}
    assert ossified == {READ[-1]}
    worse = [gain.worse for gain in found.gains if gain.tokens == READ[-1]]
    assert [w.value for w in worse] == pytest.approx([0.1] * len(worse))


def test_a_report_has_tables_and_figures_of_transfer(sweep: Path):
    made = report(sweep)
    names = {figure.stem for figure in made.figures}
    assert {"transfer_losses", "transfer_data", "transfer_frontier"} <= names
    folder = sweep / "report"
    laws = records(folder / "transfer_laws.csv")
    assert [float(law["alpha"]) for law in laws] == pytest.approx([ALPHA] * 2)
    gains = records(folder / "transfer.csv")
    one = next(g for g in gains if g["rung"] == "micro" and g["tokens"] == "30000")
    assert float(one["transferred"]) == pytest.approx(transferred("{review:1}", 30_000, "micro"))
    assert float(one["target_compute"]) == 6 * 4_000 * 30_000
    assert float(one["whole_compute"]) == 6 * 4_000 * 530_000
    page = (folder / "index.html").read_text("utf-8")
    assert "Effective data transferred" in page
    assert "0.40 [0.40, 0.40]" in page


def test_sweeps_without_language_models_say_nothing_of_it(tmp_path: Path):
    tasks = {"sentiment": "nlp"}
    fake_sweep(tmp_path / "plain", tasks=tasks, ladder=RUNGS, methods=("naive",))
    assert transfer(summarize(read_sweep(tmp_path / "plain"))) is None
