"""The only module that runs Weights & Biases.

It never asks, never fails a stage, and holds a process up by some seconds at most, once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from w2sweep.engine.tracker import Run, Tracker, brief, warn
from w2sweep.values import ConfigError, value

if TYPE_CHECKING:
    import wandb

QUIET = {
    "silent": True,
    "console": "off",
    "host": "",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "init_timeout": 10,
    "finish_timeout": 60,
}
"""Settings of W&B (times in seconds). It gets the metrics and the config of a run, and nothing of
the code, the terminal or the machine. Its own `init_timeout` of 90 s would be waited for by every
worker of a cluster without internet."""


WATCHING = {"x_disable_stats": False, "x_disable_machine_info": False}
"""What is added of the machine where that is asked for."""
FORBIDDEN = "/\\#?%:"
LONGEST_NAME = 128
"""What W&B takes in the names of projects and entities."""


class WandbWriter:
    """An open run of W&B."""

    def __init__(self, run: wandb.Run):
        self._run = run

    @property
    def url(self) -> str:
        # an offline run has none, and warns of being asked
        return "" if self._run.offline else self._run.url or ""

    def log(self, values: Mapping[str, Any], step: int | None) -> None:
        self._run.log(dict(values), step=step)

    def summarize(self, values: Mapping[str, Any]) -> None:
        self._run.summary.update(dict(values))

    def show(
        self, rows: Sequence[Mapping[str, Any]], figures: Sequence[Path], page: Path | None
    ) -> None:
        self._run.log(_media(rows, figures, page))

    def finish(self, exit_code: int) -> None:
        self._run.finish(exit_code)


@value
class Tracking(Tracker):
    """Where runs go. W&B's own settings (WANDB_MODE, WANDB_API_KEY, `wandb login`, `wandb offline`)
    are respected."""

    project: str = "w2sweep"
    entity: str | None = None
    """The W&B user or team; None: the account's default."""
    mode: Literal["auto", "online", "offline"] = "auto"
    """`auto`: online when logged in, else offline. `online` falls back to offline where W&B cannot
    be reached, and does not overrule WANDB_MODE=offline."""
    tags: tuple[str, ...] = ()
    """On every run, beside its own."""
    dir: str = "outputs"
    """Where W&B makes its folder `wandb`."""
    system: bool = False
    """Whether W&B watches the machine while stages train: its processors, memory and GPUs."""

    def __post_init__(self) -> None:
        """Raises ConfigError for what W&B would refuse: a sweep learned that at its first stage,
        and then had no curves."""
        _check_name("project", self.project, "tracking.entity=TEAM names the team")
        if self.entity is not None:
            _check_name("entity", self.entity, "a user or a team")
        if not self.dir or (Path(self.dir).exists() and not Path(self.dir).is_dir()):
            raise ConfigError(f"dir: found '{self.dir}', expected a folder, or a place for one")

    @contextmanager
    def run(
        self,
        *,
        id: str,
        name: str,
        group: str,
        job_type: str,
        tags: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
        live: bool = False,
    ) -> Iterator[Run]:
        """See `Tracker.run`."""
        asked = {
            "project": self.project,
            "entity": self.entity,
            "dir": self.dir,
            "id": id,
            "name": name[:128],
            "group": group[:128],
            "job_type": job_type,
            "tags": _labels((*self.tags, *tags)),
            "config": dict(config or {}),
            "settings": QUIET | WATCHING if live and self.system else QUIET,
        }
        opened = _opened(_modes(self.mode), asked)
        run, exit_code = Run(opened and WandbWriter(opened), "W&B"), 1
        try:
            yield run
            exit_code = 0
        finally:
            run.finish(exit_code)

    def place(self, sweep: str) -> list[str]:
        return [self.project, sweep]


def _check_name(key: str, found: str, more: str) -> None:
    sound = found.isprintable() and not set(found) & set(FORBIDDEN)
    if not sound or not 0 < len(found) <= LONGEST_NAME or found != found.strip():
        raise ConfigError(
            f"{key}: found {found!r:.60}, expected at most {LONGEST_NAME} characters, none of "
            f"{' '.join(FORBIDDEN)} ({more})"
        )


def _labels(tags: Sequence[str]) -> list[str]:
    """Each tag once, as W&B takes it: it refuses long and empty ones."""
    return [tag[:64] for tag in dict.fromkeys(tags) if tag]


def _opened(modes: list[str], asked: dict[str, Any]) -> wandb.Run | None:
    """A run in the best of the modes that works, after striking out the others; None without
    any."""
    while modes:
        try:
            return _init(mode=modes[0], **asked)
        except Exception as error:
            failed = modes.pop(0)
            then = "without tracking"
            if modes:
                then = f"offline, in {asked['dir']}/wandb; `wandb sync` uploads it later"
            warn(f"W&B cannot be used {failed} ({brief(error)}): going on {then}")
    return None


@functools.cache
def _modes(asked: str) -> list[str]:
    """The modes still worth trying, best first. The process shares the list, so that a failure is
    waited for once."""
    try:
        return _modes_of_wandb(asked)
    except Exception as error:
        warn(f"W&B cannot be set up ({brief(error)}): going on offline")
        return ["offline"]


def _modes_of_wandb(asked: str) -> list[str]:
    import wandb

    # WANDB_MODE or `wandb offline`, else online
    own = wandb.setup(wandb.Settings(silent=True)).settings.mode
    if asked == "offline":
        return ["offline"]
    if own != "online":
        return [own]
    if wandb.login(prompt=False, verify=False):
        return ["online", "offline"]
    if asked == "online":
        remedy = "say `wandb login`, or tracking.mode=offline"
        warn(f"W&B tracks offline, for nobody is logged in: {remedy}")
    return ["offline"]


def _init(dir: str, settings: Mapping[str, Any], **run: Any) -> wandb.Run:
    import wandb

    # W&B takes the system's temporary folder for one that is not there
    Path(dir).mkdir(parents=True, exist_ok=True)
    own = wandb.Settings(**settings)
    try:
        return wandb.init(dir=dir, resume="allow", reinit="create_new", settings=own, **run)
    except Exception:
        wandb.teardown()  # it would go on holding the run's id, even against the next mode
        raise


def _media(
    rows: Sequence[Mapping[str, Any]], figures: Sequence[Path], page: Path | None
) -> dict[str, Any]:
    import wandb

    columns: list[Any] = list(dict.fromkeys(chain.from_iterable(rows)))
    cells: list[Any] = [list(map(row.get, columns)) for row in rows]
    table = wandb.Table(columns=columns, data=cells, allow_mixed_types=True)
    media: dict[str, Any] = {
        f"figures/{figure.stem}": wandb.Image(str(figure)) for figure in figures
    }
    if page is not None:
        media["page"] = wandb.Html(str(page))
    return {"table": table, **media}
