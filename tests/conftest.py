"""What every test may rely on: one thread, no network, no accounts, Ctrl-C, as much time as it
takes."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import warm

os.environ.update(
    OMP_NUM_THREADS="1",
    WANDB_MODE="offline",
    WANDB_SILENT="true",
    HF_HUB_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
)

# A shell starts a job in the background with Ctrl-C ignored, and every process under it inherits
# that; tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile(  # how long an example takes is no property
    "busy machines", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy machines")

REPOSITORY = Path(__file__).parents[1]
LONGEST = (
    "test_launchers",
    "test_shards",
    "test_command",
    "test_configs",
    "test_report",
    "test_readme",
    "test_tutorials",
    "test_spread",
    "test_weights",
    "test_stage_command",
    "test_asking",
)
"""Files that take half a minute and more. A file runs on one core, so they begin first: one that
began last would leave the other core idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Called by pytest; `make test` keeps this order."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def _files_read_once() -> None:
    """Reading the package's own configuration took a third of the time of what composes it."""
    warm.read_files_once()


@pytest.fixture(scope="session")
def shared() -> Path:
    """A folder with slices of real datasets beside the repository; most machines have none."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "data" / "hub").is_dir():
        pytest.skip("no slices of real datasets beside the repository (../shared/data/hub)")
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with tasks that pretend; what commands do to this process is undone."""
    from commands import add_pretending_tasks

    add_pretending_tasks(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    handlers, level = logging.root.handlers[:], logging.root.level
    yield tmp_path
    logging.root.handlers[:], logging.root.level = handlers, level
