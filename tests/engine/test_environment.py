"""What a process says that it computes with, asked of git itself in repositories made for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from w2sweep.engine import environment
from w2sweep.version import __version__


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=n", "-c", "user.email=e")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "own.py").write_text("1")
    git(tmp_path, "add", "own.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_the_commit_of_a_folder_and_whether_it_is_what_runs(repository: Path):
    head = git(repository, "rev-parse", "HEAD")
    (repository / "outputs").mkdir()  # files that git does not know change nothing
    (repository / "outputs" / "a").write_text("1")
    assert environment.commit(repository / "outputs") == {"commit": head, "changed": False}
    (repository / "own.py").write_text("2")
    assert environment.commit(repository) == {"commit": head, "changed": True}


def test_where_there_is_no_commit_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment.commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert environment.commit(tmp_path) is None  # nothing was committed
    monkeypatch.setenv("PATH", "")
    assert environment.commit(tmp_path) is None  # there is no git


def test_an_installed_package_is_not_taken_for_the_repository_around_it(
    repository: Path, monkeypatch: pytest.MonkeyPatch
):
    installed = repository / ".venv" / "site-packages" / "w2sweep"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    monkeypatch.setattr(environment, "PACKAGE", installed)
    monkeypatch.chdir(repository)
    found = environment._commits()
    assert found["w2sweep"] is None
    assert found["folder"] == environment.commit(repository)


def test_versions_are_told_without_importing_anything():
    code = """
import sys
from w2sweep.engine.environment import versions
found = versions()
assert not {"torch", "transformers", "peft"} & set(sys.modules)
print(found["torch"], found["transformers"], found["python"], found["w2sweep"])
"""
    path = str(Path(environment.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": path, "PATH": ""},
        check=True,
        capture_output=True,
        text=True,
    )
    import torch
    import transformers

    python = ".".join(map(str, sys.version_info[:3]))
    expected = [str(torch.__version__), transformers.__version__, python, __version__]
    assert done.stdout.split() == expected
