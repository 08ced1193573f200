"""Ladders: what is hashed of a rung, and what a homegrown one reads."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from toys import ToyCorpus, rung, setting

from w2sweep.engine.stage import identity
from w2sweep.experiment.ladder import HubRung, Ladder
from w2sweep.lab.text.world import World
from w2sweep.tasks.text_file import TextFile
from w2sweep.values import ConfigError


def hub(model: Path | str) -> HubRung:
    return HubRung(lr=1e-4, model=str(model), params=10, pretrain_tokens=100)


def folder(path: Path, weights: bytes) -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return path


def test_a_local_rung_is_its_content_wherever_it_lies(tmp_path: Path):
    here, there = folder(tmp_path / "a", b"weights"), folder(tmp_path / "b", b"weights")
    (there / "notes.md").write_text("is not read")
    assert identity(hub(here)) == identity(hub(there))
    assert identity(hub(here)) != identity(hub(folder(tmp_path / "c", b"others")))
    assert identity(hub(here)) != identity(replace(hub(here), lr=1e-3))


def test_a_rung_of_the_hub_is_its_name_and_revision():
    assert identity(hub("gpt2")) == identity(hub("gpt2"))
    assert identity(hub("gpt2")) != identity(replace(hub("gpt2"), revision="main"))


@pytest.mark.parametrize(
    ("field", "other"), [("precision", "bf16-mixed"), ("pretrain_warmup", 100)]
)
def test_how_to_pretrain_counts_but_what_was_trained_before_there_was_a_choice_keeps_its_key(
    field: str, other: object
):
    assert field not in identity(rung(8))
    assert identity(replace(rung(8), **{field: other}))[field] == other


def test_a_homegrown_ladder_may_read_a_file(tmp_path: Path):
    file = tmp_path / "text.txt.gz"
    file.write_bytes(gzip.compress(b"one document\n\n  another one \n"))
    s = setting()
    ladder = replace(s.ladder, corpus=str(file))
    assert isinstance(ladder.corpus, TextFile)
    assert list(ladder.corpus.documents()) == ["one document", "another one"]
    pretrain = replace(s, ladder=ladder).init(ladder.rungs["l"])
    assert pretrain is not None
    assert pretrain.text.corpus == ladder.corpus
    assert pretrain.key != s.init(ladder.rungs["l"]).key  # type: ignore[union-attr]


def test_a_ladder_may_ask_for_more_of_a_text_that_is_written_on_the_spot():
    ladder = replace(setting().ladder, corpus_tokens=70)
    world = World(seed=3, tokens=50)
    assert ladder.reads(world) == World(seed=3, tokens=70)
    assert setting().ladder.reads(world) == world
    with pytest.raises(ConfigError, match="70 tokens of ToyCorpus, which has a length of its own"):
        ladder.reads(ToyCorpus())


def test_games_are_read_with_every_half_move_numbered(tmp_path: Path):
    file = tmp_path / "games.pgn"
    file.write_text('[Event "?"]\n\n1. d4 Nf6 2. c4 *\n')
    assert list(TextFile(str(file)).documents()) == ["1. d4 1... Nf6 2. c4"]


def test_a_file_that_is_not_there_is_told_at_the_door():
    with pytest.raises(ConfigError, match=r"no file /nowhere/text.txt"):
        Ladder("mine", {}, corpus="/nowhere/text.txt")  # type: ignore[arg-type]
