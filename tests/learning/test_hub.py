"""What the hub does not give is told in one line, and holds for the whole sweep."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest
from huggingface_hub import constants
from toys import cell, setting

from w2sweep.experiment import reach
from w2sweep.experiment.backbone import HubModel, Tokenizer
from w2sweep.experiment.cell import Cell
from w2sweep.experiment.ladder import HubRung, Ladder, Rung
from w2sweep.experiment.losses import CrossEntropy
from w2sweep.experiment.methods import Naive
from w2sweep.experiment.reach import check_reach
from w2sweep.experiment.stages import OwnTokenizer
from w2sweep.learning.hub import asked_for
from w2sweep.learning.loading import load
from w2sweep.learning.tokens import tokenizer_for
from w2sweep.values import ConfigError

NOBODYS = HubModel("nobody/nothing")


def test_a_model_that_the_hub_does_not_give_is_one_line():
    with pytest.raises(ConfigError) as refused:
        load(NOBODYS, None, setting().task.head, seed=0)
    [line] = str(refused.value).splitlines()
    assert line.startswith("model nobody/nothing cannot be loaded from the Hugging Face hub (")
    assert line.endswith("(ladder.rungs.NAME.model=FOLDER)")
    with pytest.raises(ConfigError, match="model nobody/nothing cannot be loaded"):
        tokenizer_for(OwnTokenizer(NOBODYS, 24), ["a text"], job=None)  # type: ignore[arg-type]


def test_a_tokenizer_of_ones_own_asks_nobody():
    assert tokenizer_for(Tokenizer("word", 24), ["a text"], job=None)  # type: ignore[arg-type]


def test_a_full_disk_is_not_the_hubs_fault(tmp_path: Path):
    with pytest.raises(OSError, match="No space left"), asked_for(NOBODYS):
        raise OSError(errno.ENOSPC, "No space left on device")
    (tmp_path / "config.json").touch()
    with pytest.raises(OSError, match="torn"), asked_for(HubModel(str(tmp_path))):
        raise OSError("torn")


def of_hub(*models: str) -> Cell:
    rungs: dict[str, Rung] = {
        name: HubRung(1e-4, name, params=9, pretrain_tokens=1) for name in models
    }
    weak, strong = models[0], models[-1]
    s = setting(ladder=Ladder("hub", rungs), weak=weak, strong=strong)
    return Cell(s, Naive("naive", CrossEntropy()))


def test_a_silent_hub_is_told_before_anything_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://localhost:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    began = time.monotonic()
    with pytest.raises(ConfigError) as refused:
        check_reach(of_hub("owner/weak", "owner/strong").stages)
    [line] = str(refused.value).splitlines()
    assert line.startswith("owner/strong, owner/weak: not on this machine, and the Hugging Face ")
    assert line.endswith("(ladder.rungs.NAME.model=FOLDER)")
    assert time.monotonic() - began < 30  # a first answer of a machine under load


def test_models_that_were_fetched_need_no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(reach, "silence", lambda: pytest.fail("asked"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    refs = tmp_path / "models--owner--weak" / "refs"
    snapshot = refs.parent / "snapshots" / "abc"
    for folder in (refs, snapshot):
        folder.mkdir(parents=True)
    (refs / "main").write_text("abc")
    (snapshot / "config.json").write_text("{}")
    check_reach([of_hub("owner/weak", "owner/strong").setting.supervisor])  # type: ignore[list-item]
    check_reach(cell().stages)  # whose models are pretrained here
