"""GPUs of a machine on which several workers compute: each takes one of its own.

A worker holds a slot of its GPU by the lock of a file, which ends with the process, however that
ends. Slots have levels: a second worker comes to a GPU when all others have one.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from w2sweep.engine.devices import Accelerator

log = logging.getLogger(__name__)

VARIABLE = "CUDA_VISIBLE_DEVICES"
"""The variable by which CUDA, and all that uses it, is told which GPUs there are."""
ANSWER_S = 60.0
"""How long the driver may take to list the GPUs."""
_SHELF = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class _Slot:
    gpu: str
    level: int
    """Workers that were on the GPU before."""
    lock: FileLock


_HELD: list[_Slot] = []
"""Of this process, for as long as it lives."""


def take(accelerator: Accelerator, number: int = 1) -> None:
    """Restricts this process to `number` of the GPUs that it sees: those with the fewest workers.

    Call it before anything asks CUDA for its devices. Where there are no more GPUs than that, none
    is to be used, or this process has its own already, nothing changes.
    """
    if accelerator == "cpu" or _HELD:
        return
    gpus = visible()
    if len(gpus) <= number:
        return
    try:
        _HELD.extend(_chosen(_folder(), gpus, number))
    except OSError as error:
        log.warning("all workers share the first GPU: %s", error)
        return
    own = {slot.gpu for slot in _HELD}
    os.environ[VARIABLE] = ",".join(gpu for gpu in gpus if gpu in own)


def visible() -> list[str]:
    """What CUDA calls the GPUs that this process may use, without waking CUDA."""
    said = os.environ.get(VARIABLE)
    if said is None:
        return _installed()
    names = [name.strip() for name in said.split(",")]
    wrong = [i for i, name in enumerate(names) if name in ("", "-1", "NoDevFiles")]
    return names[: wrong[0]] if wrong else names  # as CUDA does: what follows is not seen


def _installed() -> list[str]:
    """What the driver calls its GPUs, and the parts of those that are divided (MIG)."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        told = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=ANSWER_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("no list of GPUs: %s", error)
        return []
    names = re.findall(r"\(UUID: ([\w/-]+)\)", told.stdout)
    parts = [name for name in names if name.startswith("MIG-")]
    return parts or names  # CUDA computes on parts where there are some


def _chosen(folder: Path, gpus: list[str], number: int) -> list[_Slot]:
    """The slots with the lowest levels. One worker chooses at a time."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(folder / "choosing"):
        free = sorted((_free(folder, gpu) for gpu in gpus), key=lambda slot: slot.level)
        for slot in free[number:]:
            slot.lock.release()
    return free[:number]


def _free(folder: Path, gpu: str) -> _Slot:
    """The lowest slot of a GPU that nobody holds. It is held now."""
    for level in count():
        lock = FileLock(folder / f"{_SHELF.sub('_', gpu)}.{level}", thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        return _Slot(gpu, level, lock)
    raise AssertionError("numbers have no end")


def _folder() -> Path:
    """Where the locks are: of this machine and this user, and where a cluster numbers the GPUs of
    each job anew, of this job."""
    job = os.environ.get("SLURM_JOB_ID", "")
    return Path(tempfile.gettempdir()) / f"w2sweep-gpus-{os.getuid()}{job and f'-{job}'}"
