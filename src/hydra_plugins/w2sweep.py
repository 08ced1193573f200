"""The sweeper of w2sweep, in the only namespace where Hydra looks for one.

Other Hydra applications see it and never use it, so it imports nothing of w2sweep before it sweeps.
"""

from __future__ import annotations

from collections.abc import Mapping

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class Grid(Sweeper):
    """Spans a grid as Hydra's basic sweeper does, but checks every cell before it launches any,
    and launches only those that the store cannot answer.

    `params` are overrides, as a file in sweeps/ gives them, for the command to read.
    """

    def __init__(self, params: Mapping[str, str] | None = None):
        self.params = dict(params or {})

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra before `sweep`."""
        from hydra.core.plugins import Plugins

        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context, task_function, config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Called by Hydra with the overrides of the first cell; the command has planned them
        all."""
        from w2sweep.interface.command import sweep

        assert self.config is not None
        assert self.launcher is not None
        sweep(self.config, self.launcher)
