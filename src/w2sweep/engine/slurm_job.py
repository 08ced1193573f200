"""What runs in a job of Slurm: a command in a process of its own, stopped and queued again as the
cluster asks for it.

The command is a child of submitit's process, for both have their own mind about signals: submitit
asks for its job to be queued again at SIGUSR2, whose default is death, and lets SIGTERM, by which
Slurm begins most pre-emptions, pass; whatever trains may put handlers of its own over these.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from w2sweep.engine.files import read_json, write_json
from w2sweep.engine.handover import DONE, INTERRUPTED, WRONG
from w2sweep.engine.leases import give_back
from w2sweep.engine.owners import Owner

log = logging.getLogger("submitit")

POLL_S = 0.1
STOPPING_S = 20.0
"""How long a command has for giving back its lease after it was told to stop."""
OWNER = "owner.json"
"""In a job's folder: the process that runs its command."""
OTHERS = ("CANCELLED", "COMPLETING", "PENDING", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "FAILED")
"""States of a job about which somebody else has decided."""


class StagesCommand:
    """Makes sure of stages by a command that exits as `engine.handover` says.

    Args:
        command: its words.
        store: where the stages' results are.
        stages: their names.
        faults: how often it is queued again because of a fault of the machine.
    """

    def __init__(self, command: Sequence[str], store: str, stages: Sequence[str], faults: int):
        self.command, self.store, self.stages = list(command), Path(store), list(stages)
        self.faults = faults

    def __call__(self) -> None:
        """Called by submitit. Raises RuntimeError where stages are missing that others read, so
        that what waits for this job does not begin."""
        from submitit.helpers import clean_env

        caught = _Caught()
        self._release_former()
        with clean_env():  # torchrun and Lightning would take themselves for the job's own
            child = subprocess.Popen(self.command, preexec_fn=_ignore_user_signals)
        write_json(_job_folder() / OWNER, Owner.of(child.pid).plain)
        while child.poll() is None and not caught.any:
            time.sleep(POLL_S)
        if caught.any:
            _stop(child)
        self._release_former()
        if caught.any:
            self._go_on_later(caught, f"signal {caught.any[0]}")
        elif child.returncode == INTERRUPTED or child.returncode < 0:
            self.faults -= 1
            if self.faults < 0:
                raise RuntimeError(f"{self._said(child.returncode)}, again and again")
            self._go_on_later(caught, self._said(child.returncode))
        elif child.returncode != DONE and not self._served(child.returncode):
            raise RuntimeError(self._said(child.returncode))

    def checkpoint(self) -> object:
        """Called by submitit before it queues the job again. The checkpoint is in the store."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _said(self, code: int) -> str:
        return f"exit code {code} of {' '.join(self.command)}"

    def _served(self, code: int) -> bool:
        """Whether one of several stages is there: what waits for it is to begin, and what waits for
        the others finds out by itself."""
        there = [(self.store / name).is_dir() for name in self.stages]
        return code != WRONG and len(there) > 1 and any(there)

    def _go_on_later(self, caught: _Caught, why: str) -> None:
        """Has the job queued again, and ends this process; unless the cluster has decided already
        what becomes of the job: it was cancelled, or is queued again."""
        state = _state()
        log.info("%s; the job is %s", why, state or "in an unknown state")
        if state not in OTHERS:
            caught.queue_again()
        raise SystemExit(1)

    def _release_former(self) -> None:
        """Gives back what the command held when it was killed, here or on a node that died: on
        another machine it would be waited for."""
        try:
            former = Owner.told(read_json(_job_folder() / OWNER))
        except (OSError, ValueError):
            return
        for name in self.stages:
            kind, _, key = name.partition("/")
            if give_back(self.store / kind, key, former):
                log.info("gave back the lease of %s on %s", former, name)


class _Caught:
    """The signals that tell a job to stop, from now on; submitit's handler has to wait."""

    def __init__(self):
        from submitit.core.job_environment import JobEnvironment

        self.any: list[int] = []
        self._told = int(getattr(signal, f"SIG{JobEnvironment.USR_SIG}"))
        self._submitits = signal.getsignal(self._told)
        for signum in (self._told, signal.SIGTERM):
            signal.signal(signum, self._catch)

    def _catch(self, signum: int, frame: FrameType | None) -> None:
        self.any.append(signum)

    def queue_again(self) -> None:
        """As submitit does: it raises an error where the job was out of time too often."""
        assert callable(self._submitits)
        self._submitits(self._told, None)


def _stop(child: subprocess.Popen) -> None:
    child.terminate()
    try:
        child.wait(STOPPING_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _ignore_user_signals() -> None:
    """Slurm sends them to every process of a job, and their default is death."""
    for signum in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(signum, signal.SIG_IGN)


def _job_folder() -> Path:
    from submitit import JobEnvironment

    return JobEnvironment().paths.folder


def _state() -> str:
    """Of the job that this process runs in; empty where Slurm does not say."""
    job = os.environ.get("SLURM_JOB_ID", "")
    with suppress(OSError, subprocess.SubprocessError):
        command = ["scontrol", "--oneliner", "show", "job", job]
        said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if found := re.search(r"\bJobState=(\w+)", said.stdout):
            return found[1]
    return ""
