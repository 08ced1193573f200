"""Asking the Hugging Face hub: in seconds, whether it answers or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def silence() -> str:
    """Why the hub does not answer, which it is asked once and in vain for ten seconds at most; ""
    where it does."""
    import huggingface_hub

    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=10)
    except Exception as error:  # of whichever HTTP library it is made with
        return first_line(error)
    return ""


@contextmanager
def asking_once() -> Iterator[None]:
    """Asks the hub once whether it answers; if not, only earlier downloads are looked for.

    Without this, its clients would go on asking, for each of many files, for a minute.
    """
    import datasets.config
    import huggingface_hub

    settings: tuple[Any, ...] = (huggingface_hub.constants, datasets.config)
    before = [module.HF_HUB_OFFLINE for module in settings]
    if silence():
        for module in settings:
            module.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        for module, offline in zip(settings, before, strict=True):
            module.HF_HUB_OFFLINE = offline


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
