"""The sweeper of w2sweep, and its launchers of stages, in the only namespace where Hydra looks for
them.

Other Hydra applications see them and never use them, so nothing of w2sweep is imported before it
sweeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
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


class OfStages(Launcher):
    """A launcher that gets the stages of a sweep, where Hydra's own get its cells.

    `options` are its settings, for the command to read.
    """

    detaches = False
    """Whether the sweep goes on when the command ends."""
    onlooker = False
    """Whether it runs nothing, and only looks at what others run."""
    here = False
    """Whether stages are run by workers of this machine, which take them as they are."""

    def __init__(self, **options: Any):
        self.options = options

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Called by Hydra; there is nothing to be kept."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Called by Hydra's own sweepers."""
        raise NotImplementedError(f"{type(self).__name__} launches stages, not cells")

    def hand_over(self, make: Any, store: Path, say: Callable[[str], object]) -> None:
        """Called by w2sweep. `make` tells what is missing, given the stages that are at work
        already, by name, and what the engine calls the jobs that are for them."""
        raise NotImplementedError


class Nobody(OfStages):
    """Runs nothing: the command tells what there is."""

    onlooker = True


class StagesLocal(OfStages):
    """Workers of this machine, who live as long as the sweep."""

    here = True


class StagesSlurm(OfStages):
    """A job of Slurm for each stage."""

    detaches = True

    def hand_over(self, make: Any, store: Path, say: Callable[[str], object]) -> None:
        """Submits what is missing."""
        from w2sweep.engine.slurm import submit
        from w2sweep.interface.staging import slurm_options

        submit(make, store, slurm_options(self.options), say)


class StagesRay(OfStages):
    """A task of Ray for each stage."""

    def hand_over(self, make: Any, store: Path, say: Callable[[str], object]) -> None:
        """Runs what is missing."""
        from w2sweep.engine.ray_tasks import run_jobs
        from w2sweep.interface.staging import ray_options

        run_jobs(make({}), ray_options(self.options), say)
