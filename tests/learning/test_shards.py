"""Shards: a model that is spread over two ranks is the same model."""

from __future__ import annotations

from pathlib import Path

import pytest
from shard_cases import CASES, write_models
from side_by_side import Case, outcomes


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("shards")
    write_models(folder)
    return outcomes(CASES, folder)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_shards(found: dict[str, str], case: Case):
    if found[case.__name__]:
        pytest.fail(found[case.__name__], pytrace=False)
