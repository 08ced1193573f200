"""A report in Weights & Biases: its own charts, of the runs that a sweep has there.

It is described here, by W&B's library for that, and drawn by W&B in the browser, which goes on
drawing it when further sweeps come. The report in the sweep's folder needs none of it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2sweep.engine.files import read_json
from w2sweep.values import ConfigError

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2.interface import Report as WandbReport  # pyright: ignore[reportMissingImports]

LIBRARY = "pip install 'w2sweep[wandb]'"
TRAINED = ("student", "supervisor", "ceiling")
SIZES = "parameters"
"""In the config of a cell: its student's."""
SCALES = {
    "pgr": "PGR",
    "student_accuracy": "Student: test accuracy",
    "agreement": "Student: agreement with its supervisor",
}
"""In the summary of a cell, and what axes call it."""
COLUMNS = ("config:task", "config:weak", "config:strong", "config:method", "config:seed")
RESULTS = ("summary:student_accuracy", "summary:pgr", "summary:agreement")
CURVES = {
    "Student: accuracy against its own labels": "validation/accuracy_own",
    "Student: accuracy against the truth": "validation/accuracy_truth",
    "Loss": "train/loss",
}
INTRODUCTION = """Every finished cell of `{sweep}` is a run of type `cell`: its config says what it
was, its summary what it came to. PGR is the part of the gap between the supervisor (weak) and the
ceiling (strong, on true labels) that the student recovers. Every trained model is a run with its
curves. All of it was made by `{command}`."""


def wandb_report(sweep: Path, project: str, entity: str) -> WandbReport:
    """The report of a sweep, not sent yet: `save()` sends it, and its `url` is where it then is.

    Args:
        sweep: the sweep's folder.
        project: of W&B, where its runs are.
        entity: the user or team that the project belongs to.

    Raises:
        ConfigError: the library is not installed, or the folder is no sweep.
    """
    plan = _plan(sweep)
    wr, name = _library(), plan["name"]
    said = INTRODUCTION.format(sweep=name, command=plan.get("command", "w2sweep"))
    where = {"entity": entity, "project": project}
    cells = wr.Runset(name="cells", filters=_of("cell", group=name), **_table(), **where)
    every = wr.Runset(name="cells of all sweeps", filters=_of("cell"), **_table(), **where)
    models = wr.Runset(name="models", filters=_of(*TRAINED, group=name), **where)
    whole = wr.Runset(name="sweep", filters=_of("summary", group=name), **where)
    blocks = [
        wr.MarkdownBlock(text=" ".join(said.split())),
        wr.H2(text="Scaling"),
        wr.PanelGrid(runsets=[cells], panels=_scaling(wr)),
        wr.H2(text="Curves"),
        wr.PanelGrid(runsets=[models], panels=_curves(wr)),
        wr.H2(text="The sweep's own figures"),
        wr.PanelGrid(runsets=[whole], panels=[_figures(wr, sweep)]),
        wr.H2(text="All sweeps of this project"),
        wr.PanelGrid(runsets=[every], panels=_scaling(wr)),
    ]
    title = f"w2sweep: {name}"[:128]
    return wr.Report(title=title, blocks=blocks, width="fluid", **where)


def send(sweep: Path, project: str, entity: str | None) -> str:
    """Makes the report of a tracked sweep in W&B, and returns its address; `entity` None is the
    account's default.

    Raises ConfigError where the library is not there, or W&B does not take it.
    """
    _library()  # what is lacking here is said first
    try:
        from wandb import Api  # of whoever is logged in

        made = wandb_report(sweep, project, entity or str(Api(timeout=20).default_entity))
        made.save()
    except ConfigError:
        raise
    except Exception as error:
        [reason, *_] = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(
            f"W&B did not take the report ({reason:.160}): it needs a network, `wandb login`, "
            "and runs that are there (`wandb sync outputs/wandb/offline-run-*` uploads them)"
        ) from error
    return made.url


def _plan(sweep: Path) -> dict[str, Any]:
    try:
        return {"name": sweep.resolve().name, **read_json(sweep / "sweep.json")}
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{sweep} is no sweep ({type(error).__name__}: sweep.json); expected "
            "outputs/sweeps/<name>"
        ) from None


def _library() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library's own making
        try:
            import wandb_workspaces.reports.v2 as library  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ConfigError(f"reports in W&B are made by its library: {LIBRARY}") from error
    return library


def _of(*job_types: str, group: str | None = None) -> str:
    """Runs of these types, of one sweep or of all, in the words of W&B's filters."""
    of_types = f"JobType in {list(job_types)!r}"
    return f"{of_types} and Group == {group!r}" if group else of_types


def _table() -> dict[str, Any]:
    """What stands beside the charts, a line a run."""
    columns = [*(f"{column}.value" for column in COLUMNS), *RESULTS]
    return {"pinned_columns": columns, "column_order": columns}


def _scaling(wr: Any) -> list[Any]:
    legend = "${config:task}, ${config:method}, ${config:weak} -> ${config:strong}"
    axes: dict[str, Any] = {"x": wr.Config(SIZES), "log_x": True, "legend_template": legend}
    return [
        wr.ScatterPlot(
            title=f"{title}, by the student's parameters",
            y=wr.SummaryMetric(name),
            layout=wr.Layout(x=8 * i, y=0, w=8, h=8),
            **axes,
        )
        for i, (name, title) in enumerate(SCALES.items())
    ]


def _curves(wr: Any) -> list[Any]:
    return [
        wr.LinePlot(
            title=title,
            x="Step",
            y=[metric],
            max_runs_to_show=100,
            layout=wr.Layout(x=8 * i, y=0, w=8, h=8),
        )
        for i, (title, metric) in enumerate(CURVES.items())
    ]


def _figures(wr: Any, sweep: Path) -> Any:
    drawn = sorted(figure.stem for figure in (sweep / "report").glob("*.png"))
    keys = [f"figures/{name}" for name in drawn]
    return wr.MediaBrowser(media_keys=keys, layout=wr.Layout(x=0, y=0, w=24, h=10))
