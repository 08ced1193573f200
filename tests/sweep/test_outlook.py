"""What a sweep would run: which stages, where, and what they take by hand calculation."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from w2sweep.engine.files import read_json, write_json
from w2sweep.engine.leases import claim
from w2sweep.engine.record import write
from w2sweep.engine.resources import Rule
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Stage, closure
from w2sweep.engine.store import Store
from w2sweep.experiment.flops import work
from w2sweep.experiment.memory import memory
from w2sweep.experiment.stages import Finetune
from w2sweep.interface.composing import planned_by
from w2sweep.sweep.comparison import needed
from w2sweep.sweep.outlook import Means, Outlook, outlook
from w2sweep.sweep.plan import Planned
from w2sweep.values import ConfigError

RULES = {
    "data": Rule(types=("Splits", "Text"), cpus=2, dollars=0.5),
    "small": Rule(up_to=10_000, gpus=1, flops=1e9, dollars=2.0, device_gb=80.0),
    "large": Rule(gpus=8, flops=4e9, dollars=16.0, device_gb=0.001, overrides=("runtime.bf16=no",)),
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the store is in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@functools.cache
def cells(*overrides: str) -> list[Planned]:
    """Of `nano` and `small` on sentiment, unless said otherwise."""
    of = ("task=sentiment", "weak=nano", "strong=small", "store=store", *overrides)
    return planned_by("config", of)


def stages(planned: Iterable[Planned]) -> list[Stage[Any]]:
    wanted = [stage for p in planned if p.cell for stage in needed(p.cell)]
    return closure(tuple(wanted))


def finish(stage: Stage[Any], seconds: float, **facts: Any) -> None:
    """Makes a result of a stage that took so long."""
    store = Store("store")
    path = store.path(stage)
    path.mkdir(parents=True)
    lease = claim(path, stage.key, 600.0)
    assert lease is not None
    with lease:
        write(path, stage, lease, facts)
    record = read_json(path / "stage.json")
    write_json(path / "stage.json", record | {"seconds": seconds})


def told(*overrides: str, **means: Any) -> Outlook:
    return outlook(cells(*overrides), Means(**means))


def test_nothing_is_there_and_all_would_run(here: Path):
    found = told()
    assert (found.cells, dict(found.skipped)) == (1, {})
    assert found.states == {"to run": len(stages(cells()))}
    kinds = {(kind.type, kind.size): len(kind.rows) for kind in found.kinds}
    small, nano = found.rows[-1].stage.size, min(size for _, size in kinds if size)
    assert kinds == {
        ("Splits", 0): 1,
        ("Text", 0): 1,
        ("Adapt", nano): 1,
        ("Adapt", small): 1,
        ("Finetune", nano): 1,
        ("Finetune", small): 2,
    }
    assert found.hours == 0.0
    assert found.unknown == 5
    assert not (here / "store").exists()


def test_cells_that_cannot_be_are_counted_by_why():
    asked = ("weak=nano,small", "method=naive,zero_shot", "impossible=skip")
    found = told(*asked, "task=sentiment,mate_in_one", "method=naive,confidence")
    assert found.cells == 8
    [below, classes] = sorted(found.skipped.items(), key=lambda item: item[1], reverse=True)
    assert below == ("weak is not below strong", 4)
    assert classes[0].startswith("ConfidenceLoss needs two classes")


def test_hours_are_flops_by_those_of_the_rule():
    found = told(rules=RULES, workers=None)
    by_rule = {(kind.type, kind.rule): kind for kind in found.kinds}
    assert {rule for _, rule in by_rule} == {"data", "small", "large"}
    students = by_rule["Finetune", "large"]
    # 800 examples in 3 epochs; 3 evaluations of 270 + 1600, and 800 more; texts of 48 tokens
    tokens = 6 * 3 * 800 + 2 * (3 * (270 + 1600) + 800)
    expected = students.size * 48 * tokens
    assert students.flops == pytest.approx(2 * expected)
    assert students.hours == pytest.approx(2 * expected / 4e9 / 3600)
    assert students.longest == pytest.approx(expected / 4e9 / 3600)
    assert (students.basis, students.bound) == ("rule", True)
    large = students.hours + by_rule["Adapt", "large"].hours
    small = by_rule["Finetune", "small"].hours + by_rule["Adapt", "small"].hours
    assert found.gpu_hours == pytest.approx(8 * large + small)
    assert found.dollars == pytest.approx(16 * large + 2 * small)
    assert found.cpu_hours == 0.0  # of splits and texts nobody knows how long


def test_a_stage_that_needs_more_than_one_job_says_how_many():
    slow = {"all": Rule(flops=1e7, minutes=30)}
    rows = told(rules=slow, workers=None).rows
    expected = [max(1, -(-row.flops // (1e7 * 1800))) for row in rows]
    assert [row.allocations for row in rows] == expected
    assert max(expected) > 1


def test_the_longest_chain_is_the_earliest_end():
    found = told(rules=RULES, workers=None)
    chain = [type(row.stage).__name__ for row in found.chain]
    by_what = {str(row.stage): row.seconds for row in found.rows}
    weak = by_what["pretrain nano"] + by_what["supervisor nano, sentiment"]
    reads = max(weak, by_what["pretrain small"])
    expected = reads + by_what["student small <- nano, sentiment"]
    assert chain[-1] == "Finetune"
    assert found.earliest == pytest.approx(expected / 3600)


def test_workers_share_what_there_is():
    planned = cells("seed=range(0,8)")
    for stage in stages(planned)[:-1]:
        finish(stage, 90.0)
    last = stages(planned)[-1]
    one = outlook(planned, Means(workers=1))
    assert one.states == {"there": len(one.rows) - 1, "to run": 1}
    assert one.hours * 3600 == pytest.approx(90.0)
    [row] = [row for row in one.rows if row.state == "to run"]
    assert (row.stage.name, row.forecast and row.forecast.basis) == (last.name, "measured")
    forced = cells("seed=range(0,8)", "cache=force")
    again = outlook(forced, Means(workers=4))
    assert again.states == {"to run": len(again.rows)}
    assert again.earliest == pytest.approx(again.hours / 4)


def test_finished_stages_tell_the_pace():
    [three, nine] = cells("recipe.epochs=3,9")
    assert three.cell is not None
    assert nine.cell is not None
    finish(three.cell.setting.ceiling, 60.0)
    found = outlook([three, nine], Means())
    seconds = {row.stage.name: row for row in found.rows}
    longer = seconds[nine.cell.setting.ceiling.name]
    done, asked = work(three.cell.setting.ceiling), work(nine.cell.setting.ceiling)
    assert done is not None
    assert asked is not None
    assert longer.seconds == pytest.approx(60.0 * asked.flops / done.flops)
    weak = seconds[nine.cell.setting.weak_model.name]
    assert weak.forecast is not None
    assert weak.forecast.basis == "measured at another size"
    assert weak.seconds == pytest.approx(60.0 * weak.flops / done.flops)


def test_what_finished_models_counted_is_known_of_their_splits():
    planned = cells("seed=0,1")
    assert planned[0].cell is not None
    s = planned[0].cell.setting
    finish(s.weak_model, 1.0, tokens_per_text=6.0)
    rows = outlook(planned, Means()).rows
    of_task = [r for r in rows if isinstance(r.stage, Finetune) and r.state == "to run"]
    assert len(of_task) == 5  # on the other seed it is the same task
    assert not any(row.forecast.bound for row in of_task if row.forecast)
    expected = s.ceiling.size * 6 * (6 * 3 * 800 + 2 * (3 * 1870 + 800))
    assert {row.flops for row in of_task if row.stage.size == s.ceiling.size} == {expected}


def test_what_only_finished_stages_read_is_not_needed():
    planned = cells()
    assert planned[0].cell is not None
    s = planned[0].cell.setting
    for stage in (*planned[0].cell.stages, s.splits):
        finish(stage, 1.0)
    found = outlook(planned, Means())
    assert found.states == {"there": 4, "not needed": 3}  # two models and their text
    assert found.chain == []


def test_stages_that_do_not_fit_are_marked():
    found = told(rules=RULES, workers=None)
    marked = {(row.type, row.rule) for row in found.rows if row.too_large}
    assert marked == {("Adapt", "large"), ("Finetune", "large")}
    needs = memory(found.rows[-1].stage, Runtime()).total
    assert found.rows[-1].memory_gb == pytest.approx(needs / 1e9)


def test_a_rule_may_change_how_a_stage_is_run():
    again = replace(Runtime(), gradient_checkpointing=True)
    plain = told(rules=RULES, workers=None)
    other = told(rules=RULES, workers=None, runtimes={"large": again})
    assert other.rows[-1].flops > plain.rows[-1].flops


def test_devices_that_hold_one_model_together_need_less_memory_each():
    together = replace(Runtime(), devices=8, sharded=True)
    found = told(rules=RULES, workers=None, runtimes={"large": together})
    last = found.rows[-1]
    assert last.memory_gb * 1e9 == pytest.approx(memory(last.stage, together, 8).total)
    assert last.memory_gb < told(rules=RULES, workers=None).rows[-1].memory_gb


def test_what_cannot_be_run_as_its_rule_says_is_refused():
    together = {"large": replace(Runtime(), devices=8, sharded=True)}
    with pytest.raises(ConfigError, match=r"runtime\.sharded=true: .* recipe\.optimizer=adafactor"):
        told("recipe.optimizer=adafactor", rules=RULES, workers=None, runtimes=together)


def test_a_stage_without_a_rule_is_refused():
    with pytest.raises(ConfigError, match="no rule matches pretrain small of"):
        told(rules={"small": RULES["small"]}, workers=None)
