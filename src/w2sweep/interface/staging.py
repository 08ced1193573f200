"""Sweeps whose stages are handed over to an engine of a cluster, instead of cells to a launcher."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import DictConfig, OmegaConf

from w2sweep.building import made
from w2sweep.engine import server
from w2sweep.engine.handover import Handover
from w2sweep.engine.resources import Rule
from w2sweep.interface.launching import asked_for, local_options, room
from w2sweep.interface.status_command import status
from w2sweep.sweep.jobs import stage_jobs
from w2sweep.sweep.local import Here, run_here
from w2sweep.sweep.plan import Planned
from w2sweep.sweep.sweep import Report, Sweep

if TYPE_CHECKING:
    from w2sweep.engine.ray_tasks import RayOptions
    from w2sweep.engine.slurm import SlurmOptions

RULES = "hydra.launcher.resources"
STAGE_COMMAND = (sys.executable, "-m", "w2sweep.interface.stage_command")
SWEEP_COMMAND = (sys.executable, "-m", "w2sweep")
LAUNCHING = ("hydra/launcher", "hydra.launcher", "hydra.sweep.dir")
"""Keys that say how and where a sweep is run, which its jobs have to be told otherwise."""


@dataclass(frozen=True)
class Said:
    """The words of a command, in parts."""

    config: tuple[str, ...]
    """The flags that choose a configuration."""
    hydra: tuple[str, ...]
    """Overrides of Hydra's own."""
    ours: tuple[str, ...]
    """The others."""

    @property
    def shared(self) -> tuple[str, ...]:
        """What every command for this sweep begins with."""
        kept = [o for o in self.hydra if not o.lstrip("+~").startswith(LAUNCHING)]
        return (*self.config, *kept)


SAID: ContextVar[Said] = ContextVar("said")
"""What the command was asked."""


class OfStages(Protocol):
    """A launcher of stages: those of `hydra_plugins.w2sweep`."""

    detaches: bool
    onlooker: bool
    here: bool
    options: Mapping[str, Any]

    def hand_over(self, make: Make, store: Path, say: Callable[[str], object]) -> None:
        """Runs what is missing, or has it run."""


def of_stages(launcher: Any) -> OfStages | None:
    """The launcher, if it is one of stages; else it is one of Hydra's, for cells."""
    return launcher if hasattr(launcher, "hand_over") else None


Make = Callable[[Mapping[str, str]], Handover]


def run_stages(whole: Sweep, config: DictConfig, launcher: OfStages, report: Report) -> int:
    """Runs what is missing of a sweep by a launcher of stages, and returns the exit code. One that
    detaches leaves the report to its last job."""
    if launcher.onlooker:
        return whole.look(report)
    if launcher.here:
        return _run_here(whole, launcher, report)
    rules = rules_of(config)

    def start(left: Sequence[Planned]) -> None:
        launcher.hand_over(_maker(whole, left, rules), whole.store.root, whole.say)
        if not launcher.detaches:
            whole.record_failures(left)

    if not launcher.detaches:
        return whole.run(start, report)
    if left := whole.begin():
        start(left)
        for line in status(whole.folder).lines():
            whole.say(line)
        whole.say(f"w2sweep-status {whole.folder} tells it again, without submitting anything")
        return 0
    return whole.conclude(report, ran=False)


def _run_here(whole: Sweep, launcher: OfStages, report: Report) -> int:
    options = local_options(launcher.options)
    workers = asked_for(options.n_jobs, room(whole.runtime))
    place = Here(whole.folder, workers, options.preload)

    def start(left: Sequence[Planned]) -> None:
        server.begin(options.preload, whole.runtime.threads)
        if len(whole.planned) > 1:  # while the server imports too, instead of when all wait for it
            importlib.import_module("w2sweep.report.everything")
        run_here(left, place, whole.say)

    def told(finished: Sweep, ran: bool) -> None:
        server.end()  # it has nothing more to do
        report(finished, ran)

    return whole.run(start, told, workers)


def rules_of(config: DictConfig) -> dict[str, Rule]:
    """Which stages the launcher gives what, by the names of the rules; none: it knows no stages.
    Rules that are given take the place of those that it brings. Raises ConfigError for one that
    cannot be."""
    launcher = config.hydra.launcher
    given = launcher.get("resources") or launcher.get("default_resources") or {}
    said = OmegaConf.to_container(given, resolve=True) if OmegaConf.is_config(given) else given
    assert isinstance(said, dict)
    return {str(name): made(Rule, its, f"{RULES}.{name}") for name, its in said.items()}


def slurm_options(given: Mapping[str, Any]) -> SlurmOptions:
    """The settings of `hydra/launcher=stages_slurm` but for its rules. Raises ConfigError where one
    is wrong."""
    from w2sweep.engine.slurm import SlurmOptions

    plain = {key: _plain(node) for key, node in given.items() if "resources" not in key}
    if "report" in plain:
        plain["report"] = made(Rule, plain["report"], "hydra.launcher.report")
    return made(SlurmOptions, plain, "hydra.launcher")


def ray_options(given: Mapping[str, Any]) -> RayOptions:
    """The settings of `hydra/launcher=stages_ray` but for its rules. Raises ConfigError where one
    is wrong."""
    from w2sweep.engine.ray_tasks import RayOptions

    plain = {key: _plain(node) for key, node in given.items() if "resources" not in key}
    return made(RayOptions, plain, "hydra.launcher")


def _plain(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _maker(whole: Sweep, left: Sequence[Planned], rules: Mapping[str, Rule]) -> Make:
    said = SAID.get()
    folder = Path(whole.folder).absolute()
    place = QuotedString(str(folder), Quote.single).with_quotes()
    report = (*said.ours, f"hydra.sweep.dir={place}", "hydra/launcher=none")

    def make(live: Mapping[str, str]) -> Handover:
        return Handover(
            jobs=stage_jobs(left, rules, whole.store.done, live),
            command=(*STAGE_COMMAND, *said.shared, "--with-parent", "--sweep", str(folder)),
            rules=rules,
            name=whole.name,
            stages=frozenset(whole.stages),
            folder=folder,
            store=whole.store.root,
            report=(*SWEEP_COMMAND, *said.shared, *report),
        )

    return make
