"""Reports of sweeps: tables, figures and the page, from records to what a reader sees."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from fake_sweep import (
    LADDER,
    TASKS,
    TWO_RUNGS,
    cell,
    change,
    fail,
    fake_sweep,
    results,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console

from w2sweep.report import Report, figures, report, show, sweep_page
from w2sweep.report.figures.axis import placed
from w2sweep.report.figures.panels import Panels
from w2sweep.report.figures.plot import Ladders
from w2sweep.report.figures.recovery import Recovery
from w2sweep.report.summary import SummaryRow
from w2sweep.report.table import terminal_table
from w2sweep.results.cell import SUPERVISOR, Compared


class Tags(HTMLParser):
    """Which tags and attributes a page has, and whether each opened tag is closed in its turn."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


NANO_SMALL = {"task": "sentiment", "weak": "nano", "strong": "small", "method": "naive"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return report(fake_sweep(tmp_path_factory.mktemp("sweeps") / "quickstart"))


def test_cells_csv_has_a_line_a_cell(made: Report):
    cells = read_csv(made.page.parent / "cells.csv")
    assert Counter(c["status"] for c in cells) == {"finished": 60, "skipped": 100}
    assert list(cells[0])[:6] == ["task", "ladder", "weak", "strong", "method", "seed"]
    first = cells[0]
    weak, student, ceiling = (
        float(first[f"{role}_accuracy"]) for role in ("weak", "student", "ceiling")
    )
    assert float(first["pgr"]) == pytest.approx((student - weak) / (ceiling - weak))
    assert first["strong_size"] == "7000"
    assert {
        c["mark_legality"] for c in cells if c["task"] == "mate" and c["status"] == "finished"
    } == {"0.97"}
    assert all(c["reason"].startswith("weak ") for c in cells if c["status"] == "skipped")


def test_summary_csv_is_over_seeds_and_agrees_with_the_cells(made: Report):
    rows = read_csv(made.page.parent / "summary.csv")
    assert len(rows) == 6 * (2 + 2 + 1)  # pairs of rungs x (methods of each task)
    cells = [c for c in read_csv(made.page.parent / "cells.csv") if NANO_SMALL.items() <= c.items()]
    (row,) = [r for r in rows if NANO_SMALL.items() <= r.items()]
    students = [float(c["student_accuracy"]) for c in cells]
    assert row["seeds"] == "2"
    assert float(row["student_accuracy"]) == pytest.approx(sum(students) / 2)
    over_seeds = abs(students[0] - students[1]) / 2
    over_examples = np.sqrt(sum(p * (1 - p) / 400 for p in students)) / 2
    larger = max(over_seeds, over_examples)
    assert float(row["student_accuracy_se"]) == pytest.approx(larger, rel=0.01)
    assert float(row["gap_low"]) < float(row["gap"]) < float(row["gap_high"])
    assert {r["interval_over"] for r in rows} == {"seeds and test examples"}


def test_climb_csv_says_what_each_rung_reaches_with_the_ground_truth(made: Report):
    climb = [r for r in read_csv(made.page.parent / "climb.csv") if r["task"] == "mate"]
    assert [r["rung"] for r in climb] == list(LADDER)
    cells = [
        c
        for c in read_csv(made.page.parent / "cells.csv")
        if c["task"] == "mate" and c["status"] == "finished"
    ]
    micro = {
        float(c["weak_accuracy"]) for c in cells if (c["weak"], c["strong"]) == ("micro", "small")
    }
    strongest = {
        float(c["ceiling_accuracy"]) for c in cells if (c["weak"], c["strong"]) == ("mini", "small")
    }
    for rung, of in (
        (climb[1], micro),
        (climb[3], strongest),
    ):  # micro supervises, small has nobody to
        assert float(rung["accuracy"]) == pytest.approx(sum(of) / 2)
        assert float(rung["accuracy_lowest"]) == min(of)
        assert float(rung["accuracy_sd"]) == pytest.approx(np.std(list(of), ddof=1))
    means = [float(r["accuracy"]) for r in climb]
    share = max(b - a for a, b in pairwise(means)) / (means[-1] - means[0])
    assert float(climb[0]["largest_step"]) == pytest.approx(share)
    assert f"{share:.2f} [" in made.page.read_text(encoding="utf-8")


def test_supervisors_with_simulated_errors_and_two_rungs_are_no_climb(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "s", tasks={"sentiment": "nlp"}, methods=["naive"])
    for at, result in results(sweep).items():
        erring = Compared(stage="Erring/a", accuracy=result.accuracy(SUPERVISOR))
        change(at, result, models=result.models | {SUPERVISOR: erring})
    folder = report(sweep).page.parent
    assert [r["rung"] for r in read_csv(folder / "climb.csv")] == ["micro", "mini", "small"]
    for file in sweep.glob("*strong=micro*/cell.json"):
        file.unlink()
    report(sweep)
    assert not (folder / "climb.csv").exists()


def test_a_report_that_fails_leaves_the_last_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sweep = fake_sweep(tmp_path / "s", tasks={"sentiment": "nlp"}, methods=["naive"])
    folder = report(sweep).page.parent
    before = {file: file.read_bytes() for file in folder.iterdir()}
    next(
        sweep.glob("*strong=small*/cell.json")
    ).unlink()  # so that the next report says something else
    with monkeypatch.context() as m:
        m.setattr(sweep_page, "sweep_page", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            report(sweep)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    assert not list(sweep.glob(".report*"))
    report(sweep)
    assert (folder / "cells.csv").read_bytes() != before[folder / "cells.csv"]


def test_two_reports_of_one_sweep_at_once_do_not_trip_over_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sweep = fake_sweep(tmp_path / "s", tasks={"sentiment": "nlp"}, methods=["naive"])
    report(sweep)
    draw = figures.draw

    def meanwhile(*given: Any) -> Any:
        drawings = draw(*given)
        monkeypatch.setattr(figures, "draw", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            report(sweep)  # another process is as far as here
        return drawings

    monkeypatch.setattr(figures, "draw", meanwhile)
    made = report(sweep)
    assert made.page.exists()
    assert made.figures
    assert all(file.exists() and file.with_suffix(".svg").exists() for file in made.figures)


def test_rows_are_in_the_order_of_the_sweep_and_of_the_ladder(made: Report):
    rows = made.rows
    assert list(dict.fromkeys(r["task"] for r in rows)) == ["sentiment", "preference", "mate"]
    naive = [(r["weak"], r["strong"]) for r in rows if r["task"] == "mate"]
    assert naive == list(combinations(LADDER, 2))


def test_methods_are_compared_with_naive_on_the_same_examples(made: Report):
    by_method = {
        r["method"]: r for r in made.rows if r["task"] == "sentiment" and r["strong"] == "micro"
    }
    naive, confidence = by_method["naive"], by_method["confidence"]
    assert confidence["over_naive"] == pytest.approx(
        confidence["student_accuracy"] - naive["student_accuracy"]
    )
    assert naive["over_naive"] is None


def test_figures_are_there_in_both_formats(made: Report):
    assert [f.name for f in made.figures] == ["accuracy.png", "pgr.png", "pgr_grid.png"]
    for png in made.figures:
        assert png.read_bytes().startswith(b"\x89PNG")
        drawn = png.with_suffix(".svg").read_text(encoding="utf-8")
        assert all(f">{task}<" in drawn for task in ("sentiment", "preference", "mate"))


def test_the_same_sweep_gives_the_same_bytes(made: Report, tmp_path: Path):
    again = report(fake_sweep(tmp_path / "quickstart"))
    for file in made.page.parent.iterdir():
        assert file.read_bytes() == (again.page.parent / file.name).read_bytes(), file.name


def test_the_page_is_whole_and_needs_no_network(made: Report):
    page = made.page.read_text(encoding="utf-8")
    tags = Tags(page)
    assert tags.open == []
    assert tags.seen["svg"] == 3
    ids = [value for name, value in tags.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    loaded = [v for name, v in tags.attributes if name in ("src", "href", "xlink:href")]
    assert not [v for v in loaded if "//" in v]
    assert "@import" not in page
    assert "w2sweep -cn quickstart seed=0,1" in page
    assert "2 seeds, 400 test examples each" in page


def test_what_failed_was_skipped_or_is_missing_is_listed_and_escaped(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "<b>sweep", tasks={"sentiment": "nlp"})
    fail(cell(sweep, **NANO_SMALL, seed=0), "1 < 2", "Traceback\n<script>alert(1)</script>")
    (cell(sweep, **NANO_SMALL, seed=1) / "cell.json").unlink()
    damaged = cell(sweep, **NANO_SMALL | {"method": "confidence"}, seed=1) / "correct.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:40])
    made = report(sweep)
    assert [f.reason[:17] for f in made.failures] == ["1 < 2", "unreadable result"]
    assert len(made.sweep.pending) == 1
    assert len(made.skipped) == 40
    tags = Tags(made.page.read_text(encoding="utf-8"))
    text = " ".join(tags.words)
    assert tags.open == []
    assert tags.seen["script"] == 1
    # the family, the count of failures, and the titles of figures
    assert tags.seen["b"] == 2 + len(made.figures)
    assert "1 < 2" in text
    assert "<script>alert(1)</script>" in text
    (row,) = [
        r for r in made.rows if r["strong"] == "small" and r["weak"] == "nano"
    ]  # confidence, from one seed
    assert (row["seeds"], row["interval_over"]) == (1, "test examples")


def test_a_gap_of_zero_is_said_and_drawn_not_dropped(tmp_path: Path):
    sweep = fake_sweep(
        tmp_path / "gapless", tasks={"sentiment": "nlp"}, methods=["naive"], gap=-0.1
    )
    made = report(sweep)
    undefined = [r for r in made.rows if r["pgr"] is None]
    assert undefined
    assert all(r["pgr_undefined"].startswith("ceiling 0.") for r in undefined)
    assert (made.page.parent / "pgr_grid.svg").read_text(encoding="utf-8").count(">n/a<") == len(
        undefined
    )


def test_variants_are_never_averaged_together(tmp_path: Path):
    variants = [{"loss.alpha_max": "0.5"}, {"loss.alpha_max": "0.75"}]
    sweep = fake_sweep(
        tmp_path / "s", tasks={"sentiment": "nlp"}, methods=["confidence"], variants=variants
    )
    made = report(sweep)
    assert [(r["variant"], r["seeds"]) for r in made.rows if r["strong"] == "micro"] == [
        ("loss.alpha_max=0.5", 2),
        ("loss.alpha_max=0.75", 2),
    ]
    assert "confidence (loss.alpha_max=0.75)" in (made.page.parent / "pgr.svg").read_text(
        encoding="utf-8"
    )


def test_a_variant_is_called_by_what_the_others_do_not_have(tmp_path: Path):
    same = {"recipe.epochs": "1", "sizes.student": "100"}
    wide = {"loss.name": "x" * 60}  # wider than the figure
    variants = [{"loss.hard": "true", **same}, same, wide | same]
    sweep = fake_sweep(
        tmp_path / "s",
        tasks={"sentiment": "nlp"},
        methods=["naive"],
        variants=variants,
        ladder=TWO_RUNGS,
        seeds=1,
    )
    drawn = (report(sweep).page.parent / "pgr.svg").read_text(encoding="utf-8")
    assert {"naive (loss.hard=true)", "naive"} <= set(re.findall(r">([^<>]*)<", drawn))
    assert "sizes.student" not in drawn


NOISE = [{"supervision.noise": x} for x in ("0.0", "0.1", "0.4")]


def test_what_a_sweep_turns_is_on_the_x_axis_of_a_figure_of_its_own(tmp_path: Path):
    sweep = fake_sweep(
        tmp_path / "s", ladder=TWO_RUNGS, variants=[n | {"sizes.test": "50"} for n in NOISE]
    )
    made = report(sweep)
    assert [f.name for f in made.figures] == [
        "knob.png"
    ]  # students of one size: nothing to see against size
    said = re.findall(
        r">([^<>]+)</text>", (made.page.parent / "knob.svg").read_text(encoding="utf-8")
    )
    assert {"supervision.noise", "0.0", "0.1", "0.4", "naive", "confidence", *TASKS} <= set(said)
    assert not any("naive (" in s for s in said)
    [caption] = re.findall(r"<figcaption>(.*)", made.page.read_text(encoding="utf-8"))
    assert "2 seeds, 400 test examples each" in caption
    [row] = [r for r in made.rows if r["task"] == "mate" and "=0.1" in r["variant"]]
    turned = [r for r in results(sweep).values() if r.variant["supervision.noise"] == "0.1"]
    first, second = [r.agreement_weak_wrong or 0.0 for r in turned if r.task == "mate"]
    assert row["agreement_weak_wrong_se"] >= abs(first - second) / 2


def test_a_few_values_stay_in_the_figures_over_size_where_sizes_differ(tmp_path: Path):
    few = report(fake_sweep(tmp_path / "few", tasks={"a": "nlp"}, variants=NOISE, seeds=1))
    assert [f.stem for f in few.figures] == ["knob", "accuracy", "pgr", "pgr_grid"]
    drawn = (few.page.parent / "knob.svg").read_text(encoding="utf-8")
    assert all(f">a, {weak} to {strong}<" in drawn for weak, strong in combinations(LADDER, 2))
    many = [{"supervision.noise": f"0.{i}"} for i in range(8)]
    crowd = report(
        fake_sweep(tmp_path / "many", tasks={"a": "nlp"}, methods=["naive"], variants=many, seeds=1)
    )
    assert [f.stem for f in crowd.figures] == ["knob"]


def test_two_overrides_that_differ_are_no_knob(tmp_path: Path):
    two = [{"a.b": "1", "c.d": "1"}, {"a.b": "2", "c.d": "2"}]
    made = report(
        fake_sweep(tmp_path / "s", tasks={"a": "nlp"}, variants=two, ladder=TWO_RUNGS, seeds=1)
    )
    assert [f.stem for f in made.figures] == ["accuracy", "pgr"]


def test_supervisors_of_one_student_are_a_gap_to_draw_against(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "s", tasks={"a": "nlp"}, seeds=1)
    for folder in sweep.glob("*strong=m*"):
        shutil.rmtree(folder)
    (sweep / "sweep.json").unlink()
    made = report(sweep)
    assert [f.stem for f in made.figures] == ["knob", "accuracy", "pgr"]
    assert "supervisor, by pretraining compute" in (made.page.parent / "knob.svg").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("values", "scale", "x"),
    [
        (["0.1", "0.3", "0.2"], "linear", [0.1, 0.3, 0.2]),
        (["0.0", "0.2", "0.4"], "linear", [0.0, 0.2, 0.4]),
        (["50", "100", "400"], "log", [50, 100, 400]),
        (["1", "30", "1000"], "log", [1, 30, 1000]),
        (
            ["0", "0.03", "0.1", "0.3", "1"],
            "linear",
            [0, 1, 2, 3, 4],
        ),  # .03 of the axis is no distance
        (["random", "words", "rule"], "linear", [0, 1, 2]),
        (["2", "null", "1"], "linear", [0, 1, 2]),
        (["1", "1.0"], "linear", [0, 1]),
    ],
)
def test_values_lie_where_they_can_be_told_apart(values: list[str], scale: str, x: list[float]):
    assert placed(values) == (scale, dict(zip(values, x, strict=True)))


def test_many_tasks_are_wrapped_and_their_median_is_shown(tmp_path: Path):
    tasks = {f"task{i}": "nlp" for i in range(7)}
    made = report(
        fake_sweep(tmp_path / "s", tasks=tasks, methods=["naive"], ladder=TWO_RUNGS, seeds=1)
    )
    first, *others = made.rows
    assert first["task"] == "median across NLP tasks"
    assert first["student_accuracy"] == sorted(r["student_accuracy"] for r in others)[3]
    assert [f.name for f in made.figures] == ["accuracy.png", "pgr.png"]
    turned = report(
        fake_sweep(tmp_path / "t", tasks=tasks, variants=NOISE, ladder=TWO_RUNGS, seeds=1)
    )
    assert [f.name for f in turned.figures] == [
        "knob-accuracy.png",
        "knob-pgr.png",
        "knob-agreement.png",
    ]


def test_rungs_without_compute_and_names_like_markup_are_drawn(tmp_path: Path):
    sweep = fake_sweep(
        tmp_path / "s",
        tasks={"a$b_$<x>&y": "nlp"},
        ladder={"r[0]": 0.0, "r$1$": 1e4, "r/2": 1e5},
        seeds=1,
    )
    made = report(sweep)
    assert "a$b_$&lt;x&gt;&amp;y" in (made.page.parent / "accuracy.svg").read_text(encoding="utf-8")


def test_cells_of_one_ladder_may_know_different_rungs_of_it(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "s", tasks={"sentiment": "nlp"}, methods=["naive"], seeds=1)
    for at, result in results(sweep).items():
        if result.strong != "small":
            fewer = {rung: facts for rung, facts in result.rungs.items() if rung != "small"}
            change(at, result, rungs=fewer)
    assert [(r["weak"], r["strong"]) for r in report(sweep).rows] == list(combinations(LADDER, 2))


def test_a_second_report_leaves_no_figure_of_the_first(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "s", tasks={"sentiment": "nlp"}, ladder=TWO_RUNGS)
    (sweep / "report").mkdir()
    (sweep / "report" / "pgr_grid.svg").touch()
    report(sweep)
    assert not (sweep / "report" / "pgr_grid.svg").exists()


def test_a_sweep_without_its_plan_is_read_from_its_cells(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "s", tasks={"sentiment": "nlp"}, ladder=TWO_RUNGS)
    (sweep / "sweep.json").unlink()
    assert len(report(sweep).rows) == 2


def printed(made: Report, width: int) -> str:
    """The table as a terminal of this width shows it."""
    console = Console(width=width, file=io.StringIO())
    console.print(terminal_table(made.summary, console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_a_narrow_terminal_costs_the_last_columns_and_folds_numbers_but_no_names(
    made: Report, width: int
):
    lines = printed(made, width).splitlines()
    assert max(map(len, lines)) <= width
    first = [line.split()[:4] for line in lines if line.strip()]
    assert all([r["task"], r["weak"], r["strong"], r["method"]] in first for r in made.rows)
    assert any("PGR" in line for line in lines)
    assert any("over naive" in line for line in lines) == (width == 200)


def test_a_variant_that_is_the_only_one_of_its_task_needs_no_name(tmp_path: Path):
    """Some tasks need an option of their own (`task.games=...`), which makes no other line."""
    games = f"/{'folder/' * 12}games.pgn"
    recipe = {"recipe": "mine"}
    for name, variant in (("sst2", recipe), ("lichess", recipe | {"task.games": games})):
        fake_sweep(
            tmp_path / "s",
            tasks={name: "nlp"},
            methods=["naive"],
            variants=[variant],
            ladder=TWO_RUNGS,
            seeds=1,
        )
    (tmp_path / "s" / "sweep.json").unlink()  # it names the cells of the second one only
    made = report(tmp_path / "s")
    assert {r["variant"] for r in made.rows} == {"recipe=mine", f"recipe=mine,task.games={games}"}
    assert "games" not in (made.page.parent / "accuracy.svg").read_text(encoding="utf-8")


def test_a_further_compared_model_is_in_every_table(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "s", tasks={"a": "nlp"}, ladder=TWO_RUNGS, further=["zero_shot"])
    made = report(sweep)
    with_it = [r for r in results(sweep).values() if r.method == "confidence"]
    accuracies = [r.accuracy("zero_shot") for r in with_it]
    mean = np.mean(accuracies)

    cells = read_csv(made.page.parent / "cells.csv")
    told = {c["zero_shot_accuracy"] for c in cells if c["method"] == "confidence"}
    assert told - {""} == set(map(str, accuracies))
    assert {c["zero_shot_accuracy"] for c in cells if c["method"] == "naive"} == {""}

    [naive, confidence] = read_csv(made.page.parent / "summary.csv")
    assert float(confidence["zero_shot_accuracy"]) == pytest.approx(mean)
    error = float(confidence["zero_shot_accuracy_se"])
    assert error >= abs(accuracies[0] - accuracies[1]) / 2
    assert (naive["zero_shot_accuracy"], naive["zero_shot_accuracy_se"]) == ("", "")

    tags = Tags(made.page.read_text(encoding="utf-8"))
    assert "zero_shot %" in tags.words
    assert f"{100 * mean:.1f} ± {100 * error:.1f}" in tags.words
    assert "zero_shot %" in printed(made, width=200)


def test_many_tasks_have_a_median_of_further_models(tmp_path: Path):
    tasks = {f"task{i}": "nlp" for i in range(7)}
    sweep = fake_sweep(tmp_path, tasks=tasks, ladder=TWO_RUNGS, seeds=1, further=["zero_shot"])
    rows = [r for r in report(sweep).rows if r["method"] == "confidence"]
    first, *others = [r["zero_shot_accuracy"] for r in rows]
    assert first == sorted(others)[3]


class Share(Panels):
    """A figure of a user's own: how many rows have a PGR, of sweeps of one made-up task."""

    name = "share"
    order = 15
    title = "Rows with a PGR"
    sharey = "all"

    @classmethod
    def of(cls, rows: Sequence[SummaryRow], ladders: Ladders) -> Self | None:
        mine = [r for r in rows if r.task == "counted"]
        return cls(mine, ladders) if mine else None

    def panel(self, ax: Axes, rows: Sequence[SummaryRow], line: str) -> None:
        ax.bar(["with"], [sum(r.pgr is not None for r in rows)])

    @property
    def caption(self) -> str:
        return f"Of {len(self.rows)} rows."


def test_a_figure_is_a_class_that_says_which_rows_it_draws(tmp_path: Path):
    tasks = {"counted": "nlp", "other": "nlp"}
    made = report(fake_sweep(tmp_path / "s", tasks=tasks, ladder=TWO_RUNGS, seeds=1))
    assert [f.stem for f in made.figures] == ["accuracy", "share", "pgr"]
    drawn = (made.page.parent / "share.svg").read_text(encoding="utf-8")
    assert ">counted<" in drawn
    assert ">other<" not in drawn
    assert "<b>Rows with a PGR.</b> Of 2 rows." in made.page.read_text(encoding="utf-8")


def test_each_file_of_figures_is_found_without_a_list():
    places = [(kind.order, kind.name) for kind in figures.kinds() if kind is not Share]
    assert places == sorted(places)
    assert {(0, "knob"), (10, "accuracy"), (20, "pgr"), (30, "pgr_grid")} <= set(places)


def row_of(made: Report, **at: str) -> SummaryRow:
    [row] = [r for r in made.summary if all(getattr(r, k) == v for k, v in at.items())]
    return row


@pytest.fixture(scope="module")
def unclear(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of some pairs of rungs the gap cannot be told from zero."""
    folder = tmp_path_factory.mktemp("sweeps") / "unclear"
    return report(fake_sweep(folder, tasks={"sentiment": "nlp"}, gap=0.12, seeds=3))


def test_a_gap_that_cannot_be_told_from_zero_gives_no_number_to_look_at(unclear: Report):
    rows = [r for r in unclear.summary if r.unclear]
    clear = [r for r in unclear.summary if r.pgr is not None and not r.unclear]
    assert rows
    assert clear
    assert all(r.pgr_low is None and (r.gap_low or 0) <= 0 for r in rows)
    assert all(r.pgr_low is not None and (r.gap_low or 0) > 0 for r in clear)
    assert printed(unclear, width=200).count("[no clear gap]") == len(rows)

    grid = (unclear.page.parent / "pgr_grid.svg").read_text(encoding="utf-8")
    assert grid.count(">?<") == len(rows)
    shown = re.findall(r">(-?\d\.\d\d)<", grid)
    assert sorted(shown) == sorted(f"{r.pgr:z.2f}" for r in clear)
    lines = (unclear.page.parent / "pgr.svg").read_text(encoding="utf-8")
    assert ">no clear gap<" in lines
    numbers = set(re.findall(r">(-?\d+\.\d)<", lines))  # of ticks, and of arrows: there are none
    assert numbers <= {"−0.5", "0.0", "0.5", "1.0", "1.5"}


def test_a_sweep_of_one_seed_says_so_wherever_it_shows_an_interval(tmp_path: Path):
    made = report(fake_sweep(tmp_path / "s", tasks={"a": "nlp"}, seeds=1, methods=["naive"]))
    assert {r["interval_over"] for r in made.rows} == {"test examples"}
    assert all(r["student_accuracy_se"] > 0 for r in made.rows)
    assert "over test examples only (one seed)" in printed(made, width=200)
    captions = re.findall(r"<figcaption>(.*)", made.page.read_text(encoding="utf-8"))
    assert len(captions) == 3
    assert all("over test examples only (one seed)" in caption for caption in captions)


def test_seeds_that_agree_by_accident_have_the_error_of_their_test_examples(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "s", tasks={"a": "nlp"}, ladder=TWO_RUNGS, methods=["naive"])
    half = np.tile([0, 1], 20).astype(np.uint8)
    for at, result in results(sweep).items():
        alike = {role: Compared(stage="Finetune/a", accuracy=0.5) for role in result.models}
        change(at, result, models=alike, n_test=40, correct=dict.fromkeys(alike, half))
    [row] = report(sweep).summary
    assert row.student_accuracy_se == pytest.approx(np.sqrt(0.25 / 80), rel=0.05)


def test_chance_is_drawn_and_what_cannot_be_told_from_it_is_named(tmp_path: Path):
    tasks = {"sentiment": "nlp", "mate": "chess"}
    sweep = fake_sweep(tmp_path / "s", tasks=tasks, ladder=TWO_RUNGS, methods=["naive", "scratch"])
    for at, result in results(sweep).items():
        if result.method == "scratch":
            guessed = np.random.default_rng(result.seed).integers(0, 2, 400).astype(np.uint8)
            models = result.models | {
                "student": Compared(stage="Finetune/x", accuracy=guessed.mean())
            }
            change(at, result, models=models, correct=result.correct | {"student": guessed})
    made = report(sweep)
    guessing = row_of(made, task="sentiment", method="scratch")
    assert (guessing.chance, list(guessing.at_chance)) == (0.5, ["student"])
    assert list(row_of(made, task="sentiment", method="naive").at_chance) == []
    assert row_of(made, task="mate", method="scratch").chance is None  # moves are not guessed
    told = (
        f"{100 * guessing.student_accuracy:.1f} ± {100 * (guessing.student_accuracy_se or 0):.1f}°"
    )
    assert told in printed(made, width=200)
    assert told in made.page.read_text(encoding="utf-8")
    assert "° cannot be told from chance: " in printed(made, width=200)
    by_name = {(r["task"], r["method"]): r for r in read_csv(made.page.parent / "summary.csv")}
    assert by_name["sentiment", "scratch"]["at_chance"] == "student"
    assert by_name["mate", "scratch"]["at_chance"] == ""
    drawn = (made.page.parent / "accuracy.svg").read_text(encoding="utf-8")
    assert drawn.count(">chance<") == 1


def test_a_student_made_with_true_labels_is_marked(tmp_path: Path):
    methods = ["naive", "trust"]
    sweep = fake_sweep(tmp_path / "s", tasks={"a": "nlp"}, ladder=TWO_RUNGS, methods=methods)
    for at, result in results(sweep).items():
        change(at, result, true_labels=80 * (result.method == "trust"))
    made = report(sweep)
    assert row_of(made, task="a", method="trust").true_labels == 80
    marked = [line for line in printed(made, width=200).splitlines() if "†" in line]
    assert [" trust " in line for line in marked] == [True, False]
    assert "† made with true labels" in marked[1]
    assert "(80)" in marked[1]
    cells = read_csv(made.page.parent / "cells.csv")
    finished = [c for c in cells if c["status"] == "finished"]
    assert {c["method"]: c["true_labels"] for c in finished} == {"naive": "0", "trust": "80"}


def test_a_model_with_one_answer_to_everything_is_named(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "s", tasks={"a": "nlp"}, ladder=TWO_RUNGS, methods=["naive"])
    first, _ = results(sweep).items()
    at, result = first
    stuck = Compared(stage="Finetune/s", accuracy=result.accuracy("ceiling"), only="1")
    change(at, result, models=result.models | {"ceiling": stuck})
    made = report(sweep)
    [row] = read_csv(made.page.parent / "summary.csv")
    assert row["one_answer"] == "ceiling on 1 of 2 seeds"
    assert "¹ gives one and the same answer" in printed(made, width=200)
    assert "¹" in made.page.read_text(encoding="utf-8")
    cells = read_csv(made.page.parent / "cells.csv")
    assert [c["ceiling_only"] for c in cells if c["status"] == "finished"] == ["1", ""]


def test_cells_of_two_configurations_are_two_rows_under_whatever_name(tmp_path: Path):
    one = {"tasks": {"a": "nlp"}, "ladder": TWO_RUNGS, "methods": ["naive", "confidence"]}
    fake_sweep(tmp_path / "s", **one, digest="11")
    for folder in [f for f in (tmp_path / "s").iterdir() if f.is_dir()]:
        folder.rename(folder.with_name(f"old,{folder.name}"))
    fake_sweep(tmp_path / "s", **one, digest="22")
    assert [r.digest for r in report(tmp_path / "s").summary] == ["22", "22"]
    (tmp_path / "s" / "sweep.json").unlink()
    made = report(tmp_path / "s")
    found = [(r.method, r.digest, r.seeds) for r in made.summary]
    assert sorted(found) == sorted((m, d, 2) for m in one["methods"] for d in ("11", "22"))
    assert "digest" in printed(made, width=200)


def test_methods_are_compared_on_the_same_splits_only(tmp_path: Path):
    sweep = fake_sweep(tmp_path / "s", tasks={"a": "nlp"}, ladder=TWO_RUNGS)
    for at, result in results(sweep).items():
        if (result.method, result.seed) == ("naive", 1):
            other = Compared(stage="Finetune/other", accuracy=result.accuracy(SUPERVISOR))
            change(at, result, models=result.models | {SUPERVISOR: other})
    row = row_of(report(sweep), method="confidence")
    assert (row.seeds, row.over_naive_seeds) == (2, 1)


def test_what_has_no_value_stands_below_all_values_and_intervals_end_there(unclear: Report):
    ladders = unclear.sweep.ladders
    gapless = [replace(r, pgr=None, pgr_low=None, pgr_high=None) for r in unclear.summary[:1]]
    figure = Recovery([*gapless, *unclear.summary[1:]], ladders)
    for row in figure.rows:
        ax = Figure().subplots()
        figure.panel(ax, [row], "")
        marks = [line for line in ax.get_lines() if line.get_marker() in ("x", "o", "s")]
        heights = [y for line in marks for y in np.asarray(line.get_ydata(), float)]
        valueless = row.pgr is None or row.unclear
        assert heights
        assert all((height < figure.view[0]) == valueless for height in heights)
        assert ax.get_ylim()[0] < figure.view[0]


def test_a_ladder_that_says_another_size_than_its_models_have_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    sweep = fake_sweep(tmp_path / "s", tasks={"sentiment": "nlp"}, ladder=TWO_RUNGS, seeds=1)
    for folder, result in results(sweep).items():
        sizes = {"nano": 1_750, "small": 101_000}  # as said: 1,700 and 100,000
        rungs = {n: replace(fact, counted=sizes[n]) for n, fact in result.rungs.items()}
        change(folder, result, rungs=rungs)
    show(report(sweep))
    [told] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sizes")]
    says = "ladder lab says 1,700 parameters of nano, its config.json makes 1,750"
    assert told == f"sizes    {says}"
    finished = [c for c in read_csv(sweep / "report" / "cells.csv") if c["status"] == "finished"]
    assert {(c["weak_parameters"], c["strong_parameters"]) for c in finished} == {
        ("1750", "101000")
    }
