"""Choices composed without Hydra's own settings: what Hydra itself composes, or Hydra does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from w2sweep.interface.choices import Choices, SpeaksOfHydra, WithoutHydra
from w2sweep.interface.composing import opened

FILES = {
    "conf/experiment/mine.yaml": "# @package _global_\nrecipe: {epochs: 7}\n",
    "conf/experiment/named.yaml": "# @package _global_\nhydra: {job: {name: mine}}\nseed: 3\n",
    "conf/experiment/started.yaml": (
        "# @package _global_\ndefaults: [{override /hydra/launcher: joblib}]\nseed: 4\n"
    ),
    "conf/experiment/placed.yaml": "# @package hydra.job\nname: mine\n",
    "more/experiment/elsewhere.yaml": "# @package _global_\nseed: 5\n",
    "sweeps/far.yaml": (
        "defaults: [config, {override hydra/launcher: joblib}, _self_]\n"
        "hydra: {searchpath: ['file://more'], sweeper: {params: {seed: '1,2'}}}\n"
    ),
}


@pytest.fixture
def loader(folder: Path) -> ConfigLoaderImpl:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return opened()


def root(loader: ConfigLoaderImpl, *overrides: str) -> DictConfig:
    return loader.load_configuration("far", list(overrides), RunMode.MULTIRUN)


def said(config: DictConfig) -> dict[Any, Any]:
    found = OmegaConf.to_container(config, resolve=False)
    assert isinstance(found, dict)
    return {key: held for key, held in found.items() if key != "hydra"}


ALONE = [
    ("task=pretend", "method=confidence"),
    ("task=sst2", "ladder=gpt2", "recipe=paper_nlp"),
    ("experiment=mine", "task=mate_in_one"),
    ("experiment=elsewhere",),
    ("task=sentiment", "recipe={epochs: 9}"),
]


@pytest.mark.parametrize("choices", ALONE, ids=" ".join)
def test_choices_make_what_hydra_makes(loader: ConfigLoaderImpl, choices: tuple[str, ...]):
    config = root(loader, "hydra/launcher=stages_local", "hydra.launcher.n_jobs=3")
    found = WithoutHydra(loader).composed(config, choices)
    expected = loader.load_sweep_config(config, list(choices))
    assert repr(said(found)) == repr(said(expected))  # in the same order too
    assert [*found] == [key for key in expected if key != "hydra"] + ["hydra"]
    assert OmegaConf.is_struct(found)
    again = WithoutHydra(loader).composed(config, choices)
    again.seed = 77
    assert said(WithoutHydra(loader).composed(config, choices)) == said(expected)


@pytest.mark.parametrize("choice", ["named", "started", "placed"])
def test_hydra_composes_what_changes_its_own_settings(loader: ConfigLoaderImpl, choice: str):
    config, choices = root(loader), [f"experiment={choice}"]
    with pytest.raises(SpeaksOfHydra):
        WithoutHydra(loader).composed(config, choices)
    found = Choices(loader, config).composed(choices)
    assert "hydra" not in found
    assert said(found) == said(loader.load_sweep_config(config, choices))


def test_what_is_wrong_is_said_by_hydra(loader: ConfigLoaderImpl):
    config = root(loader)
    for choices in (["task=nothing"], ["method=naive", "ladders=lab"], ["task=a,b"]):
        with pytest.raises(ConfigCompositionException) as theirs:
            loader.load_sweep_config(config, choices)
        with pytest.raises(type(theirs.value)) as ours:
            Choices(loader, config).composed(choices)
        assert str(ours.value) == str(theirs.value)
