"""Asking the hub for models: in seconds, and with one line where it does not give them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from w2sweep.engine.failures import is_networks_fault
from w2sweep.experiment.backbone import Backbone, HubModel
from w2sweep.tasks.asking import asking_once
from w2sweep.values import ConfigError

P = ParamSpec("P")
T = TypeVar("T")
Loader = Callable[Concatenate[Backbone, "Path | None", P], T]


def explained(load: Loader[P, T]) -> Loader[P, T]:
    """A loader of models, which asks the hub where there is no folder. See `asked_for`."""

    @functools.wraps(load)
    def wrapped(backbone: Backbone, folder: Path | None, *args: P.args, **options: P.kwargs) -> T:
        if folder is not None or not isinstance(backbone, HubModel):
            return load(backbone, folder, *args, **options)
        with asked_for(backbone):
            return load(backbone, folder, *args, **options)

    return wrapped


@contextmanager
def asked_for(model: HubModel) -> Iterator[None]:
    """Raises ConfigError where the hub does not give what the block loads of a model: an answer
    that is waited for once, and that holds for all cells of the sweep."""
    if Path(model.model).is_dir():
        yield
        return
    try:
        with asking_once():
            yield
    except Exception as error:
        if not _of_the_hub(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"model {model.model} cannot be loaded from the Hugging Face hub ({reason:.160}): "
            "check its name and the network, or give a folder that has it "
            "(ladder.rungs.NAME.model=FOLDER)"
        ) from error


def _of_the_hub(error: Exception) -> bool:
    """Whether it tells that the hub did not answer, or has no such model. Transformers says so by
    an OSError that, other than those of this machine, has no number."""
    unnumbered = isinstance(error, OSError) and error.errno is None
    return unnumbered or is_networks_fault(error)
