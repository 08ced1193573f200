"""Work that is no sweep, shared by processes on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from w2sweep.engine import gpus
from w2sweep.engine.progress import Watch
from w2sweep.engine.stage import Stage, closure
from w2sweep.engine.store import Store


def ensure_in_processes(store: Store, stages: Sequence[Stage], workers: int) -> None:
    """Runs what is missing of these stages and of what they read, and shows how far it is.

    Several workers are processes of their own, which share the work through the store's leases, and
    each of which has a GPU of its own where there are several; a single one is this process. Raises
    StageFailed where a stage failed, and BrokenProcessPool where a worker died.
    """
    missing = closure(tuple(stages), known=store.done)
    if not missing:
        return
    since = store.since if store.mode == "force" else 0.0
    with Watch({stage.name: str(stage) for stage in missing}, store.root, since):
        if workers == 1:
            store.ensure(*stages)
        else:
            _share(store, stages, workers)


def _share(store: Store, stages: Sequence[Stage], workers: int) -> None:
    runtime = store.circumstances.runtime
    own = (runtime.accelerator, runtime.devices)
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, gpus.take, own) as pool:
        running = [pool.submit(store.ensure, *stages) for _ in range(workers)]
        for worker in running:
            worker.result()
