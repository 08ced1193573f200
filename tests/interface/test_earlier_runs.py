"""What belongs together in a report: cells of one configuration, whatever the seed, and of the
present plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import w2sweep
from conftest import REPOSITORY
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from w2sweep.interface.composing import plan, use_folders
from w2sweep.sweep.plan import Planned

ROWS = "text,label\n" + "".join(f"text {i},{'good' if i % 2 else 'bad'}\n" for i in range(40))
CSV = ["task=csv", "task.path=mine.csv", "task.classes=[bad,good]"]


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text(ROWS)
    (tmp_path / "conf" / "task").mkdir(parents=True)
    use_folders()
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


def cells(loader, *overrides: str) -> list[Planned]:
    config = loader.load_configuration("config", [], RunMode.MULTIRUN)
    return plan(loader, config, list(overrides))


def test_cells_of_one_configuration_share_a_digest_and_others_do_not(loader):
    seeds = cells(loader, *CSV, "seed=0,1,7")
    assert len({cell.place.group for cell in seeds}) == 1
    assert seeds[0].digest
    [same] = cells(loader, *CSV, "method=naive", "recipe.epochs=2", "runtime.threads=4")
    assert same.digest == seeds[0].digest  # all of it says the default

    others = cells(loader, *CSV, "method=naive,confidence", "recipe.epochs=2,3", "sizes.test=50,60")
    assert len({cell.digest for cell in others}) == 8
    Path("mine.csv").write_text(ROWS.replace("text 3,good", "text 3,bad"))
    [corrected] = cells(loader, *CSV)
    assert corrected.digest != seeds[0].digest


def test_data_that_only_other_seeds_have_are_averaged_too(loader):
    for seed in (1, 2):
        Path(f"of{seed}.csv").write_text(ROWS)
    found = cells(loader, "task=csv", "task.path=of${seed}.csv", CSV[2], "seed=1,2")
    assert len({cell.digest for cell in found}) == 1
    assert found[0].digest


def test_two_tasks_of_one_name_are_told_apart(loader):
    text = (REPOSITORY / "conf/task/sentiment.yaml").read_text()
    for name, pool in (("first", 6000), ("second", 5000)):
        Path(f"conf/task/{name}.yaml").write_text(f"{text}  pool: {pool}\n")
    found = cells(loader, "task=sentiment,first,second", "seed=0,1")
    assert [cell.place.task for cell in found] == ["sentiment"] * 6
    groups = [cell.place.group.label for cell in found]
    assert [dict(group.variant).get("task") for group in groups[::2]] == [None, "first", "second"]
    assert len({cell.folder for cell in found}) == 6


def test_cells_of_two_roots_of_data_never_share_a_folder(loader):
    roots = cells(loader, "task=sst2", "data_root=a,b", "weak=nano", "strong=mini")
    assert len({cell.folder for cell in roots}) == len({c.place.group for c in roots}) == 2


def test_of_an_override_that_is_given_twice_the_last_one_is_told(loader):
    [cell] = cells(loader, "recipe.epochs=3", "recipe.epochs=2")
    assert cell.place.variant == {"recipe.epochs": "2"}


def test_a_report_shows_the_present_plan_and_names_what_an_earlier_run_left(folder):
    mine = folder / "conf" / "task" / "mine.yaml"
    mine.write_text((folder / "conf" / "task" / "pretend.yaml").read_text())
    sweep = ["task=mine", "seed=0,1", "sweep=dup"]
    w2sweep(folder, *sweep)
    report = folder / "outputs" / "sweeps" / "dup" / "report"
    first = numbers(report)
    mine.write_text(mine.read_text().replace("student: 100", "student: 90"))
    said = w2sweep(folder, *sweep, "method=naive").stdout
    assert "earlier  2 cells of an earlier run under this name are left out" in said
    second = numbers(report)
    assert len(first) == len(second) == 1
    assert first != second

    alone = w2sweep(folder, *sweep, "sweep=alone").stdout
    assert "earlier" not in alone
    assert numbers(report.parents[1] / "alone" / "report") == second
    assert (report / "cells.csv").read_text().count("finished, of an earlier run") == 2
    assert "earlier run" in (report / "index.html").read_text()


def numbers(report: Path) -> list[str]:
    """The lines of the summary, without what it is called."""
    return (report / "summary.csv").read_text().splitlines()[1:]


def test_two_commands_of_one_second_have_folders_of_their_own(loader):
    config = loader.load_configuration("config", [], RunMode.MULTIRUN)
    folder = Path(config.hydra.sweep.dir)
    assert folder.parent == Path("outputs/runs")
    other = loader.load_configuration("config", [], RunMode.MULTIRUN)
    assert Path(other.hydra.sweep.dir) != folder
    assert Path(config.hydra.sweep.dir) == folder  # it is asked for again and again
