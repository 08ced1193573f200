"""What it is worth that a worker keeps the splits that it has read and their token ids: CPU seconds
a whole finetuning, of ten seeds by one call, with room for them and without.

    python benchmarks/kept.py

On one of two cores of an AMD EPYC with AVX-512, the other one nearly idle, --rounds 3:

              without, s   with, s   ratio
    nano            0.19      0.15    1.43
    micro           0.19      0.16    1.29
    tiny            0.26      0.22    1.20
    mini            0.32      0.26    1.19
    small           0.44      0.40    1.12
"""

from __future__ import annotations

import argparse
import gc
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import w2sweep.learning.everything  # noqa: F401
from w2sweep.engine.job import Circumstances
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.store import Store
from w2sweep.experiment import splits
from w2sweep.experiment.stages import Finetune
from w2sweep.interface.composing import planned_by
from w2sweep.learning import tokens

KEPT = (splits._READ, tokens._IDS)
ROOMS = [kept.room for kept in KEPT]
SEEDS = 10
RUNGS = ("nano", "micro", "tiny", "mini", "small")
READ = 6_000
"""Tokens that backbones are pretrained on: it does not matter here what they know."""


def finetunings() -> list[Finetune]:
    """Supervisors and ceilings of the lab, of all rungs and seeds."""
    words = ["task=sentiment", "weak=nano", f"strong={','.join(RUNGS[1:])}", "method=naive"]
    words += [f"seed=range(0,{SEEDS})", "tracking=none"]
    words += [f"ladder.rungs.{rung}.tokens={READ}" for rung in RUNGS]
    planned = planned_by("config", words)
    stages = {stage.name: stage for p in planned if p.cell for stage in p.cell.stages}
    return [s for s in stages.values() if isinstance(s, Finetune) and s.labels is None]


def seconds(store: Store, stages: Sequence[Finetune], kept: bool) -> float:
    """Of the processor, for each of some stages. Their results are thrown away."""
    for its, room in zip(KEPT, ROOMS, strict=True):
        its.room = room if kept else 0
    began = time.process_time()
    store.ensure(*stages)
    took = (time.process_time() - began) / len(stages)
    for stage in stages:
        shutil.rmtree(store.path(stage))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    gc.freeze()  # as a worker does
    stages = finetunings()
    with TemporaryDirectory() as folder:
        runtime = Runtime(accelerator="cpu", checkpoint_seconds=1e9, bf16="no")
        store = Store(Path(folder), Circumstances(runtime))
        print(f"{'':8}{'without, s':>12}{'with, s':>10}{'ratio':>8}")
        for rung in RUNGS:
            its = [stage for stage in stages if stage.backbone.label == rung]
            seconds(store, its, kept=True)  # pretrains, and warms up
            found: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(rounds):
                found[False].append(seconds(store, its, kept=False))
                seconds(store, its, kept=True)  # fills what is kept
                found[True].append(seconds(store, its, kept=True))
            pairs = zip(found[False], found[True], strict=True)
            ratio = statistics.median(without / kept for without, kept in pairs)
            without, kept = (statistics.median(found[k]) for k in (False, True))
            print(f"{rung:8}{without:>12.2f}{kept:>10.2f}{ratio:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
