"""What the documents say can be typed, can be typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
README = (REPOSITORY / "README.md").read_text("utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def lines(program: str) -> list[str]:
    """Each distinct command line of `program` in a block of a document; comments and continuations resolved."""
    whole = [
        content.replace("\\\n", " ")
        for d in DOCUMENTS
        for _, content in blocks(d.read_text("utf-8"))
    ]
    found = [line.split(" #")[0].strip() for content in whole for line in content.splitlines()]
    return sorted({line for line in found if re.match(rf"(\.venv/bin/)?{program}\b(?!-)", line)})


def python(
    script: str, *arguments: str, folder: Path = REPOSITORY
) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )  # fmt: skip


PLAN = """
import sys
from w2sweep import cli
from w2sweep.sweep import Sweep
Sweep.run = lambda self, launch: print(len(self.planned), "cells")  # checked, and not run
sys.argv[0] = "w2sweep"
cli.main()
"""


WALKED = {f"w2sweep -cn {path.stem}" for path in (REPOSITORY / "sweeps").glob("*.yaml")}
"""Planned by the tests of the configurations already, which takes half a minute for the largest."""


@pytest.mark.parametrize("line", [line for line in lines("w2sweep") if line not in WALKED])
def test_every_command_is_a_possible_sweep(line: str, tmp_path: Path):
    (tmp_path / "reviews.csv").write_text("text,label\nlovely,good\ndull,bad\n")
    done = python(PLAN, *shlex.split(line)[1:], folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[1-9]\d* cells\n", done.stdout) or "--help" in line


@pytest.mark.parametrize("line", lines("w2sweep-data"))
def test_every_look_at_data_is_of_a_task(line: str):
    from w2sweep.interface.data_command import composed

    words = shlex.split(line)[1:]
    for name in (word for word in words if "=" not in word and not word.startswith("-")):
        task, *_ = composed(name, [word for word in words if "=" in word])
        assert task.name == name


def test_the_example_of_a_loss_works_from_any_folder(tmp_path: Path):
    for language, content in blocks(README):
        if path := re.match(r"# (\S+\.(?:py|yaml))\n", content):
            assert language in ("python", "yaml")
            file = tmp_path / path[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
    [line] = lines("PYTHONPATH=. w2sweep")
    done = python(PLAN, *shlex.split(line)[2:], folder=tmp_path)
    assert done.stdout == "1 cells\n", done.stderr
    script = "import torch, smoothing; print(float(smoothing.Smoothed(0.0)(torch.zeros(2, 2), torch.eye(2), 1.0)))"
    assert float(python(script, folder=tmp_path).stdout) == pytest.approx(
        0.6931, abs=1e-4
    )  # ln 2, a coin's surprise


@pytest.mark.parametrize("line", lines("make"))
def test_every_make_target_exists(line: str):
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    assert re.search(rf"^{shlex.split(line)[1]}:.*##", makefile, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_link_leads_to_a_file(document: Path):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text("utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_task_loss_and_ladder_is_in_the_readme():
    names = [
        f.stem
        for group in ("task", "ladder", "method")
        for f in (REPOSITORY / "conf" / group).glob("*.yaml")
    ]
    assert [name for name in names if f"`{name}`" not in README and f"*{name}*" not in README] == [
        "scratch"
    ]
