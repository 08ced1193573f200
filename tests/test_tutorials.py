"""The tutorials word for word: their files are written, their commands typed and planned, and the
notebook's cells run on a sweep that is there."""

from __future__ import annotations

import ast
import json
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import add_pretending_tasks, w2sweep
from conftest import REPOSITORY
from test_readme import PAGES
from test_readme import lines as commands_of

import w2sweep as package
from w2sweep.interface import command, data_command, report_command, status_command, store_command
from w2sweep.sweep.sweep import Sweep
from w2sweep.tasks import source

FOLDER = REPOSITORY / "docs" / "tutorials"
TUTORIALS = sorted(FOLDER.glob("*.md"))
NOTEBOOK = FOLDER / "notebook.ipynb"
GRID = (
    "task=pretend weak=nano,micro strong=micro,mini method=naive,confidence seed=0 "
    "runtime.together=1"
)
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OF_THE_SHELL = ("source .venv/bin/activate", "export PYTHONPATH=.")


def read(document: Path, language: str) -> list[str]:
    """The blocks of a language in a tutorial."""
    return [text for of, text in FENCED.findall(document.read_text("utf-8")) if of == language]


def lines(program: str) -> list[str]:
    """The commands of a block, each on one line."""
    return [line for line in re.sub(r"\\\n\s*", "", program).splitlines() if line]


def code() -> list[str]:
    """The code of the notebook, cell by cell."""
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `outputs` of a sweep named `first`, whose stages only pretended to train."""
    folder = tmp_path_factory.mktemp("finished")
    add_pretending_tasks(folder)
    w2sweep(folder, "sweep=first", *GRID.split())
    return folder / "outputs"


@pytest.fixture
def place(tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with results of all sweeps that tutorials look at. No command runs
    anything."""
    (tmp_path / "outputs" / "sweeps").mkdir(parents=True)
    (tmp_path / "outputs" / "store").symlink_to(finished / "store")
    for name in ("first", "quickstart", "methods", "zoo"):
        (tmp_path / "outputs" / "sweeps" / name).symlink_to(finished / "sweeps" / "first")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(source, "_resolved", lambda dataset, revision: "0" * 40)
    tell: Any = lambda sweep, *rest: print(len(sweep.planned), "cells")  # noqa: E731
    monkeypatch.setattr(Sweep, "run", tell)
    monkeypatch.setattr(command, "run_stages", tell)
    yield tmp_path
    sys.modules.pop("again", None)


def write_files(document: Path, folder: Path) -> None:
    """What a tutorial has its reader write: blocks that begin with the name of a file, and a table
    with more rows than it shows."""
    for text in [*read(document, "python"), *read(document, "yaml")]:
        if found := re.match(r"(?:# @package \S+\n)?# (\S+\.(?:py|yaml))\n", text):
            file = folder / found[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    for table in read(document, "csv"):
        head, *rows = table.splitlines()
        more = [f"scene {i}: {row}" for i in range(300) for row in rows]
        (folder / "reviews.csv").write_text("\n".join([head, *more]) + "\n")


def typed(line: str, monkeypatch: pytest.MonkeyPatch) -> object:
    """The exit code of a command, in this process."""
    program, *words = shlex.split(line)
    commands = {
        "w2sweep-data": data_command,
        "w2sweep-report": report_command,
        "w2sweep-status": status_command,
        "w2sweep-store": store_command,
        "w2sweep": command,
    }
    monkeypatch.setattr(sys, "argv", [program, *words])
    try:
        return commands[program].main()
    except SystemExit as ended:
        return ended.code


def check(line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """That a line of a shell can be typed."""
    if line.startswith("make "):
        makefile = (REPOSITORY / "Makefile").read_text("utf-8")
        assert re.search(rf"^{line.split()[1]}:.*##", makefile, re.MULTILINE), line
    elif line.startswith("pip install "):
        extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
        [extra] = re.findall(r"w2sweep\[(\w+)\]", line)
        assert extra in extras["optional-dependencies"], line
    elif found := re.fullmatch(r'eval "\$\((.*)\)"', line):
        assert not typed(found[1], monkeypatch), line
        assert "complete -o nospace" in capsys.readouterr().out
    elif line not in OF_THE_SHELL:
        if "sst2" in line and line.startswith("w2sweep-data"):  # no such folder is here
            _, *words = shlex.split(line)
            overrides = [word for word in words if "=" in word]
            assert data_command.composed("sst2", overrides)[0].name == "sst2"
            return
        # the whole zoo takes a minute to plan
        narrow = " seed=0 task=mate_in_one" if "-cn zoo method=+" in line else ""
        code = typed(line + narrow, monkeypatch)
        said = capsys.readouterr()
        assert not code, f"{line}: {said.err}"
        assert said.out or said.err, line


@pytest.mark.parametrize("document", TUTORIALS, ids=lambda document: document.stem)
def test_every_command_can_be_typed(
    document: Path,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    write_files(document, place)
    typed = [line for block in read(document, "sh") for line in lines(block)]
    planned = {line.removesuffix(" plan=true") for line in typed if line.endswith(" plan=true")}
    for line in typed:
        if line not in planned:  # it is what was planned a moment before
            check(line, capsys, monkeypatch)


LOOKS = [line for name in ("status", "report", "store") for line in commands_of(f"w2sweep-{name}")]


@pytest.mark.parametrize("line", LOOKS)
def test_every_look_at_results_of_the_other_pages_can_be_typed(
    line: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    if "--wandb-report" in line:  # what needs somebody who is logged in is built, and not sent
        monkeypatch.setattr(report_command, "tracked_at", lambda sweep: ("study", "me"))
        monkeypatch.setattr(report_command, "send", lambda *sweep: "https://wandb.ai/report")
    monkeypatch.setattr(store_command, "_agreed", lambda: False)
    check(line, capsys, monkeypatch)


def test_the_readmes_tables_are_there(place: Path):
    [program] = [text for text in read(REPOSITORY / "README.md", "python") if ".load(" in text]
    known: dict[str, Any] = {}
    exec(program.replace('task="sentiment"', 'task="pretend"'), known)
    sweep = known["sweep"]
    assert {*sweep.cells["status"]} == {"finished", "skipped"}
    assert {"role", "step", "loss"} <= {*sweep.curves.columns}


BENCHMARKS = [line for line in commands_of("python") if "-m" not in line.split()]


@pytest.mark.parametrize("line", BENCHMARKS)
def test_every_benchmark_tells_how_it_is_run(line: str):
    script = REPOSITORY / line.split()[1]
    documented = ast.get_docstring(ast.parse(script.read_text("utf-8"))) or ""
    assert " ".join(line.split()[:2]) in documented


def test_every_extra_that_is_installed_is_one():
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    named = re.findall(r"w2sweep\[(\w+)\]", "".join(d.read_text("utf-8") for d in PAGES))
    assert {*named} <= {*extras["optional-dependencies"]}


def test_all_blocks_have_a_language():
    opened = [line for d in TUTORIALS for line in d.read_text("utf-8").splitlines()]
    fences = [line for line in opened if line.startswith("```")]
    assert set(fences[::2]) <= {"```sh", "```python", "```yaml", "```csv", "```text"}
    assert set(fences[1::2]) == {"```"}


def test_the_notebook_has_no_outputs_and_compiles():
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell for cell in cells if cell["outputs"] or cell["execution_count"]] == []
    for cell in code():
        if not cell.startswith("!"):
            ast.parse(cell)


def test_the_notebooks_commands_can_be_typed(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    [program] = [cell for cell in code() if cell.startswith("!")]
    for line in lines(program.removeprefix("!")):
        check(line, capsys, monkeypatch)


def test_the_notebook_runs_on_a_finished_sweep(place: Path):
    import matplotlib
    from matplotlib import pyplot

    matplotlib.use("Agg")
    known: dict[str, Any] = {}
    for cell in code():
        if not cell.startswith("!"):
            exec(compile(cell, str(NOTEBOOK), "exec"), known)
    lines = [len(pyplot.figure(number).axes[0].lines) for number in pyplot.get_fignums()]
    pyplot.close("all")
    # two methods of two supervisors, and the ceiling; two supervisors, two students, two ceilings
    assert lines == [5, 6]
    assert len(known["cells"]) == 6
    assert known["right"]["student"].mean() > known["right"]["supervisor"].mean()


def test_every_page_is_in_the_navigation():
    site = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text("utf-8"))

    def pages(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values() if isinstance(entry, dict) else entry:
                yield from pages(below)

    docs = REPOSITORY / "docs"
    there = {p.relative_to(docs).with_suffix(".md").as_posix() for p in docs.rglob("*.md")}
    there |= {p.relative_to(docs).with_suffix(".md").as_posix() for p in docs.rglob("*.ipynb")}
    there |= {"index.md", "CONTRIBUTING.md", "CHANGELOG.md"}
    assert set(pages(site["nav"])) == there


def test_the_reference_has_every_public_name_once():
    text = (REPOSITORY / "docs" / "reference.md").read_text("utf-8")
    told = re.findall(r"^::: w2sweep\.(\w+)$", text, re.MULTILINE)
    assert sorted(told) == sorted({*package.__all__} - {"__version__"})


@pytest.mark.parametrize(
    ("page", "written", "on_site"),
    [
        ("index.md", "[a](docs/lab.md#b)", "[a](lab.md#b)"),
        ("index.md", "![a](docs/images/a.png)", "![a](images/a.png)"),
        ("lab.md", "[a](../README.md)", "[a](index.md)"),
        ("tutorials/report.md", "[a](../../README.md#b)", "[a](../index.md#b)"),
        ("tutorials/report.md", "[a](notebook.ipynb)", "[a](notebook.md)"),
        ("tutorials/report.md", "[a](../lab.md) [b](#c)", "[a](../lab.md) [b](#c)"),
        ("index.md", "[a](https://arxiv.org/abs/1)", "[a](https://arxiv.org/abs/1)"),
    ],
)
def test_links_lead_to_the_same_on_the_site(page: str, written: str, on_site: str):
    hooks = runpy.run_path(str(REPOSITORY / "docs" / "hooks.py"))
    assert hooks["linked"](written, page) == on_site


@pytest.mark.skipif(not find_spec("mkdocs"), reason="the site needs the extra `docs`: make docs")
def test_the_site_is_built_without_a_warning(tmp_path: Path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "LoadedSweep" in (tmp_path / "reference.html").read_text("utf-8")
