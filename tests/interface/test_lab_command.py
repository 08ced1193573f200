"""`w2sweep-lab`: what cannot be drawn is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from w2sweep.engine.failures import StageFailed
from w2sweep.interface import lab_command
from w2sweep.interface.lab_command import main

NOT_PRETRAINED = ["ladder=gpt2", "weak=gpt2", "strong=gpt2-xl"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=oops"], "seed: found 'oops' (str), expected a valid integer"),
        (["ladder=labb"], "no ladder 'labb'; there is"),
        (["tasks=sentiment"], "tasks"),
        (["task=sentiment,membership"], "found several worlds of seed 0"),
        (NOT_PRETRAINED, "ladder gpt2 has rungs that are not pretrained here"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exited:
        main(words)
    assert exited.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.startswith("w2sweep-lab: ")
    assert said.count("\n") == 1


def test_a_stage_that_fails_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def failing(*_: object) -> Path:
        raise StageFailed("pretrain nano", "ValueError", "no text", "Traceback ...")

    monkeypatch.setattr(lab_command, "draw", failing)
    assert main([]) == 1
    assert capsys.readouterr().err == "w2sweep-lab: pretrain nano failed: ValueError: no text\n"


def test_there_is_at_least_one_worker(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exited:
        main(["--workers", "0"])
    assert exited.value.code == 2
    assert "--workers 0: expected at least 1" in capsys.readouterr().err
