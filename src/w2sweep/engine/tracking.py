"""The only module that knows Weights & Biases: a run for each trained stage, and a summary run for
each sweep.

Tracking never asks, never fails a stage, and holds a process up by some seconds at most, once: what
W&B cannot do is said in one line and then left.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from w2sweep.values import ConfigError, value

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)

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


FORBIDDEN = "/\\#?%:"
LONGEST_NAME = 128
"""What W&B takes in the names of projects and entities."""


class Run:
    """An open run of W&B, or one that logs nothing."""

    def __init__(self, run: wandb.Run | None = None):
        self._run = run

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Adds `values` at a step. W&B ignores them where the step is before the last one."""
        if self._run is not None:
            with self._tolerated("log"):
                self._run.log(dict(values), step=step)

    def show(
        self, rows: Sequence[Mapping[str, Any]], figures: Sequence[Path], page: Path | None
    ) -> None:
        """Adds a table, PNG figures and an HTML page."""
        if self._run is not None:
            with self._tolerated("show the summary"):
                self._run.log(_media(rows, figures, page))

    def finish(self, exit_code: int = 0) -> None:
        """Closes the run and waits until what was logged is written, or uploaded."""
        if self._run is not None:
            with self._tolerated("finish"):
                self._run.finish(exit_code)

    @contextmanager
    def _tolerated(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._run = None
            _warn(f"W&B could not {what} ({_brief(error)}): the rest of the run is not tracked")


@value
class Tracking:
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
    ) -> Iterator[Run]:
        """An open run, finished whatever happens; marked as failed where the block raises.

        A run opened again with the same `id`, as that of a resumed stage, goes on where it was.
        """
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
        }
        run, exit_code = Run(_opened(_modes(self.mode), asked)), 1
        try:
            yield run
            exit_code = 0
        finally:
            run.finish(exit_code)

    def summary(
        self,
        *,
        sweep: str,
        rows: Sequence[Mapping[str, Any]],
        figures: Sequence[Path] = (),
        page: Path | None = None,
    ) -> None:
        """The run of a whole sweep: its table, its PNG figures and its HTML page."""
        id = "sweep-" + re.sub(r"[^\w.-]", "-", sweep)[:100]
        with self.run(id=id, name=f"{sweep}: summary", group=sweep, job_type="summary") as run:
            run.show(rows, figures, page)


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
            _warn(f"W&B cannot be used {failed} ({_brief(error)}): going on {then}")
    return None


@functools.cache
def _modes(asked: str) -> list[str]:
    """The modes still worth trying, best first. The process shares the list, so that a failure is
    waited for once."""
    try:
        return _modes_of_wandb(asked)
    except Exception as error:
        _warn(f"W&B cannot be set up ({_brief(error)}): going on offline")
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
        _warn(f"W&B tracks offline, for nobody is logged in: {remedy}")
    return ["offline"]


def _init(dir: str, **run: Any) -> wandb.Run:
    import wandb

    # W&B takes the system's temporary folder for one that is not there
    Path(dir).mkdir(parents=True, exist_ok=True)
    settings = wandb.Settings(**QUIET)
    try:
        return wandb.init(dir=dir, resume="allow", reinit="create_new", settings=settings, **run)
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


def _brief(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]


@functools.cache
def _warn(message: str) -> None:
    log.warning(message)
