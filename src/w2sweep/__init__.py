"""w2sweep: sweeps for weak-to-strong generalization (Burns et al. 2023, arXiv 2312.09390).

Here is what your own losses, methods, tasks, heads, supervisions and stages are made of. Paths
below this package are private: they may move, these names stay. And `load`, for notebooks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from w2sweep.engine.stage import Job, Stage
from w2sweep.experiment.kinds import Labels
from w2sweep.experiment.losses import Loss
from w2sweep.experiment.methods import Method
from w2sweep.experiment.predictions import Predictions
from w2sweep.experiment.recipe import Recipe
from w2sweep.experiment.setting import Setting, Supervision
from w2sweep.experiment.stages import Adapt, Features, Finetune
from w2sweep.experiment.tuning import Full, LinearProbe, Lora
from w2sweep.experiment.weights import Weights
from w2sweep.tasks.example import Example, Skipped
from w2sweep.tasks.heads import Choice, Completion, Head, LinearHead, Reward
from w2sweep.tasks.task import Corpus, Task
from w2sweep.values import ConfigError, Impossible, named, value
from w2sweep.version import __version__

if TYPE_CHECKING:
    from w2sweep.report.frames import LoadedSweep

__all__ = [
    "Adapt",
    "Choice",
    "Completion",
    "ConfigError",
    "Corpus",
    "Example",
    "Features",
    "Finetune",
    "Full",
    "Head",
    "Impossible",
    "Job",
    "Labels",
    "LinearHead",
    "LinearProbe",
    "Lora",
    "Loss",
    "Method",
    "Predictions",
    "Recipe",
    "Reward",
    "Setting",
    "Skipped",
    "Stage",
    "Supervision",
    "Task",
    "Weights",
    "__version__",
    "load",
    "named",
    "value",
]


def load(sweep: str | Path, store: str | Path | None = None) -> LoadedSweep:
    """The results of a sweep as pandas tables: `.cells`, `.curves` and `.predictions(...)`.

    Args:
        sweep: its folder, `outputs/sweeps/NAME`. It need not have finished.
        store: the folder of its store. None: the one that its cells name, or that lies beside it.

    Raises ConfigError where the folder is no sweep, or no cell of it has finished.
    """
    from w2sweep.report import frames  # and with it what draws: nothing that a sweep needs

    return frames.load(sweep, store)
