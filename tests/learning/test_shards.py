"""Shards: a model that is spread over two ranks is the same model, and its stages find the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import shard_cases
import shard_stage_cases
import torch.distributed as dist
from shard_stage_cases import TOLERANCE, largest_difference, place, run, stages
from side_by_side import Case, outcomes

from w2sweep.learning import spread

CASES = (*shard_cases.CASES, *shard_stage_cases.CASES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, str]:
    shard_cases.write_models(folder)
    shard_stage_cases.on_one_device(folder)
    return outcomes(CASES, folder)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_shards(found: dict[str, str], case: Case):
    if found[case.__name__]:
        pytest.fail(found[case.__name__], pytrace=False)


def test_one_device_goes_on_from_the_checkpoint_of_two_ranks(found: dict[str, str], folder: Path):
    out = run(stages()["naive"], place(folder, "naive", "killed on two", 0), folder)
    assert largest_difference(out, place(folder, "naive", "one")) < TOLERANCE


@pytest.mark.parametrize("parts", range(1, 8))
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_in_step_all_work_equally_often(parts: int, ranks: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spread, "ranks", lambda: ranks)
    text = "abcdefg"[:parts]

    def gather(told: list, done: list) -> None:
        told[:] = [list(text[n::ranks]) for n in range(ranks)]

    monkeypatch.setattr(dist, "all_gather_object", gather)
    done: list[list[str]] = []
    for rank in range(ranks):
        done.append([])
        monkeypatch.setattr(spread, "rank", lambda rank=rank: rank)
        spread.together(text, done[-1].append, in_step=True)
    assert {len(its) for its in done} == {-(-parts // ranks)}
    assert {part for its in done for part in its} == set(text)
