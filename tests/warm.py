"""Python processes that have their imports behind them.

One process reads once what commands read, and then copies itself for each command, which takes
milliseconds where a new process takes seconds. A copy has a folder, an environment, arguments,
output and an end of its own, and what it does to itself is gone with it.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
READ = (
    "w2sweep.interface.command",
    "w2sweep.learning.curves",
    "w2sweep.report.everything",
)
"""What commands read sooner or later, without torch."""


def run(
    script: str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    seconds: float = 120,
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` would say of `python -c SCRIPT ARGUMENTS` in the folder. Raises
    TimeoutExpired where it takes longer.

    What is read of the environment once, such as PYTHONPATH by Python and MPLBACKEND by matplotlib,
    is not read again.
    """
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place, "out"), Path(place, "err")
        asked = {"script": script, "arguments": [*arguments], "environment": {**environment}}
        code = _original().run(
            {**asked, "folder": str(folder), "said": [str(out), str(err)]}, seconds
        )
        return subprocess.CompletedProcess([*arguments], code, out.read_text(), err.read_text())


class _Original:
    """The process that is copied."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
        with tempfile.TemporaryDirectory() as nothing:  # whose modules are none by mistake
            self._process = subprocess.Popen(
                [sys.executable, "-c", "import warm; exec(warm.copied())"],
                cwd=nothing,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            self._answer(60)
        atexit.register(self.end)

    def run(self, asked: Mapping[str, Any], seconds: float) -> int:
        """The exit code of a copy."""
        assert self._process.stdin
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return self._answer(seconds)

    def end(self) -> None:
        """With all of its copies."""
        atexit.unregister(self.end)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        _original.cache_clear()

    def _answer(self, seconds: float) -> int:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            self.end()
            raise subprocess.TimeoutExpired(self._process.args, seconds)
        return int(self._process.stdout.readline())


_original = functools.cache(_Original)


def copied() -> str:
    """Runs in the process that is copied, and comes back in its copies: with the script that is to
    be run, as they then are in its surroundings."""
    for name in READ:
        importlib.import_module(name)
    read_files_once()
    importlib.import_module("w2sweep.interface.composing").planned_by("config", [])
    print(0, flush=True)
    for line in sys.stdin:
        copy = os.fork()
        if copy == 0:
            return _surrounded(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]), flush=True)
    sys.exit()


def read_files_once() -> None:
    """From now on this process reads each file of conf/ and sweeps/ once: no test changes them."""
    from hydra._internal.core_plugins.file_config_source import FileConfigSource

    from w2sweep.interface.choices import copies

    read, kept = FileConfigSource.load_config, dict[tuple[str, str], Callable[[], Any]]()

    def once(source: FileConfigSource, config_path: str) -> Any:
        if not Path(source.path).is_relative_to(TESTS.parent):
            return read(source, config_path)
        key = (source.path, config_path)
        if key not in kept:
            kept[key] = copies(read(source, config_path))
        return kept[key]()

    setattr(FileConfigSource, "load_config", once)  # noqa: B010, pyright knows no other way


def _surrounded(asked: Mapping[str, Any]) -> str:
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = ["-c", *asked["arguments"]]
    files = [os.open(os.devnull, os.O_RDONLY)]
    files += [os.open(path, os.O_WRONLY | os.O_CREAT) for path in asked["said"]]
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    return asked["script"]
