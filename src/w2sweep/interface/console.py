"""What all commands have in common: how they say that something is wrong, and how they exit."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from w2sweep.interface.explaining import mendable, one_line
from w2sweep.version import __version__

WRONG = 2
"""The exit code of a command whose configuration is wrong."""
INTERRUPTED = 128 + signal.SIGINT
UNREAD = 128 + signal.SIGPIPE


def say(command: str, line: str) -> None:
    """Tells the user, on stderr."""
    print(f"{command}: {line}", file=sys.stderr, flush=True)


def tell_version(parser: argparse.ArgumentParser) -> None:
    """Has a command answer `--version`: all have that of the package."""
    parser.add_argument("--version", action="version", version=f"w2sweep {__version__}")


@contextmanager
def answering(
    command: str,
    explain: Callable[[BaseException], str] = one_line,
    interrupted: int = INTERRUPTED,
) -> Iterator[None]:
    """Exits with 2 and one line where the configuration is wrong, with `interrupted` (130) where
    the user interrupts, and quietly where nobody reads what is printed."""
    _settle_surroundings()
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        for again in (signal.SIGINT, signal.SIGTERM):  # no traceback of the end
            signal.signal(again, signal.SIG_DFL)
        say(command, "interrupted: run the same command again, which goes on from here")
        sys.exit(interrupted)
    except BrokenPipeError:  # of `| head`, and not to be said again when Python closes the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(UNREAD)
    except Exception as error:
        if not mendable(error):
            raise
        say(command, explain(error))
        sys.exit(WRONG)


def _settle_surroundings() -> None:
    """Nothing of the user's surroundings is to stop a finished sweep before its report: a notebook
    names a backend that only it has, and some terminals have no word for ±."""
    os.environ.pop("MPLBACKEND", None)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
