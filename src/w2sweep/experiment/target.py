"""Other tasks that a cell's models answer too."""

from __future__ import annotations

from w2sweep.experiment.splits import Splits
from w2sweep.experiment.splitting import Sizes
from w2sweep.tasks.task import Task
from w2sweep.values import value


@value
class Target:
    """A task that models answer without having been finetuned on it: `evaluate_on` has its name in
    conf/task, and composing the configuration makes this of it."""

    task: Task
    sizes: Sizes

    def splits(self, seed: int) -> Splits:
        """Its examples, in the splits that its own cells have."""
        return Splits.of(self.task, self.sizes, seed)
