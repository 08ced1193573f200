"""Several processes that compute together, as the ranks of a stage do: cases that all of them run,
one after the other, in one start."""

from __future__ import annotations

import datetime
import json
import multiprocessing
import os
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

Case = Callable[[int, Path], None]
"""What a rank does: its number, and a folder that it shares with the others."""
PATIENCE = datetime.timedelta(seconds=120)
"""For another rank, which may have failed."""


def outcomes(cases: Sequence[Case], folder: Path, ranks: int = 2) -> dict[str, str]:
    """Name of a case -> what went wrong with it on any rank; nothing: it is fine. After one that
    fails, none is begun."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        [case.__module__ for case in cases]
    )
    start_processes(_rank, (ranks, cases, folder), ranks, start_method="forkserver")
    found = {case.__name__: "" for case in cases}
    for rank in range(ranks):
        for name, told in json.loads((folder / f"rank{rank}.json").read_text()).items():
            found[name] += told
    return found


def _rank(rank: int, ranks: int, cases: Sequence[Case], folder: Path) -> None:
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    torch.set_num_threads(1)
    meeting = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", meeting, PATIENCE, world_size=ranks, rank=rank)
    told = {case.__name__: "not begun" for case in cases}
    try:
        for case in cases:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")
                case(rank, folder)
            told[case.__name__] = ""
    except Exception:
        told[case.__name__] = f"rank {rank}: {traceback.format_exc()}"
    (folder / f"rank{rank}.json").write_text(json.dumps(told))
    dist.destroy_process_group()
