"""What a tracker was shown is remembered, by the place where it was shown."""

from __future__ import annotations

import json
from pathlib import Path

from w2sweep.engine.tracking import Tracking
from w2sweep.results.sweep_folder import SHOWN
from w2sweep.sweep.tracked import Account


def shown(folder: Path, project: str = "study") -> list[str]:
    return Account(Tracking(project=project), "night", folder, print)._shown()["stages"]


def test_what_a_sweep_of_version_0_1_has_shown_counts(tmp_path: Path):
    (tmp_path / SHOWN).write_text(json.dumps(["Finetune/a"]))
    assert shown(tmp_path) == ["Finetune/a"]


def test_where_runs_are_shown_is_kept(tmp_path: Path):
    said = {"at": ["study", "night"], "stages": [], "cells": {}, "urls": {"a": "https://wandb.ai"}}
    (tmp_path / SHOWN).write_text(json.dumps(said))
    account = Account(Tracking(project="study"), "night", tmp_path, print)
    account._keep(account._shown())
    assert json.loads((tmp_path / SHOWN).read_text()) == said


def test_another_project_has_seen_nothing(tmp_path: Path):
    said = {"at": ["study", "night"], "stages": ["Finetune/a"], "cells": {}}
    (tmp_path / SHOWN).write_text(json.dumps(said))
    assert shown(tmp_path) == ["Finetune/a"]
    assert shown(tmp_path, "other") == []


def test_a_damaged_memory_is_none(tmp_path: Path):
    for damaged in ("{", "{}", "3", '{"at": ["study", "night"]}'):
        (tmp_path / SHOWN).write_text(damaged)
        assert shown(tmp_path) == []
