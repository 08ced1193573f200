"""What the runs of a tracker are called and found by: those of stages, by the cells that need them,
and those of cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from w2sweep.engine.stage import Stage, closure
from w2sweep.experiment.cell import Cell
from w2sweep.results.cell import CEILING, NAMES, SUPERVISOR, Place, Result, overrides
from w2sweep.sweep.comparison import needed
from w2sweep.sweep.plan import Planned

Facts = dict[str, Any]
SHOWN_TASKS = 3
"""As many of the tasks that share a stage are named by its run, and of more only their number."""
AGREEMENTS = ("agreement", "agreement_weak_right", "agreement_weak_wrong")


def runs_of_stages(planned: Sequence[Planned]) -> dict[str, Facts]:
    """Name of a stage -> `name`, `tags` and `config` of its run, by all the cells that need it.

    Of each key of the configuration a run has what its cells say, joined by commas where they say
    several things: a student may be that of two methods. What does not matter to a stage is not
    said of it: a supervisor has no `strong`, a ceiling no `method`. Names differ.
    """
    said: dict[str, list[Facts]] = {}
    stages: dict[str, Stage[Any]] = {}
    for p in planned:
        for stage, facts in _parts(p):
            stages[stage.name] = stage
            said.setdefault(stage.name, []).append(facts)
    found = {name: _merged(its) for name, its in said.items()}
    names = {name: _name(its) for name, its in found.items()}
    often = Counter(names.values())
    for name, called in names.items():
        own = f" / {stages[name].key[:6]}" if often[called] > 1 else ""
        tags = _words(found[name], ("task", "method"))
        found[name] = {"name": called + own, "tags": tags, "config": found[name]}
    return found


def run_of_cell(p: Planned, result: Result) -> Facts:
    """The `name`, `tags` and `config` of a cell's own run."""
    assert p.cell is not None
    weak, strong = result.rungs[result.weak], result.rungs[result.strong]
    sizes = {"weak_parameters": weak.size, "weak_compute": weak.compute}
    config = {
        **_of_place(p.place),
        "role": "cell",
        "weak": result.weak,
        "strong": result.strong,
        "method": result.method,
        "loss": p.cell.student.told.get("loss"),
        "parameters": strong.size,
        "compute": strong.compute,
        **sizes,
        **_variant(p.place),
    }
    stages = {f"{role}_stage": model.stage for role, model in result.models.items()}
    told = {key: held for key, held in config.items() if held is not None}
    name = _name({**told, "role": None})
    return {"name": name, "tags": _words(told, ("task", "method")), "config": told | stages}


def numbers_of(result: Result) -> dict[str, float | str | None]:
    """What a cell came to, by the names of the columns of `cells.csv`."""
    found: dict[str, float | str | None] = {}
    for role in result.models:
        found[f"{NAMES.get(role, role)}_accuracy"] = result.accuracy(role)
    found |= {"pgr": result.pgr, "pgr_undefined": result.pgr_undefined}
    found |= {name: getattr(result, name) for name in AGREEMENTS}
    return found | {"n_test": result.n_test} | dict(result.diagnostics)


def _parts(p: Planned) -> Iterable[tuple[Stage[Any], Facts]]:
    """The stages that a cell needs, and what it says of each."""
    if p.cell is None:
        return
    roles = {stage.name: role for role, stage in reversed(p.cell.compared.items())}
    for stage in closure(tuple(needed(p.cell))):
        yield stage, _of_stage(stage, roles.get(stage.name), p, p.cell)


def _of_stage(stage: Stage[Any], compared_as: str | None, p: Planned, cell: Cell) -> Facts:
    own = dict(stage.told)
    rung = cell.setting.ladder.rungs.get(str(own.get("rung")))
    facts = own | _of_place(p.place) | {"seed": own.get("seed", p.place.seed)}
    facts |= {"role": compared_as or stage.role}
    if rung is not None:
        facts |= {"parameters": rung.size, "compute": rung.compute}
    if compared_as not in (None, CEILING):
        facts["weak"] = p.place.weak
    if compared_as not in (None, SUPERVISOR):
        facts["strong"] = p.place.strong
    if compared_as not in (None, SUPERVISOR, CEILING) or stage.role == "student":
        facts["method"] = p.place.method
    return facts | (_variant(p.place) if compared_as else {})


def _of_place(place: Place) -> Facts:
    return {
        "task": place.task,
        "family": place.family,
        "ladder": place.ladder,
        "seed": place.seed,
    }


def _variant(place: Place) -> Facts:
    return {"variant": " ".join(overrides(place.variant))} if place.variant else {}


def _merged(said: Sequence[Facts]) -> Facts:
    """What several cells say of one stage."""
    found: Facts = {}
    for key in dict.fromkeys(key for facts in said for key in facts):
        values = list(dict.fromkeys(facts[key] for facts in said if key in facts))
        if len(values) == 1:
            found[key] = values[0]
        elif key != "variant" and all(isinstance(v, str) for v in values):
            found[key] = ", ".join(values)
    if any("variant" not in facts for facts in said):  # what some cells do not say, is not so of it
        found.pop("variant", None)
    return found


def _name(facts: Mapping[str, Any]) -> str:
    """As in `sentiment / naive / nano -> small / seed 0`."""
    tasks = str(facts["task"]).split(", ")
    task = facts["task"] if len(tasks) <= SHOWN_TASKS else f"{len(tasks)} tasks"
    weak, strong, rung = (facts.get(key) for key in ("weak", "strong", "rung"))
    teacher = facts.get("teacher")
    pair = f"{weak} -> {strong}" if weak and strong else weak or strong
    taught = f"{teacher} -> {rung}" if teacher else rung
    seed = f"seed {facts['seed']}" if "seed" in facts else None
    parts = (task, facts["role"], facts.get("method"), pair or taught, seed, facts.get("variant"))
    return " / ".join(str(part) for part in parts if part)


def _words(facts: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """Tags: single ones of values that may be several."""
    joined = [str(facts[key]).split(", ") for key in keys if key in facts]
    return [word for words in joined for word in words]
