"""The zoo of a sweep: from cells to paired differences over tasks, the table and the figure."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import REPOSITORY
from fake_sweep import finished
from matplotlib.axes import Axes
from scipy import stats
from toys import place

from w2sweep.engine.files import write_json
from w2sweep.report import report
from w2sweep.report.outcomes import outcomes
from w2sweep.report.summary import summarize
from w2sweep.report.zoo import EVERYWHERE, zoo
from w2sweep.results.cell import Result
from w2sweep.results.cost import Cost
from w2sweep.results.sweep_folder import read_sweep

TASKS = {"sentiment": "nlp", "preference": "reward", "mate": "chess"}
KINDS = {"scratch": "control", "few_shot_truth": "oracle"}
OTHERS = ("better", "worse", "same", "half", *KINDS)
RIGHT = {"naive": 140, "same": 140, "half": 138, "better": 160, "worse": 125, "scratch": 90}
RIGHT |= {"few_shot_truth": 165}
"""Method -> of 200 test examples, how many are answered rightly, give or take what seeds differ."""
N, WEAK, CEILING = 200, 110, 180
SEEDS, STEPS = 6, {"naive": 150, "worse": 450}
HALF = ("half", "preference")
COMMAND = "w2sweep -cn zoo 'seed=range(0,6)' store=here hydra.sweep.dir=there runtime.together=8"
LADDER = {"nano": 1.7e3, "small": 1.0e5}


def answers(right: int) -> np.ndarray:
    return (np.arange(N) < right).astype(np.uint8)


def result(task: str, method: str, seed: int) -> Result:
    """`same` is the naive student itself, `half` can do two tasks of three, and `worse` is below
    its supervisor on one seed."""
    axes = {"ladder": "lab", "weak": "nano", "strong": "small", "seed": seed}
    at = place(task=task, family=TASKS[task], method=method, **axes)
    noise = np.random.default_rng([seed, sorted(RIGHT).index(method)]).integers(-3, 4)
    right = RIGHT[method] + (0 if method in ("naive", "same") else int(noise))
    right = 100 if (method, task, seed) == ("worse", "mate", 2) else right
    correct = {"supervisor": answers(WEAK), "student": answers(right), "ceiling": answers(CEILING)}
    found = finished(at, LADDER, correct)
    stage = "naive" if method == "same" else method
    student = replace(found.models["student"], stage=f"Finetune/{stage}")
    steps = STEPS.get(method, 150)
    return replace(
        found,
        models={**found.models, "student": student},
        kind=KINDS.get(method, "method"),
        true_labels=80 if method == "few_shot_truth" else 0,
        cost=Cost(steps=steps, flops=2e9 * steps),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweeps") / "zoo"
    folders = []
    for task in TASKS:
        for method in ("naive", *OTHERS):
            for seed in range(SEEDS):
                if (method, task) != ("half", "mate"):
                    folder = path / f"task={task},method={method},seed={seed}"
                    folder.mkdir(parents=True)
                    result(task, method, seed).write(folder)
                    folders.append(folder.name)
    cells = [{"dir": name, "overrides": [], "digest": ""} for name in folders]
    write_json(path / "sweep.json", {"name": "zoo", "command": COMMAND, "cells": cells})
    report(path)
    return path


@pytest.fixture(scope="module")
def table(made: Path) -> Mapping[tuple[str, str], dict[str, str]]:
    with (made / "report" / "zoo.csv").open(encoding="utf-8", newline="") as file:
        return {(row["method"], row["column"]): row for row in csv.DictReader(file)}


def differences(method: str, task: str) -> list[float]:
    """To the naive student, of each seed."""
    found = [result(task, method, seed).accuracy("student") for seed in range(SEEDS)]
    return [accuracy - RIGHT["naive"] / N for accuracy in found]


def test_a_difference_over_tasks_is_paired_by_seed_and_tested_by_t(table):
    row = table["better", EVERYWHERE]
    per_seed = np.mean([differences("better", task) for task in TASKS], axis=0)
    assert float(row["over_naive"]) == pytest.approx(per_seed.mean())
    # seeds differ by more than the test examples leave open
    assert float(row["p"]) == pytest.approx(stats.ttest_1samp(per_seed, 0)[1])
    assert row["comparisons"] == str(len(OTHERS))
    by_p = sorted(float(table[method, EVERYWHERE]["p"]) for method in OTHERS)
    factor = len(OTHERS) - by_p.index(float(row["p"]))
    assert float(row["p_holm"]) >= factor * float(row["p"]) * (1 - 1e-9)
    assert float(row["low_of_all"]) < float(row["over_naive_low"])


def test_single_tasks_are_a_family_of_their_own(table):
    single = [row for (method, column), row in table.items() if column != EVERYWHERE]
    assert len(single) == 3 * len(OTHERS) - 1  # half does not do chess
    assert {row["comparisons"] for row in single} == {str(len(single))}


def test_a_method_is_compared_on_the_tasks_that_it_can_do(table):
    row = table["half", EVERYWHERE]
    tasks = ("sentiment", "preference")
    per_seed = np.mean([differences("half", task) for task in tasks], axis=0)
    assert row["columns"] == "2"
    assert float(row["over_naive"]) == pytest.approx(per_seed.mean())


def test_the_naive_student_by_another_name_is_not_told_from_it(table):
    row = table["same", EVERYWHERE]
    shown = [row[name] for name in ("over_naive", "over_naive_low", "over_naive_high", "p_holm")]
    assert list(map(float, shown)) == [0.0, 0.0, 0.0, 1.0]


def test_students_below_their_supervisor_are_counted_and_costs_are_multiples_of_naives(table):
    row = table["worse", EVERYWHERE]
    assert (row["below_supervisor"], row["cells"]) == ("1", str(3 * SEEDS))
    assert (row["steps"], row["steps_ratio"], row["flops_ratio"]) == ("450.0", "3.0", "3.0")
    assert table["scratch", EVERYWHERE]["below_supervisor"] == str(3 * SEEDS)


def test_pgr_is_of_accuracies_averaged_over_tasks(table):
    row = table["naive", EVERYWHERE]
    assert float(row["pgr"]) == pytest.approx((140 - WEAK) / (CEILING - WEAK))
    assert (row["over_naive"], row["p"]) == ("", "")


def test_methods_stand_first_by_effect_then_controls_then_oracles(made: Path):
    found = zoo(summarize(read_sweep(made)))
    assert found is not None
    names = [of.method for of in found.overall]
    assert names == ["better", "same", "half", "worse", "scratch", "few_shot_truth"]


def test_what_came_out_is_said_in_one_sentence_without_controls_and_oracles(made: Path):
    said = {of.family: of.sentence for of in outcomes(summarize(read_sweep(made)))}
    assert said["zoo"].startswith(
        "of 4 methods beside naive (3 columns, 6 seeds), 1 is above (better"
    )
    assert "1 is below (worse" in said["zoo"]
    assert "all 6 comparisons together" in said["zoo"]
    assert not any("few_shot_truth" in sentence for sentence in said.values())


def test_the_page_has_the_table_and_the_figure(made: Path):
    page = (made / "report" / "index.html").read_text("utf-8")
    assert 'id="zoo"' in page
    assert "few_shot_truth†" in page
    assert "made with 80 true labels" in page
    assert (made / "report" / "zoo.svg").exists()


def test_the_best_of_a_family_is_told_by_an_interval_for_all_of_its_methods(made: Path):
    """Of better, worse, same and half on sentiment, which are no controls."""
    said = {of.family: of.sentence for of in outcomes(summarize(read_sweep(made)))}["nlp"]
    told = r"best, better reaches .*, (\S+) points over naive \[(\S+), (\S+)\] (.*)"
    found = re.search(told, said)
    assert found is not None
    value, low, high = (float(found[i]) for i in (1, 2, 3))
    share = np.array(differences("better", "sentiment"))  # of the test, right where naive is wrong
    error_of_test = np.sqrt((share * (1 - share)).sum() / N) / SEEDS
    error_of_seeds = share.std(ddof=1) / np.sqrt(SEEDS)
    level = 1 - 0.05 / 4 / 2
    by_test, by_seeds = stats.norm.ppf(level), stats.t.ppf(level, SEEDS - 1)
    reach = 100 * max(by_test * error_of_test, by_seeds * error_of_seeds)
    assert value == pytest.approx(100 * share.mean(), abs=0.06)
    assert high - value == pytest.approx(reach, abs=0.11)
    assert value - low == pytest.approx(reach, abs=0.11)
    assert found[4] == "for all of them at once."


def zoo_page() -> Any:
    spec = spec_from_file_location("zoo_page", REPOSITORY / "benchmarks" / "zoo_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["zoo_page"] = module  # where its dataclasses look for their names
    spec.loader.exec_module(module)
    return module


def test_the_documents_tables_are_written_from_a_sweep(made: Path, tmp_path: Path, monkeypatch):
    script, before = zoo_page(), (REPOSITORY / "docs" / "zoo.md").read_text("utf-8")
    claims = (
        script.Claim("better is better", "A", "better", "naive", 1),
        script.Claim("worse is better", "B", "worse", "naive", 1),
        script.Claim("half adds nothing", "C", "half", "naive", 0),
        script.Claim("better is better than half", "D", "better", "half", 1),
        script.Claim("nobody has run it", "E", "mine", "naive", 1),
        script.Claim("half is worse in reward", "F", "half", "naive", -1, "preference"),
        script.Claim("half is worse in chess", "G", "half", "naive", -1, "mate"),
    )
    monkeypatch.setattr(script, "CLAIMS", claims)
    (tmp_path / "zoo.md").write_text(before, "utf-8")
    script.write(made, tmp_path)
    page = (tmp_path / "zoo.md").read_text("utf-8")
    assert "Seeds 0 to 5: `w2sweep -cn zoo 'seed=range(0,6)'`." in page
    seen = {line.split(" | ")[0][2:]: line for line in page.splitlines() if " is " in line}
    assert seen["better is better"].endswith("| yes |")
    assert seen["worse is better"].endswith("| no, the opposite |")
    assert seen["better is better than half"].endswith("| yes |")
    assert "nobody has run it" not in page
    single = script.zoo(summarize(read_sweep(made))).single[HALF].over_naive
    in_reward = script.points(single.estimate)
    assert f"`half` over `naive`, preference | {in_reward} |" in seen["half is worse in reward"]
    assert "half is worse in chess" not in page  # which it cannot do
    assert page.startswith(before.partition("<!-- origin -->")[0])
    script.write(made, tmp_path)
    assert (tmp_path / "zoo.md").read_text("utf-8") == page
    assert (tmp_path / "images" / "zoo.png").exists()


def test_the_document_names_every_method_of_the_sweep():
    sweep = yaml.safe_load((REPOSITORY / "sweeps" / "zoo.yaml").read_text("utf-8"))
    methods = sweep["hydra"]["sweeper"]["params"]["method"].replace(" ", "").split(",")
    page = (REPOSITORY / "docs" / "zoo.md").read_text("utf-8")
    table = page.partition("## How they are compared")[0]
    assert [method for method in methods if f"`{method}`" not in table] == []
    claimed = {name for claim in zoo_page().CLAIMS for name in (claim.method, claim.beside)}
    assert claimed <= set(methods)


def test_few_methods_are_no_zoo(made: Path):
    rows = summarize(read_sweep(made))
    assert zoo([row for row in rows if row.method in ("naive", "better", "worse", "same")]) is None
    assert zoo([row for row in rows if row.method != "naive"]) is None


def test_one_seed_is_drawn_without_a_verdict(made: Path):
    rows = summarize(read_sweep(made))
    first = [replace(r, cells={0: r.cells[0]}, naive_cells={0: r.naive_cells.get(0)}) for r in rows]
    one = [replace(r, naive_cells={}) if r.method == "naive" else r for r in first]
    found = zoo(one)
    assert found is not None
    assert {of.over_naive.p for of in found.overall if of.over_naive} == {None}
    assert "two seeds" in found.sentence


def test_a_bar_is_an_interval_in_points_and_a_colour_is_a_verdict(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from w2sweep.report import figures

    drawn: list[tuple[list[float], str]] = []
    plot = Axes.plot

    def watched(ax: Axes, x, y, **style):
        if style.get("lw") == 2.6:
            drawn.append((list(x), style["color"]))
        return plot(ax, x, y, **style)

    monkeypatch.setattr(Axes, "plot", watched)
    rows = summarize(read_sweep(made))
    found = zoo(rows)
    assert found is not None
    figures.draw(rows, read_sweep(made).ladders, tmp_path, only=["zoo"])
    better, same = found.overall[0].over_naive, found.overall[1].over_naive
    assert better is not None
    assert same is not None
    ends = [100 * (x or 0.0) for x in (better.estimate.low, better.estimate.high)]
    from w2sweep.report.figures.zoo import ABOVE, NEITHER

    assert drawn[0] == (pytest.approx(ends), ABOVE)
    assert drawn[1] == ([0.0, 0.0], NEITHER)
