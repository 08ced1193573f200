"""The summary as a reader sees it: the same columns in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from w2sweep.report.climb import Climb
from w2sweep.report.summary import SummaryRow
from w2sweep.report.variants import Names, short_variants
from w2sweep.results.intervals import Estimate

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True)
class Column:
    """What a row shows under a heading."""

    title: str
    text: Callable[[SummaryRow], str]
    value: Callable[[SummaryRow], Any]
    """What the column is sorted by."""
    help: str = ""

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers, all of which are explained."""
        return bool(self.help)


ALWAYS = (
    Column("weak", lambda r: r.weak, lambda r: r.weak_compute),
    Column("strong", lambda r: r.strong, lambda r: r.strong_compute),
    Column("method", lambda r: r.method, lambda r: r.method),
)
ACCURACIES = (
    Column("seeds", lambda r: str(r.seeds), lambda r: r.seeds, "seeds that finished"),
    Column(
        "weak %",
        lambda r: _marked(r, "weak"),
        lambda r: r.weak_accuracy,
        "the supervisor's accuracy on the test examples, ± one standard error",
    ),
    Column(
        "student %",
        lambda r: _marked(r, "student"),
        lambda r: r.student_accuracy,
        "the student's accuracy, ± one standard error",
    ),
    Column(
        "ceiling %",
        lambda r: _marked(r, "ceiling"),
        lambda r: r.ceiling_accuracy,
        "accuracy of the student's model finetuned on the ground truth, ± one standard error",
    ),
)
COMPARISONS = (
    Column(
        "PGR",
        lambda r: _pgr(r),
        lambda r: r.pgr,
        "performance gap recovered, of the mean accuracies [95 % interval]",
    ),
    Column(
        "agreement %",
        lambda r: _percent(r.agreement, r.agreement_se),
        lambda r: r.agreement,
        "test examples that the student answers as its supervisor does",
    ),
)
RIGHT_WRONG = Column(
    "right / wrong",
    lambda r: f"{_percent(r.agreement_weak_right)} / {_percent(r.agreement_weak_wrong)}",
    lambda r: r.agreement_weak_wrong,
    "agreement where the supervisor is right, and where it is wrong",
)
OVER_NAIVE = Column(
    "over naive",
    lambda r: _over_naive(r),
    lambda r: r.over_naive,
    "the student's accuracy minus the naive student's, in points [95 % interval, paired]",
)

DISPENSABLE = ("agreement %", "over naive")
"""Columns that a narrow terminal does without."""
SHORT = 14
"""Names up to this length are never folded, numbers rather are."""
AT_CHANCE, ONE_ANSWER, TRUTH = "°", "¹", "†"
"""What accuracies are marked with."""


def legend(rows: Sequence[SummaryRow]) -> str:
    """What numbers and marks in the table of these rows mean, in lines."""
    lines = [
        f"± one standard error, [95 % interval], {over(r.seeds for r in rows)}.",
        "PGR of the mean accuracies; undefined: ceiling <= weak; no clear gap: ceiling and weak "
        "cannot be told apart, so PGR may be anything.",
    ]
    if any(r.at_chance for r in rows):
        lines.append(f"{AT_CHANCE} cannot be told from chance: within two standard errors of it.")
    if any(r.one_answer for r in rows):
        lines.append(f"{ONE_ANSWER} gives one and the same answer to every test example of a seed.")
    if spent := sorted({r.true_labels for r in rows} - {0}):
        counts = ", ".join(f"{n:,}" for n in spent)
        lines.append(
            f"{TRUTH} made with true labels of examples that are not the supervisor's ({counts}): "
            "no weak supervision alone, and to be compared with what spends as many directly."
        )
    return "\n".join(lines)


def over(seeds: Iterable[int]) -> str:
    """What intervals are over, of rows with so many seeds each."""
    counts = set(seeds)
    if counts == {1}:
        return "over test examples only (one seed)"
    one = " (rows of one seed: over test examples only)" if 1 in counts else ""
    return f"over seeds and test examples{one}"


def columns(rows: Sequence[SummaryRow]) -> list[Column]:
    """The columns with something to tell about these rows.

    Ladders and variants have one only where there are several, further compared models where a row
    has them.
    """
    chosen = [Column("task", lambda r: r.task, lambda r: r.task)]
    if len({r.ladder for r in rows}) > 1:
        chosen.append(Column("ladder", lambda r: r.ladder, lambda r: r.ladder))
    chosen += ALWAYS
    short = short_variants(rows)
    if any(short.values()):
        chosen.append(_named_variants(short))
    if len({r.group.label for r in rows}) < len(rows):  # one name for several configurations
        chosen.append(Column("digest", lambda r: r.digest[:6], lambda r: r.digest))
    roles = dict.fromkeys(role for row in rows for role in row.others)
    chosen += [*ACCURACIES, *map(_other, roles), *COMPARISONS, RIGHT_WRONG]
    if any(r.over_naive is not None for r in rows):
        chosen.append(OVER_NAIVE)
    return chosen


def _named_variants(short: Names) -> Column:
    def name(row: SummaryRow) -> str:
        return short[row.task, row.variant]

    return Column("variant", name, name)


def _other(role: str) -> Column:
    """The accuracy of a model that not every cell compares."""

    def text(row: SummaryRow) -> str:
        found = row.others.get(role)
        return _percent(found.mean, found.se) + _marks(row, role) if found else ""

    def value(row: SummaryRow) -> float | None:
        found = row.others.get(role)
        return found.mean if found else None

    told = f"accuracy of the further model '{role}', ± one standard error"
    return Column(f"{role} %", text, value, told)


def climb_tables(
    climbs: Sequence[Climb], rows: Sequence[SummaryRow]
) -> list[tuple[list[str], list[list[str]]]]:
    """Headings and lines: a table for the climbs over the same rungs."""
    short = short_variants(rows)
    tables: dict[tuple[str, ...], list[list[str]]] = {}
    for climb in climbs:
        names = tuple(rung.rung for rung in climb.rungs)
        title = ", ".join(filter(None, (climb.task, short[climb.task, climb.variant])))
        reached = [_percent(rung.accuracy, rung.accuracy_se) for rung in climb.rungs]
        tables.setdefault(names, []).append([title, *reached, _largest_step(climb.largest_step)])
    return [(["task", *names, "largest step"], lines) for names, lines in tables.items()]


def terminal_table(rows: Sequence[SummaryRow], console: Console) -> Table:
    """A table for `rich` to print, in as many columns as the console has room for; if need be, with
    numbers on two lines."""
    shown = [column for column in columns(rows) if column is not RIGHT_WRONG]
    while not _fits(table := _table(rows, shown), console) and shown[-1].title in DISPENSABLE:
        shown.pop()
    return table


def _fits(table: Table, console: Console) -> bool:
    # Without a bound, for `rich` measures no more than the console's width.
    unbounded = console.options.update(max_width=10_000)
    return console.measure(table, options=unbounded).maximum <= console.width


def _table(rows: Sequence[SummaryRow], shown: Sequence[Column]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text  # names are text, not markup

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        caption=legend(rows),
        caption_justify="left",
    )
    for column in shown:
        justify: Literal["right", "left"] = "right" if column.numeric else "left"
        short = not column.numeric and max(len(column.text(row)) for row in rows) <= SHORT
        table.add_column(column.title, justify=justify, overflow="fold", no_wrap=short)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        last_of_task = following is not None and following.task != row.task
        table.add_row(*(Text(column.text(row)) for column in shown), end_section=last_of_task)
    return table


def _pgr(row: SummaryRow) -> str:
    """A value with its interval, or why there is none."""
    if row.pgr is None:
        return "undefined"
    if row.unclear:
        return f"{row.pgr:z.2f} [no clear gap]"
    return f"{row.pgr:z.2f}{_interval(row, 'pgr', '{:z.2f}'.format)}"


def _over_naive(row: SummaryRow) -> str:
    if row.over_naive is None:
        return ""
    return f"{_points(row.over_naive)}{_interval(row, 'over_naive', _points)}"


def _largest_step(share: Estimate) -> str:
    if share.value is None:
        return "–"
    interval = "" if share.low is None else f" [{share.low:.2f}, {share.high:.2f}]"
    return f"{share.value:.2f}{interval}"


def _interval(row: SummaryRow, name: str, form: Callable[[float], str]) -> str:
    low, high = getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
    return "" if low is None else f" [{form(low)}, {form(high)}]"


def _marked(row: SummaryRow, model: str) -> str:
    """The accuracy of one of the three models."""
    accuracy, error = getattr(row, f"{model}_accuracy"), getattr(row, f"{model}_accuracy_se")
    return _percent(accuracy, error) + _marks(row, model)


def _marks(row: SummaryRow, model: str) -> str:
    at_chance = AT_CHANCE if model in row.at_chance else ""
    spent = TRUTH if model == "student" and row.true_labels else ""
    return at_chance + (ONE_ANSWER if model in row.one_answer else "") + spent


def _percent(value: float | None, error: float | None = None) -> str:
    if value is None:
        return "–"
    plus_minus = "" if error is None else f" ± {100 * error:.1f}"
    return f"{100 * value:.1f}{plus_minus}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
