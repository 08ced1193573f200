"""Runs are read back from what W&B wrote, as `wandb leet` reads them. Nothing here reaches a
network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from arithmetic import Number
from wandb_files import config, history, record, records, runs, summary

from w2sweep.engine import job, tracker, tracking
from w2sweep.engine.failures import StageFailed
from w2sweep.engine.job import Circumstances
from w2sweep.engine.record import facts
from w2sweep.engine.runtime import Runtime
from w2sweep.engine.stage import Job, Stage, identity
from w2sweep.engine.store import Store
from w2sweep.engine.tracker import Run
from w2sweep.engine.tracking import Tracking
from w2sweep.values import value

STUDENT: dict[str, Any] = {
    "id": "0123456789abcdef",
    "name": "student small",
    "group": "quickstart",
    "job_type": "student",
}


IMPORT = "from w2sweep.engine import tracking\nfrom w2sweep.engine.tracking import Tracking\n"


@pytest.fixture(autouse=True)
def _a_fresh_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What tracking remembers for the life of a process is forgotten between tests, and nobody is
    logged in."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    yield
    tracking._modes.cache_clear()
    tracker.warn.cache_clear()


def python(
    script: str, stdin: int = subprocess.DEVNULL, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A process of its own, on which W&B's settings are only those of `environment`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    env |= {"PYTHONPATH": os.pathsep.join(sys.path), **environment}
    return subprocess.run(
        [sys.executable, "-c", script],
        env=env,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )


def test_a_run_is_found_again_with_all_that_names_it(tmp_path: Path):
    given = {"is": "Finetune", "backbone": {"width": 32}, "labels": None}
    here = Tracking(project="study", tags=("night",), dir=str(tmp_path))
    with here.run(**STUDENT, tags=["sentiment", "night"], config=given) as run:
        run.log({"train/loss": 0.7, "train/lr": 1e-3}, step=10)
        run.log({"train/loss": 0.5, "train/alpha": 0.25}, step=20)
        run.log({"validation/accuracy_own": 0.75, "validation/accuracy_truth": 0.5}, step=20)

    [file] = runs(tmp_path)
    written = record(file, "run")
    expected = {
        "run_id": "0123456789abcdef",
        "display_name": "student small",
        "run_group": "quickstart",
        "job_type": "student",
        "project": "study",
        "tags": ["night", "sentiment"],
    }
    assert {key: written[key] for key in expected} == expected
    assert config(file) == given
    assert history(file) == [
        {"_step": 10, "train/loss": 0.7, "train/lr": 1e-3},
        {
            "_step": 20,
            "train/loss": 0.5,
            "train/alpha": 0.25,
            "validation/accuracy_own": 0.75,
            "validation/accuracy_truth": 0.5,
        },
    ]
    assert record(file, "exit").get("exit_code", 0) == 0


def test_wandb_learns_nothing_of_the_code_the_terminal_or_the_machine(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    with Tracking(dir=str(tmp_path)).run(**STUDENT):
        print("a line of the terminal")
    [file] = runs(tmp_path)
    assert {r["type"] for r in records(file)} <= {
        "header",
        "run",
        "telemetry",
        "summary",
        "exit",
        "files",
        "final",
    }
    assert "host" not in record(file, "run")
    assert not any((file.parent / "files").rglob("*"))
    assert capfd.readouterr() == ("a line of the terminal\n", "")  # nor does it say anything


def test_each_run_of_a_process_is_its_own(tmp_path: Path):
    for i, role in enumerate(("supervisor", "ceiling")):
        with Tracking(dir=str(tmp_path)).run(id=role, name=role, group="g", job_type=role) as run:
            run.log({"train/loss": float(i)}, step=0)
    assert [(record(f, "run")["run_id"], history(f)[0]["train/loss"]) for f in runs(tmp_path)] == [
        ("supervisor", 0),
        ("ceiling", 1),
    ]


def test_a_resumed_stage_goes_on_with_its_run(tmp_path: Path):
    for step in (100, 140):
        with Tracking(dir=str(tmp_path)).run(**STUDENT) as run:
            run.log({"train/loss": 1.0}, step=step)
    written = [record(f, "run") for f in runs(tmp_path)]
    assert [(w["run_id"], w["resume"]) for w in written] == [("0123456789abcdef", True)] * 2
    assert [history(f)[0]["_step"] for f in runs(tmp_path)] == [100, 140]


def test_a_run_whose_stage_fails_is_finished_and_marked(tmp_path: Path):
    def stage() -> None:
        with Tracking(dir=str(tmp_path)).run(**STUDENT) as run:
            run.log({"train/loss": 1.0}, step=0)
            raise ZeroDivisionError("the stage's own error")

    with pytest.raises(ZeroDivisionError, match="the stage's own error"):
        stage()
    [file] = runs(tmp_path)
    assert record(file, "exit")["exit_code"] == 1


def test_the_summary_has_the_table_the_figures_and_the_page(tmp_path: Path):
    from PIL import Image

    figure, page = tmp_path / "pgr.png", tmp_path / "index.html"
    Image.new("RGB", (4, 4)).save(figure)
    page.write_text("<p>all of it</p>")
    rows = [
        {"task": "sentiment", "pgr": 0.25},
        {"task": "chess", "pgr": None, "reason": "ceiling below weak"},
    ]
    Tracking(dir=str(tmp_path)).summary(sweep="night/1", rows=rows, figures=[figure], page=page)

    [file] = runs(tmp_path)
    written, [logged] = record(file, "run"), history(file)
    assert (written["run_id"], written["run_group"], written["job_type"]) == (
        "sweep-night-1",
        "night/1",
        "summary",
    )
    kinds = {k.removesuffix("._type"): v for k, v in logged.items() if k.endswith("._type")}
    assert kinds == {"table": "table-file", "figures/pgr": "image-file", "page": "html-file"}
    table = json.loads(next((file.parent / "files").rglob("*.table.json")).read_text())
    assert table["columns"] == ["task", "pgr", "reason"]
    assert table["data"] == [["sentiment", 0.25, None], ["chess", None, "ceiling below weak"]]


# the way from stages to W&B


@value
class Logging(Runtime):
    """What a stage logs before it is done, or fails."""

    rows: tuple[dict[str, Any], ...] = ()
    fails: bool = False


@dataclass(frozen=True)
class Course(Stage[None]):
    """Stands for a training."""

    lr: float
    text: Number

    @property
    def what(self) -> str:
        return "student small <- nano"

    @property
    def role(self) -> str:
        return "student"

    @property
    def tags(self) -> list[str]:
        return ["sentiment", "small"]

    @property
    def told(self) -> dict[str, str | float]:
        return {"width": self.text.n}

    def run(self, job: Job) -> None:
        assert isinstance(job.runtime, Logging)
        for row in job.runtime.rows:
            job.log(row)
        if job.runtime.fails:
            raise ZeroDivisionError("the stage's own error")

    def read(self, path: Path) -> None:
        return None


COURSE = Course(0.5, Number(3))
ROWS = (
    {"step": 10, "progress": 0.5, "loss": 0.75, "lr": 0.5},
    {"step": 20, "progress": 1.0, "loss": 0.25, "validation/accuracy_own": 0.5},
)


def tracking_store(folder: Path, tracking: Tracking | None, **runtime: Any) -> Store:
    return Store(folder / "store", Circumstances(Logging(**runtime), tracking, sweep="night"))


def test_a_stages_rows_are_a_run_named_after_the_stage(tmp_path: Path):
    here = Tracking(project="study", tags=("demo",), dir=str(tmp_path))
    tracking_store(tmp_path, here, rows=ROWS).ensure(COURSE)

    [file] = runs(tmp_path)  # and none of `Number`, which logs nothing
    written = record(file, "run")
    expected = {
        "run_id": COURSE.key,
        "display_name": "student small <- nano",
        "run_group": "night",
        "job_type": "student",
        "project": "study",
        "tags": ["demo", "sentiment", "small"],
    }
    assert {key: written[key] for key in expected} == expected
    assert config(file) == {
        "role": "student",
        "width": 3,
        "sweep": "night",
        "stage": COURSE.name,
        "identity": identity(COURSE),
    }
    assert config(file)["identity"]["text"] == {"stage": Number(3).name}
    assert history(file) == [
        {"_step": 10, "train/loss": 0.75, "train/lr": 0.5},
        {"_step": 20, "train/loss": 0.25, "validation/accuracy_own": 0.5},
    ]
    assert record(file, "exit").get("exit_code", 0) == 0


def test_a_sweep_has_the_last_word_on_what_the_run_of_a_stage_is_called(tmp_path: Path):
    about = {"name": "task / student", "tags": ["task"], "config": {"width": 4, "method": "naive"}}
    runs_file = tmp_path / "runs.json"
    runs_file.write_text(json.dumps({COURSE.name: about}))
    here = Circumstances(Logging(rows=ROWS), Tracking(dir=str(tmp_path)), "night", runs_file)
    Store(tmp_path / "store", here).ensure(COURSE)
    [file] = runs(tmp_path)
    assert record(file, "run")["display_name"] == "task / student"
    assert record(file, "run")["tags"] == ["sentiment", "small", "task"]
    found = config(file)
    assert (found["width"], found["method"], found["role"]) == (4, "naive", "student")


def test_a_damaged_file_of_names_costs_no_more_than_names(tmp_path: Path):
    runs_file = tmp_path / "runs.json"
    for damaged in ("{", "[]"):
        runs_file.write_text(damaged)
        assert job._told(runs_file, COURSE) == {}
    assert job._told(tmp_path / "none", COURSE) == {}


def test_what_a_run_came_to_is_its_summary(tmp_path: Path):
    with Tracking(dir=str(tmp_path)).run(**STUDENT) as run:
        run.summarize({"pgr": 0.25, "agreement": None, "pgr_undefined": "ceiling <= weak"})
    [file] = runs(tmp_path)
    assert summary(file) == {"pgr": 0.25, "pgr_undefined": "ceiling <= weak"}


@pytest.mark.parametrize(("system", "live"), [(True, True), (True, False), (False, True)])
def test_the_machine_is_watched_where_that_is_asked_for_while_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: bool, live: bool
):
    monkeypatch.setitem(tracking.WATCHING, "x_stats_sampling_interval", 0.1)
    with Tracking(dir=str(tmp_path), system=system).run(**STUDENT, live=live):
        time.sleep(1 if system and live else 0)
    [file] = runs(tmp_path)
    kinds = {r["type"] for r in records(file)}
    assert ("stats" in kinds) is (system and live)


class Shown:
    """A run of W&B that a browser could show, as far as a stage sees of it."""

    def __init__(self, offline: bool):
        self.offline = offline

    @property
    def url(self) -> str:
        assert not self.offline  # W&B warns of being asked
        return "https://wandb.ai/me/study/runs/1"

    def log(self, values: dict[str, Any], step: int) -> None: ...

    def finish(self, exit_code: int) -> None: ...


@pytest.mark.parametrize("offline", [True, False])
def test_the_record_of_a_stage_has_the_address_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
):
    monkeypatch.setattr(tracking, "_init", lambda **asked: Shown(offline))
    store = tracking_store(tmp_path, Tracking(dir=str(tmp_path)), rows=ROWS)
    store.ensure(COURSE)
    said = facts(store.path(COURSE))
    assert said.get("url") == (None if offline else "https://wandb.ai/me/study/runs/1")


def test_the_run_of_a_stage_that_fails_is_marked(tmp_path: Path):
    here = Tracking(dir=str(tmp_path))
    with pytest.raises(StageFailed):
        tracking_store(tmp_path, here, rows=ROWS, fails=True).ensure(COURSE)
    [file] = runs(tmp_path)
    assert len(history(file)) == 2
    assert record(file, "exit")["exit_code"] == 1


def test_a_stage_that_logs_nothing_has_no_run(tmp_path: Path):
    tracking_store(tmp_path, Tracking(dir=str(tmp_path))).ensure(COURSE)
    assert runs(tmp_path) == []


def test_without_tracking_wandb_is_not_even_imported(tmp_path: Path):
    script = f"""
import sys
from pathlib import Path
from test_tracking import COURSE, ROWS, tracking_store
tracking_store(Path({str(tmp_path)!r}), None, rows=ROWS).ensure(COURSE)
sys.exit("wandb" in sys.modules)
"""
    assert python(script).returncode == 0


# what goes wrong


def test_a_broken_wandb_is_said_once_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setitem(sys.modules, "wandb", None)  # import wandb raises ImportError
    for _ in range(3):
        with Tracking(dir=str(tmp_path)).run(**STUDENT) as run:
            run.log({"train/loss": 1.0}, step=0)
    assert [m.split("(")[0] for m in caplog.messages] == [
        "W&B cannot be set up ",
        "W&B cannot be used offline ",
    ]
    assert caplog.messages[1].endswith("going on without tracking")


def test_a_run_that_breaks_while_open_does_not_break_its_stage(caplog: pytest.LogCaptureFixture):
    class Broken:
        def log(self, values: dict[str, float], step: int | None) -> None:
            raise OSError("No space left on device")

    run = Run(Broken(), "W&B")  # type: ignore[arg-type]
    run.log({"train/loss": 1.0}, step=0)
    run.log({"train/loss": 1.0}, step=1)
    run.finish()
    assert caplog.messages == [
        "W&B could not log (No space left on device): the rest of the run is not tracked"
    ]


def test_nobody_is_ever_asked(tmp_path: Path):
    """Where somebody sits at a terminal and online runs are wanted, W&B would ask who they are."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    done = python(
        f"{IMPORT}with Tracking(mode='online', dir={str(tmp_path)!r}).run(**{STUDENT}): pass",
        stdin=theirs,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0
    remedy = "say `wandb login`, or tracking.mode=offline"
    assert done.stderr == f"W&B tracks offline, for nobody is logged in: {remedy}\n"
    assert len(runs(tmp_path)) == 1


def test_an_unreachable_wandb_delays_a_process_once_and_then_tracks_offline(tmp_path: Path):
    script = f"""{IMPORT}
tracking.QUIET["init_timeout"] = 1
here = Tracking(dir={str(tmp_path)!r})
for i in range(3):
    with here.run(id=str(i), name="n", group="g", job_type="student") as run:
        run.log({{"train/loss": 1.0}}, step=i)
"""
    done = python(script, WANDB_BASE_URL="http://127.0.0.1:9", WANDB_API_KEY="a" * 40)
    assert done.returncode == 0
    [warning] = done.stderr.splitlines()
    assert warning.startswith("W&B cannot be used online (")
    assert warning.endswith(f"going on offline, in {tmp_path}/wandb; `wandb sync` uploads it later")
    offline = [f for f in runs(tmp_path) if f.parent.name.startswith("offline-")]
    assert [history(f)[0]["_step"] for f in offline] == [0, 1, 2]


def test_an_impossible_key_is_said_in_one_line(tmp_path: Path):
    done = python(
        f"{IMPORT}with Tracking(dir={str(tmp_path)!r}).run(**{STUDENT}): pass", WANDB_API_KEY="abc"
    )
    [warning] = done.stderr.splitlines()
    assert warning.startswith(
        "W&B cannot be set up (WANDB_API_KEY invalid: API key must have 40+ characters"
    )
    assert len(runs(tmp_path)) == 1
