"""Shards: a model that is spread over two ranks is the same model, and its stages find the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import shard_cases
import shard_stage_cases
import torch
from shard_stage_cases import TOLERANCE, largest_difference, place, run, stages
from side_by_side import Case, outcomes

from w2sweep.learning import memory, spread
from w2sweep.learning.memory import with_less_at_once

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
def test_ranks_compute_equally_often_and_every_part_counts_once(
    parts: int, ranks: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spread, "ranks", lambda: ranks)
    done: list[list[tuple[int, str, bool]]] = []
    for rank in range(ranks):
        monkeypatch.setattr(spread, "rank", lambda rank=rank: rank)
        done.append(list(spread.in_step("abcdefg"[:parts])))
    assert len({len(its) for its in done}) == 1
    counted = [(number, part) for its in done for number, part, counts in its if counts]
    assert sorted(counted) == list(enumerate("abcdefg"[:parts]))


def test_a_device_that_is_full_is_no_reason_to_compute_out_of_step(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(memory, "ranks", lambda: 2)

    def compute(budget: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        with_less_at_once(64, compute)
