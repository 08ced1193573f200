"""What runs elsewhere, at every change and before every commit: its commands are there, it may no
more than it must, and it is of the versions that are pinned."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
MAKEFILE = (REPOSITORY / "Makefile").read_text("utf-8")
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((REPOSITORY / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(file: Any) -> dict[Any, Any]:
    return yaml.safe_load(file.read_text("utf-8"))


def steps(workflow: dict[Any, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def commands() -> list[str]:
    """Every line that a workflow gives to a shell."""
    programs = [step["run"] for file in WORKFLOWS for step in steps(read(file)) if "run" in step]
    return [line for program in programs for line in program.splitlines()]


def test_there_are_workflows_and_forms():
    assert [file.stem for file in WORKFLOWS] == ["ci"]
    assert [file.stem for file in FORMS] == ["bug", "request"]


@pytest.mark.parametrize("line", commands())
def test_every_command_exists(line: str):
    words = line.replace('"', "").split()
    program = words[0].rpartition("/")[2]
    if program == "make":
        assert re.search(rf"^{words[1]}:.*##", MAKEFILE, re.MULTILINE)
    elif program == "python":
        if words[1] != "-m":
            assert (REPOSITORY / words[1]).is_file()
        else:
            assert words[2] == "pip" or find_spec(words[2])
    else:
        assert program in {"pip", *PROJECT["scripts"]}


def test_what_is_installed_is_pinned():
    installed = [line for line in commands() if re.search(r"\bpip\b.* install ", line)]
    installed += re.findall(r"\S+/pip install .*", MAKEFILE)
    assert len(installed) == 4
    assert [line for line in installed if "-c constraints.txt" not in line] == []


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_a_workflow_may_read_and_nothing_else(file: Any):
    workflow = read(file)
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    assert [job for job in workflow["jobs"].values() if "permissions" in job] == []
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
    checkouts = [s for s in steps(workflow) if s.get("uses", "").startswith("actions/checkout")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_actions_are_githubs_own_at_a_major_version(file: Any):
    used = [step["uses"] for step in steps(read(file)) if "uses" in step]
    assert [name for name in used if not re.fullmatch(r"actions/[\w-]+@v\d+", name)] == []


def test_tests_run_on_every_python_that_is_promised():
    jobs = read(WORKFLOWS[0])["jobs"]
    promised = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if ":: 3." in name]
    assert jobs["test"]["strategy"]["matrix"]["python"] == promised
    setups = [s for s in steps(read(WORKFLOWS[0])) if "setup-python" in s.get("uses", "")]
    assert len(setups) == len(jobs)
    assert all(step["with"]["cache"] == "pip" for step in setups)


def test_ruff_is_the_same_before_a_commit_and_in_lint():
    repositories = read(REPOSITORY / ".pre-commit-config.yaml")["repos"]
    [ruff] = [r for r in repositories if r["repo"].endswith("/ruff-pre-commit")]
    pins = (REPOSITORY / "constraints.txt").read_text("utf-8")
    [pin] = re.findall(r"^ruff==(\S+)", pins, re.MULTILINE)
    assert ruff["rev"] == f"v{pin}"
    assert {hook["id"] for hook in ruff["hooks"]} == {"ruff-check", "ruff-format"}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_a_form_can_be_filled_in(form: Any):
    fields = read(form)["body"]
    ids = [field["id"] for field in fields]
    assert len(set(ids)) == len(ids)
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown"}
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_a_bug_comes_with_what_is_needed_to_see_it():
    text = FORMS[0].read_text("utf-8")
    needed = ("w2sweep --version", "plan=true", "sweep.json", "failure.json", "w2sweep-status")
    assert [word for word in needed if word not in text] == []
