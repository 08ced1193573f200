"""What the hub does not give is told in one line, and holds for the whole sweep."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from toys import setting

from w2sweep.experiment.backbone import HubModel, Tokenizer
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
