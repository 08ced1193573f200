"""Configurations that are filled in instead of composed: word for word what OmegaConf makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pytest
from hydra.types import RunMode
from omegaconf import DictConfig

from w2sweep.interface.composer import Composer, plain
from w2sweep.interface.composing import opened, planned_by, points
from w2sweep.interface.origins import Origins
from w2sweep.interface.templates import Template, Unfit

GRIDS = {
    "values": ("config", ["recipe.epochs=1,2", "seed=0,7", "weak=nano", "strong=mini,small"]),
    "named elsewhere": ("config", ["loss=confidence", "loss.alpha_max=0.5,1", "alpha_warmup=0,1"]),
    "words and nothing": ("config", ["task.name=a,'b c',\"3\"", "data_root=null,/data"]),
    "a list": ("config", ["recipe.betas=[0.9,0.9]", "supervision.noise=0,0.25", "seed=1,2"]),
    "added": ("config", ["+ladder.rungs.nano.precision=32-true,bf16-mixed", "seed=1,2"]),
    "a probe's length": ("config", ["method=saliency", "recipe.max_tokens=16,32"]),
    "other tasks": ("config", ["evaluate_on=[contrast]", "recipe.epochs=1,2", "seed=0,5"]),
    "other tasks' own": ("config", ["evaluate_on=[contrast]", "sizes.test=100,200"]),
    "a file": ("transfer", ["seed=3,4"]),
}


@pytest.mark.parametrize("grid", GRIDS)
def test_what_is_filled_in_is_what_would_be_composed(grid: str):
    name, words = GRIDS[grid]
    compose, cells = grid_of(name, words)
    filled = 0
    for cell in [*cells[:2], *cells[-6:]]:
        found = compose(cell)
        assert repr(found.plain) == repr(plain(found.config))
        assert repr(found.seeded(12)) == repr(plain(found.alike(12)))
        filled += found.filled
    assert (filled > 0) == (grid != "other tasks' own")


def grid_of(name: str, words: Sequence[str]) -> tuple[Composer, list[tuple[str, ...]]]:
    loader = opened()
    config = loader.load_configuration(name, [], RunMode.MULTIRUN)
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    return Composer(loader, config, Origins(loader, config, [])), points(loader, [*params, *words])


def test_cells_share_the_very_same_values():
    [one, two, other] = planned_by("config", ["weak=nano,micro,mini"])
    assert one.request.task is two.request.task is other.request.task
    assert one.request.ladder.rungs["nano"] is two.request.ladder.rungs["nano"]
    assert one.cell is not None
    assert two.cell is not None
    assert one.cell.setting.ceiling is two.cell.setting.ceiling


def test_one_cell_and_many_are_the_same_cells():
    words = ["task=sentiment", "weak=nano", "strong=mini,small", "method=naive,confidence"]
    many = planned_by("config", [*words, "recipe.lr_scale=1,2", "seed=0,3"])
    for p in many[:: len(many) // 4]:
        [alone] = planned_by("config", list(p.overrides))
        assert (alone.folder, alone.digest) == (p.folder, p.digest)
        assert asdict(alone.place) == asdict(p.place)
        assert alone.cell is not None
        assert p.cell is not None
        assert [s.name for s in alone.cell.stages] == [s.name for s in p.cell.stages]


@pytest.mark.parametrize(
    ("content", "key", "value"),
    [
        ({"a": 1, "b": "x-${a}"}, "a", 1),  # more than a name
        ({"a": 1, "b": "${now:%Y}"}, "a", 1),
        ({"a": 1, "b": "???"}, "a", 1),
        ({"a": [1]}, "a.0", 1),
        ({"a": {"b": 1}, "c": {"d": "${..a}"}}, "a.b", 1),  # a name that depends on its place
        ({"a": 1.0}, "a", 1),  # another type
        ({"a": "${b}", "b": {"c": 1}}, "a.c", 1),
    ],
)
def test_more_than_values_and_names_is_left_to_omegaconf(content: Any, key: str, value: Any):
    with pytest.raises(Unfit):
        Template(DictConfig(content), {key: value})


def test_a_name_stands_for_what_is_filled_in():
    content = {"a": {"b": 1, "c": 5}, "d": {"e": "${a}", "f": ["${a.b}"]}, "g": {"h": 2}}
    template = Template(DictConfig(content), {"a.b": 1})
    filled, other = template.filled({"a.b": None}), template.filled({"a.b": "x"})
    inner = {"b": None, "c": 5}
    assert filled == {"a": inner, "d": {"e": inner, "f": [None]}, "g": {"h": 2}}
    assert other["d"] == {"e": {"b": "x", "c": 5}, "f": ["x"]}
    assert template.filled({}) == {**filled, "a": {"b": 1, "c": 5}, "d": template.filled({})["d"]}
    assert filled["g"] is other["g"]
