"""A sweep whose launcher loses workers: what is started again, and for how long."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pretend import Pretend
from toys import cell, place, setting

from w2sweep.engine.leases import claim
from w2sweep.engine.runtime import Runtime
from w2sweep.experiment.cell import Cell
from w2sweep.results.cell import Result, read
from w2sweep.sweep.plan import Planned
from w2sweep.sweep.sweep import Sweep, run_cell


class Point(SimpleNamespace):
    """Stands for a planned cell."""

    cell: Cell
    folder: str
    request: Any


@pytest.fixture
def points(tmp_path: Path) -> list[Any]:
    request = SimpleNamespace(
        sweep="night",
        tracking=None,
        runtime=Runtime(accelerator="cpu", bf16="no"),
        store=str(tmp_path / "store"),
        cache="retry",
    )
    return [
        Point(
            cell=cell(Pretend(), seed=seed),
            place=place(seed=seed),
            folder=f"seed={seed}",
            overrides=(f"seed={seed}",),
            digest="",
            skipped=None,
            request=request,
        )
        for seed in range(3)
    ]


def swept(points: list[Any], folder: Path, launch: Any) -> tuple[int, list[str]]:
    said: list[str] = []
    reports: list[Any] = []
    code = Sweep(points, folder, said.append).run(launch, lambda *a: reports.append(a))
    return code, said


def test_what_died_is_started_again_while_that_brings_anything(points: list[Any], tmp_path: Path):
    starts: list[int] = []

    def launch(left: Sequence[Planned]) -> None:
        starts.append(len(left))
        run_cell(left[0], tmp_path / "night")
        if len(left) > 1:
            raise RuntimeError("a worker was killed\nby somebody. And more of it")

    code, said = swept(points, tmp_path / "night", launch)
    assert (code, starts) == (0, [3, 2, 1])
    assert said.count("a worker died (RuntimeError: a worker was killed by somebody)") == 2
    assert "2 cells without a result: started again, from where they were" in said
    found = [read(tmp_path / "night" / p.folder) for p in points]
    assert all(isinstance(record, Result) for record in found)


def test_what_brings_nothing_is_not_started_for_ever(points: list[Any], tmp_path: Path):
    starts: list[int] = []

    def launch(left: Sequence[Planned]) -> None:
        starts.append(len(left))
        raise RuntimeError("killed")

    code, said = swept(points, tmp_path / "night", launch)
    assert (code, starts) == (1, [3, 3])
    assert "3 cells without a result: run the same command again, which goes on from here" in said


def test_a_checkpoint_is_progress(points: list[Any], tmp_path: Path):
    """A stage longer than a job's time goes on from one job to the next."""
    starts: list[int] = []
    stage = setting(Pretend()).splits

    def launch(left: Sequence[Planned]) -> None:
        starts.append(len(left))
        work = (tmp_path / "store" / stage.name).parent / f".working/{stage.key}.{len(starts)}"
        if len(starts) < 4:
            work.mkdir(parents=True)
            (work / "checkpoint.pt").touch()
        raise RuntimeError("out of time")

    code, _ = swept(points, tmp_path / "night", launch)
    assert (code, starts) == (1, [3, 3, 3, 3, 3])


def test_what_kills_each_of_its_workers_costs_only_the_cells_that_need_it(
    points: list[Any], tmp_path: Path
):
    """A launcher that ends all of its workers when one dies, and a stage that kills its own."""
    starts: list[list[str]] = []
    deadly, innocent = points[1].cell.student, points[0].cell.student

    def launch(left: Sequence[Planned]) -> None:
        starts.append([p.folder for p in left])
        if points[1] in left:
            dies_at(tmp_path / "store", deadly)
            if len(left) > 1:  # whatever the others were at, their workers end too
                dies_at(tmp_path / "store", innocent)
            raise RuntimeError("killed")
        for p in left:
            run_cell(p, tmp_path / "night")

    code, said = swept(points, tmp_path / "night", launch)
    assert code == 1
    records = {p.folder: read(tmp_path / "night" / p.folder) for p in points}
    assert {name for name, found in records.items() if found is None} == {"seed=1"}
    assert f"its worker dies alone too, at {deadly.name}" in said
    assert "1 cell without a result: run the same command again, which goes on from here" in said
    assert len(starts[0]) == len(starts[1]) == 3
    assert starts.count(["seed=1"]) == 2
    assert ["seed=2"] in starts  # when it is known which one kills, the others go on together


def dies_at(store: Path, stage: Any) -> None:
    """A process takes the lease of a stage, and is killed."""
    child = os.fork()
    if not child:
        claim((store / stage.name).parent, stage.key, 600)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
