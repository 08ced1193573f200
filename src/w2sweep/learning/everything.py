"""All that stages are run by, for processes that are to have imported it before they are forked."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _without_garbage() -> Iterator[None]:
    """What is imported in the block stays for good: nobody looks through it for garbage, neither
    meanwhile nor ever after."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()


with _without_garbage():
    import w2sweep.learning.applying
    import w2sweep.learning.finetuning
    import w2sweep.learning.inference
    import w2sweep.learning.loading
    import w2sweep.learning.pretraining
    import w2sweep.learning.prompting
    import w2sweep.learning.subjects
    import w2sweep.learning.tuned  # noqa: F401
