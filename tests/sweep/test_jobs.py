"""Which stages share a job of a cluster, and which jobs wait for which."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from toys import Toy, cell, setting

from w2sweep.engine.handover import StageJob
from w2sweep.engine.resources import Rule
from w2sweep.engine.stage import closure
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.target import Target
from w2sweep.experiment.weights import Weights
from w2sweep.sweep.jobs import stage_jobs
from w2sweep.values import ConfigError


@dataclass
class Point:
    """Stands for a planned cell."""

    cell: Cell | None
    overrides: tuple[str, ...]


EACH = {"all": Rule()}
PACKED = {"splits": Rule(types=("Splits", "Text"), pack=8), "models": Rule(pack=2)}


def points(seeds: int = 2) -> list[Any]:
    return [Point(cell(seed=seed), (f"seed={seed}",)) for seed in range(seeds)]


def jobs(planned: list[Any], rules: dict[str, Rule], done: tuple[str, ...] = ()) -> list[StageJob]:
    return stage_jobs(planned, rules, lambda stage: stage.name in done)


def everything(planned: list[Any]) -> list[Any]:
    return closure(tuple(stage for p in planned for stage in p.cell.stages))


def test_every_stage_is_in_one_job_behind_all_that_it_reads():
    planned = points()
    for rules in (EACH, PACKED):
        found = jobs(planned, rules)
        position = {name: i for i, job in enumerate(found) for name in job.stages}
        stages = everything(planned)
        assert sorted(position) == sorted(stage.name for stage in stages)
        for stage in stages:
            needs = found[position[stage.name]].needs
            assert {position[of.name] for of in stage.inputs} <= set(needs)
            assert all(need < position[stage.name] for need in needs)


def test_one_stage_a_job_is_the_graph_of_the_stages_itself():
    (p,) = planned = points(1)
    found = jobs(planned, EACH)
    names = {job.stages[0]: job for job in found}
    student = names[p.cell.student.name]
    assert {found[i].stages[0] for i in student.needs} == {s.name for s in p.cell.student.inputs}
    assert student.words == ("--cell", "seed=0", "--only", p.cell.student.name)
    assert student.name == p.cell.student.what


def test_what_is_there_is_no_job_and_nothing_waits_for_it():
    (p,) = planned = points(1)
    done = tuple(stage.name for stage in everything(planned) if stage.name != p.cell.student.name)
    (only,) = jobs(planned, EACH, done)
    assert (only.stages, only.needs) == ((p.cell.student.name,), ())
    assert jobs(planned, EACH, (*done, p.cell.student.name)) == []


def test_siblings_of_a_level_share_a_job_up_to_what_the_rule_packs():
    found = jobs(points(5), PACKED)
    (splits,) = [job for job in found if job.rule == "splits"]
    assert len(splits.stages) == 5 + 1  # the corpus is the same for all seeds
    assert splits.name.endswith("(+5)")
    kinds = [(job.name.split()[0], len(job.stages)) for job in found if job.rule == "models"]
    assert kinds == [
        ("pretrain", 2),
        *(("supervisor", 2),) * 2,
        ("supervisor", 1),  # nobody waits for ceilings, but a student for each of these
        *(("ceiling", 2),) * 2,
        ("ceiling", 1),
        *(("student", 2),) * 2,
        ("student", 1),
    ]


def test_a_packed_job_says_which_stages_are_of_which_cell():
    planned = points(2)
    a, b = (p.cell.student.name for p in planned)
    (job,) = [job for job in jobs(planned, PACKED) if a in job.stages]
    assert job.words == ("--cell", "seed=0", "--only", a, "--cell", "seed=1", "--only", b)


def test_weights_that_a_finetuning_delivers_are_in_its_job_whichever_cell_wants_them():
    plain = cell()
    target = Target(Toy(name="other"), setting().sizes)
    applying = replace(plain, evaluate_on=(target,))
    planned: list[Any] = [Point(plain, ("a=1",)), Point(applying, ("a=2",))]
    student = plain.student
    weights = Weights(student)  # type: ignore[arg-type]
    found = jobs(planned, EACH)
    (job,) = [job for job in found if student.name in job.stages]
    assert job.stages == (student.name, weights.name)
    assert job.words == (
        *("--cell", "a=1", "--only", student.name),
        *("--cell", "a=2", "--only", weights.name),
    )
    # of a student that was finetuned by an earlier sweep they are a stage as any other
    (alone,) = [j for j in jobs(planned, EACH, (student.name,)) if weights.name in j.stages]
    assert alone.stages == (weights.name,)


def test_what_others_wait_for_is_begun_first_and_of_that_the_largest():
    planned: list[Any] = [Point(cell(weak=weak), (f"weak={weak}",)) for weak in "sm"]
    found = [job.name for job in jobs(planned, EACH)]
    pretrained = [name for name in found if name.startswith("pretrain")]
    assert pretrained == ["pretrain m", "pretrain s", "pretrain l"]
    # the ceiling is the larger, but only for the supervisor a student waits
    assert found.index("supervisor s, toy") < found.index("ceiling l, toy")


def test_a_rule_says_how_its_stages_are_run_and_no_more():
    rules = {"wide": Rule(overrides=("runtime.threads=2",))}
    found = jobs(points(1), rules)
    assert found[0].words[:4] == ("--cell", "seed=0", "runtime.threads=2", "--only")
    for override in ("recipe.epochs=3", "store=elsewhere", "+seed=1"):
        with pytest.raises(ConfigError, match=r"resources\.wide\.overrides: found .*expected keys"):
            jobs(points(1), {"wide": Rule(overrides=(override,))})


def test_no_matching_rule_is_one_line():
    with pytest.raises(ConfigError, match="no rule matches"):
        jobs(points(1), {"splits": Rule(types=("Splits",))})


def test_cells_that_are_skipped_have_no_jobs():
    assert jobs([Point(None, ())], EACH) == []


def test_each_stage_is_looked_for_once_however_many_cells_read_it():
    planned = [*points(3), *points(3)]
    asked: list[str] = []

    def done(stage: Any) -> bool:
        asked.append(stage.name)
        return False

    stage_jobs(planned, EACH, done)
    assert sorted(asked) == sorted(stage.name for stage in everything(planned))


def test_what_a_live_job_is_at_is_not_given_to_another_but_waited_for():
    (p,) = planned = points(1)
    splits, student = p.cell.setting.splits.name, p.cell.student
    found = stage_jobs(planned, EACH, lambda stage: False, {splits: "17"})
    assert splits not in [name for job in found for name in job.stages]
    (job,) = [job for job in found if student.name in job.stages]
    waits_for = {found[i].stages[0].partition("/")[0] for i in job.needs}
    assert (job.after, waits_for) == (("17",), {"Adapt", "Finetune"})
