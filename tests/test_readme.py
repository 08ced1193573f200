"""What the documents say can be typed, can be typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import warm

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
PAGES = [document for document in DOCUMENTS if document.parent.name != "tutorials"]
"""Those whose commands stand by themselves; `test_tutorials` types those of the tutorials."""
README = (REPOSITORY / "README.md").read_text("utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def lines(program: str) -> list[str]:
    """Each distinct command line of `program` in a block of a document, whole and without its
    comment."""
    found = blocks("\n".join(d.read_text("utf-8") for d in PAGES))
    text = "\n".join(content for _, content in found).replace("\\\n", " ")
    commands = [line.split(" #")[0].strip() for line in text.splitlines()]
    begins = re.compile(rf"(\.venv/bin/)?{program}\b(?!-)")
    return sorted(set(filter(begins.match, commands)))


def python(
    script: str, *arguments: str, folder: Path = REPOSITORY
) -> subprocess.CompletedProcess[str]:
    """Runs a script in the folder, whose modules it may import."""
    return warm.run(script, arguments, folder, os.environ)


PLAN = """
import sys
from w2sweep.interface import command
from w2sweep.sweep.sweep import Sweep
from w2sweep.tasks import source
source._resolved = lambda dataset, revision: "0" * 40  # by the hub, which is not asked
tell = lambda sweep, *rest: print(len(sweep.planned), "cells")  # checked, and not run
Sweep.run = command.run_stages = tell
sys.argv[0] = "w2sweep"
command.main()
"""


WALKED = {f"w2sweep -cn {path.stem}" for path in (REPOSITORY / "sweeps").glob("*.yaml")}
"""Planned by the tests of the configurations already, which takes half a minute for the largest."""


@pytest.mark.parametrize("line", [line for line in lines("w2sweep") if line not in WALKED])
def test_every_command_is_a_possible_sweep(line: str, tmp_path: Path):
    (tmp_path / "reviews.csv").write_text("text,label\nlovely,good\ndull,bad\n")
    done = python(PLAN, *shlex.split(line)[1:], folder=tmp_path)
    assert done.returncode == 0, done.stderr
    rest = r"\b.*" if "plan=true" in line else r"\n"
    told = re.fullmatch(rf"[1-9]\d* cells{rest}", done.stdout, re.DOTALL)
    assert told or "--help" in line


@pytest.mark.parametrize("line", lines("w2sweep-data"))
def test_every_look_at_data_is_of_a_task(line: str):
    from w2sweep.interface.data_command import composed

    words = shlex.split(line)[1:]
    for name in (word for word in words if "=" not in word and not word.startswith("-")):
        task, *_ = composed(name, [word for word in words if "=" in word])
        assert task.name == name


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A folder with the README's example of a loss: the blocks that begin with a file's name."""
    for language, content in blocks(README):
        if path := re.match(r"# (\S+\.(?:py|yaml))\n", content):
            assert language in ("python", "yaml")
            file = tmp_path / path[1]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
    return tmp_path


def test_the_example_of_a_loss_works_from_any_folder(example: Path):
    [line] = lines("PYTHONPATH=. w2sweep")
    done = python(PLAN, *shlex.split(line)[2:], folder=example)
    assert done.stdout == "1 cells\n", done.stderr


SMOOTHED = """
import torch
from smoothing import Smoothed

logits = torch.tensor([[0.8, 0.2], [0.3, 0.7]]).log()
targets = torch.tensor([[1.0, 0.0], [0.4, 0.6]])
print(*(float(Smoothed(epsilon)(logits, targets, 1.0)) for epsilon in (0.0, 0.2)))
"""


def test_the_example_of_a_loss_is_cross_entropy_with_smoothed_labels(example: Path):
    done = python(SMOOTHED, folder=example)
    assert done.returncode == 0, done.stderr
    plain, smoothed = map(float, done.stdout.split())
    # -ln .8 = .2231, -ln .2 = 1.6094; -ln .3 = 1.2040, -ln .7 = .3567
    # first example, labels 1, 0:       1 * .2231                  =  .2231
    # second example, labels .4, .6:   .4 * 1.2040 + .6 * .3567   =  .6956
    assert plain == pytest.approx((0.2231 + 0.6956) / 2, abs=1e-4)
    # a fifth of the way to .5, .5: the labels are .9, .1 and .42, .58
    # first example:                   .9 * .2231 + .1 * 1.6094   =  .3618
    # second example:                 .42 * 1.2040 + .58 * .3567  =  .7126
    assert smoothed == pytest.approx((0.3618 + 0.7126) / 2, abs=1e-4)


@pytest.mark.parametrize("line", lines("make"))
def test_every_make_target_exists(line: str):
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    assert re.search(rf"^{shlex.split(line)[1]}:.*##", makefile, re.MULTILINE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.name)
def test_every_link_leads_to_a_file(document: Path):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text("utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_task_method_and_ladder_is_in_the_readme_or_in_the_zoo():
    files = (REPOSITORY / "conf").glob("*/*.yaml")
    names = [f.stem for f in files if f.parent.name in ("task", "ladder", "method")]
    zoo = (REPOSITORY / "docs" / "zoo.md").read_text("utf-8")
    told = set(re.findall(r"[`*](?:method=)?(\w+)[`*]", README + zoo))
    assert [name for name in names if name not in told] == []
