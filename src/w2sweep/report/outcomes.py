"""What a sweep found, in one sentence per family: on top of its page, and at its end in the
terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from w2sweep.report.best_of_told import sentences
from w2sweep.report.extremes import of_strongest, of_weakest
from w2sweep.report.medians import MEDIAN
from w2sweep.report.summary import BASELINE, SummaryRow
from w2sweep.report.variants import Names, short_variants
from w2sweep.report.zoo import over_naive, zoo
from w2sweep.results.comparisons import FAMILY_WISE
from w2sweep.results.cost import METHOD
from w2sweep.results.intervals import Estimate


@dataclass(frozen=True)
class Outcome:
    """What came out in one family of tasks, or of many methods over all tasks."""

    family: str
    sentence: str


def outcomes(rows: Sequence[SummaryRow]) -> list[Outcome]:
    """One of each family, and one of many methods, where there are many.

    That of a family is of the weakest supervisor and the strongest student of each task, which is
    the widest gap that the sweep looks at. Of language models alone there is nothing to say in
    these words.
    """
    single = [row for row in rows if row.task != MEDIAN and not row.language_models]
    single = _of_one_writer(single)
    widest = of_strongest(of_weakest(single))
    names = short_variants(single)
    by_family: dict[str, list[SummaryRow]] = {}
    for row in widest:
        by_family.setdefault(row.family, []).append(row)
    found = [Outcome(family, _sentence(its, names)) for family, its in by_family.items()]
    found += [Outcome("best of n", said) for said in sentences(rows)]
    many = zoo(single)
    return [*found, Outcome("zoo", many.sentence)] if many else found


def _of_one_writer(rows: Sequence[SummaryRow]) -> list[SummaryRow]:
    """Without the rows whose models choose from further replies: they are the same models."""
    writers = [row.best_of.first.written_by if row.best_of else None for row in rows]
    first = next(filter(None, writers), None)
    return [row for row, writer in zip(rows, writers, strict=True) if writer in (None, first)]


def _sentence(rows: Sequence[SummaryRow], names: Names) -> str:
    methods = dict.fromkeys(_method(row, names) for row in rows)
    first = BASELINE if BASELINE in methods else next(iter(methods))
    shown = [row for row in rows if _method(row, names) == first]
    others = _rivals(rows, shown, names)
    parts = [f"{_where(shown)}{_reached(shown)}: {_recovered(shown, first)}"]
    if others and len({_task(row) for row in rows}) == 1:
        parts.append(_best(others, names, shown[0]))
    elif others:
        parts.append(_best_of_medians(others, names))
    return "; ".join(parts) + "."


def _method(row: SummaryRow, names: Names) -> str:
    """To a reader, each variant is another method."""
    variant = names[row.task, row.variant]
    return f"{row.method} ({variant})" if variant else row.method


def _rivals(
    rows: Sequence[SummaryRow], shown: Sequence[SummaryRow], names: Names
) -> list[SummaryRow]:
    """The rows of other methods, but for controls and oracles; where variants differ, those that
    differ in the method alone, if there are any, for a variant may have another supervisor."""
    first = _method(shown[0], names)
    others = [row for row in rows if _method(row, names) != first and row.kind == METHOD]
    variants = {row.variant for row in shown}
    return [row for row in others if row.variant in variants] or others


def _task(row: SummaryRow) -> tuple[str, str]:
    return row.task, row.ladder


def _where(rows: Sequence[SummaryRow]) -> str:
    tasks = dict.fromkeys(row.task for row in rows)
    return f"{next(iter(tasks))}, " if len(tasks) == 1 else f"median of {len(rows)} tasks, "


def _reached(rows: Sequence[SummaryRow]) -> str:
    pairs = dict.fromkeys((row.strong, row.weak) for row in rows)
    strong, weak = next(iter(pairs)) if len(pairs) == 1 else ("large", "the smallest rung")
    student = _percent([row.student_accuracy for row in rows])
    supervisor = _percent([row.weak_accuracy for row in rows])
    ceiling = _percent([row.ceiling_accuracy for row in rows])
    taught = f"a {strong} student taught by {weak} reaches {student}"
    return f"{taught}, its supervisor {supervisor}, its ceiling {ceiling}"


def _percent(accuracies: Sequence[float]) -> str:
    """Their median."""
    return f"{100 * median(accuracies):.1f} %"


def _recovered(rows: Sequence[SummaryRow], method: str) -> str:
    if len(rows) > 1:
        return _median_recovered(rows, method)
    found = rows[0].recovered
    if found.value is None:
        return "the ceiling is not above the supervisor, so there is no gap to recover"
    if rows[0].unclear:
        gap = f"the gap of {100 * (rows[0].gap or 0.0):.1f} points"
        return f"{gap} cannot be told from zero ({_seeds(rows[0])}), so its PGR says nothing"
    return f"{method} recovers {_with_interval(found)} of the gap"


def _seeds(row: SummaryRow) -> str:
    return f"{row.seeds} seeds" if row.seeds > 1 else "one seed"


def _median_recovered(rows: Sequence[SummaryRow], method: str) -> str:
    clear = [r.pgr for r in rows if r.pgr is not None and not r.unclear]
    if not clear:
        return "no task has a gap that can be told from zero, so PGR says nothing"
    of = f"{len(clear)} of {len(rows)} tasks with a clear gap"
    return f"{method} recovers {median(clear):z.2f} of the gap (median of the {of})"


def _best(rows: Sequence[SummaryRow], names: Names, first: SummaryRow) -> str:
    """The best of the other methods on the one task of a family, with an interval that holds for
    all of them at once (Bonferroni), as that of a best one has to."""
    best = max(rows, key=lambda row: row.student_accuracy)
    said = f"{_method(best, names)} reaches {100 * best.student_accuracy:.1f} %"
    if len(rows) > 1:
        said = f"of {len(rows)} other methods the best, {said}"
    over = over_naive(best, 1 - FAMILY_WISE / len(rows))
    if over is None or over.value is None or over.low is None or over.high is None:
        return f"{said}, {_points(best.student_accuracy - first.student_accuracy)} points"
    interval = f"[{_points(over.low)}, {_points(over.high)}]"
    of_all = " for all of them at once" if len(rows) > 1 else ""
    told = "" if over.low > 0 or over.high < 0 else ", which may be noise"
    return f"{said}, {_points(over.value)} points over naive {interval}{of_all}{told}"


def _best_of_medians(rows: Sequence[SummaryRow], names: Names) -> str:
    """The best of the other methods by their median over the tasks of a family."""
    reached: dict[str, list[float]] = {}
    for row in rows:
        reached.setdefault(_method(row, names), []).append(row.student_accuracy)
    best = max(reached, key=lambda method: median(reached[method]))
    return f"best of the others is {best} with {100 * median(reached[best]):.1f} %"


def _with_interval(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return f"{found.value:z.2f}"
    return f"{found.value:z.2f} [{found.low:z.2f}, {found.high:z.2f}]"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
