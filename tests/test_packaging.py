"""Dependencies are what is imported, pins are for all of it, and the wheel works by itself."""

from __future__ import annotations

import ast
import email
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import trove_classifiers
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from w2sweep import __version__

REPOSITORY = Path(__file__).parents[1]
CITATION = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text("utf-8"))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
DECLARED = [Requirement(line) for line in PROJECT["dependencies"]]
OPTIONAL = chain.from_iterable(PROJECT["optional-dependencies"].values())
EXTRAS = [Requirement(line) for line in OPTIONAL]
NAMED_IN_CONF_ONLY = {"hydra-joblib-launcher", "hydra-submitit-launcher"}


def imported() -> Iterator[str]:
    """The top-level modules that the package imports anywhere, inside functions too."""
    for file in (REPOSITORY / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield str(node.module).split(".")[0]


def distributions_imported() -> set[str]:
    providers = importlib.metadata.packages_distributions()
    third_party = set(imported()) - sys.stdlib_module_names - {"w2sweep"}
    names = chain.from_iterable(providers.get(module, [module]) for module in third_party)
    return {canonicalize_name(name) for name in names}


def pins() -> dict[str, str]:
    text = (REPOSITORY / "constraints.txt").read_text("utf-8")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    pairs = [line.split("==") for line in lines if line]
    return {canonicalize_name(name): version for name, version in pairs}


def test_the_dependencies_are_what_is_imported():
    declared = {canonicalize_name(r.name) for r in DECLARED}
    optional = {canonicalize_name(r.name) for r in EXTRAS}
    imported = distributions_imported()
    assert imported <= declared | optional
    assert declared == (imported & declared) | NAMED_IN_CONF_ONLY


def test_every_dependency_has_an_exact_pin_within_its_range():
    outside = [
        str(r)
        for r in DECLARED + EXTRAS
        if not r.specifier.contains(pins()[canonicalize_name(r.name)])
    ]
    assert outside == []


def test_the_pins_agree_with_each_other():
    """Every installed distribution that is pinned can live with the pins of all it needs."""
    for name in pins().keys() & {
        canonicalize_name(d.name) for d in importlib.metadata.distributions()
    }:
        for requirement in map(Requirement, importlib.metadata.requires(name) or []):
            pin = pins().get(canonicalize_name(requirement.name))
            if pin and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
                assert requirement.specifier.contains(pin), (
                    f"{name} needs {requirement}, pinned is {pin}"
                )


def test_every_command_is_a_function():
    for target in PROJECT["scripts"].values():
        module, function = target.split(":")
        path = REPOSITORY.joinpath("src", *module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        nodes = ast.walk(ast.parse(file.read_text("utf-8")))
        names = [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.alias)]
        assert function in names, f"{target}: no {function} in {file}"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked where nothing of the repository is near."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.parametrize("folder", ["conf", "sweeps"])
def test_the_wheel_has_every_config(installed: Path, folder: str):
    ours = [f for f in (REPOSITORY / folder).rglob("*.yaml") if "local" not in f.parts]
    here = {file.relative_to(REPOSITORY) for file in ours}
    package = installed / "w2sweep"
    there = {file.relative_to(package) for file in (package / folder).rglob("*.yaml")}
    assert here
    assert there == here


def test_the_wheel_has_types_and_templates(installed: Path):
    """What is no Python is there too: the mark that says that hints are to be believed, and the
    pages of reports."""
    source = REPOSITORY / "src" / "w2sweep"
    endings = ("", ".html", ".js", ".typed")
    ours = {f.relative_to(source) for f in source.rglob("*") if f.suffix in endings}
    files = {name for name in ours if (source / name).is_file()}
    assert Path("py.typed") in files
    assert Path("report/sweep.html") in files
    assert {name for name in files if not (installed / "w2sweep" / name).is_file()} == set()


def test_the_wheel_says_what_it_is(installed: Path):
    [told] = installed.glob("*.dist-info")
    metadata = email.message_from_string((told / "METADATA").read_text("utf-8"))
    assert metadata["Name"] == "w2sweep"
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == CITATION["authors"][0]["name"]
    paper = CITATION["references"][0]["url"]
    assert f"Paper, {paper}" in metadata.get_all("Project-URL", [])
    assert set(metadata.get_all("Provides-Extra", [])) == {*PROJECT["optional-dependencies"]}
    assert str(metadata.get_payload()).startswith("# w2sweep\n")
    assert (told / "licenses" / "LICENSE").is_file()


def test_classifiers_are_known_and_agree_with_the_rest():
    classifiers = set(PROJECT["classifiers"])
    assert classifiers <= trove_classifiers.classifiers
    pythons = [name.rpartition(":: ")[2] for name in sorted(classifiers) if ":: 3." in name]
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [minor for minor in pythons if minor not in allowed] == []
    assert pythons == ["3.11", "3.12", "3.13"]


def test_the_citation_is_of_a_version_that_the_changelog_has():
    changelog = (REPOSITORY / "CHANGELOG.md").read_text("utf-8")
    first, *_ = re.findall(r"^## (\S+)", changelog, re.MULTILINE)
    assert Version(__version__).base_version == first
    assert Version(CITATION["version"]) <= Version(first)
    assert CITATION["license"] == PROJECT["license"]


@pytest.mark.parametrize(
    ("arguments", "answer"), [("--help", "quickstart"), ("-cn quickstart", "cells planned")]
)
def test_the_installed_wheel_answers_anywhere(
    installed: Path, tmp_path: Path, arguments: str, answer: str
):
    script = f"""
import sys
from w2sweep.interface import command
from w2sweep.sweep.sweep import Sweep
Sweep.run = lambda self, *_: print(len(self.planned), "cells planned")  # and not run
print(command.__file__)
sys.argv = ["w2sweep", *{arguments.split()}]
command.main()
"""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    assert answer in done.stdout
