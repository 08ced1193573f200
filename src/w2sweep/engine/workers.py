"""Work that is no sweep, shared by processes on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from w2sweep.engine.foreman import Foreman, Share
from w2sweep.engine.stage import Stage, closure
from w2sweep.engine.store import Store
from w2sweep.engine.watch import Watch


def ensure_in_processes(
    store: Store, stages: Sequence[Stage], workers: int, preload: Sequence[str] = ()
) -> None:
    """Runs what is missing of these stages and of what they read, and shows how far it is.

    Several workers are processes of their own, each of which has a GPU of its own where there are
    several, and has imported the modules of `preload`; a single one is this process. Raises
    StageFailed where a stage failed, after all that can be run without it.
    """
    missing = closure(tuple(stages), known=store.done)
    if not missing:
        return
    with Watch(missing, store, workers):
        if workers == 1:
            store.ensure(*stages)
            return
        foreman = Foreman([Share(store, stages)], workers, preload)
        foreman.run()
    for failure in foreman.failed.values():
        raise failure
