"""What each rung reaches with the ground truth, and how the climb from the weakest rung to the
strongest is spread over the rungs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from w2sweep.report.variants import variant_text
from w2sweep.results.cell import CEILING, SUPERVISOR, Result, Variant
from w2sweep.results.intervals import Estimate
from w2sweep.results.metrics import largest_step, mean_share
from w2sweep.results.sweep_folder import SweepFolder


@dataclass(frozen=True)
class Reached:
    """A rung's accuracy over seeds."""

    rung: str
    accuracy: float
    accuracy_se: float | None
    accuracy_sd: float | None
    accuracy_lowest: float


@dataclass(frozen=True)
class Climb:
    """The rungs of one task, ladder and variant, on the seeds that all of these rungs have, with
    intervals as in the summary."""

    task: str
    ladder: str
    variant: Variant
    seeds: int
    rungs: Sequence[Reached]
    """Weakest first."""
    largest_step: Estimate
    """Its share of the way from the first rung to the last."""


def climbs(sweep: SweepFolder) -> list[Climb]:
    """One for each task, ladder and variant with three rungs or more, in the sweep's order.

    A rung is what it reaches as a supervisor, finetuned on the ground truth of the supervisor's
    half; where it is none, what it reaches as a ceiling, on the student's half.
    """
    groups: dict[tuple[str, str, Variant], list[Result]] = defaultdict(list)
    for result in sweep.results:
        groups[result.task, result.ladder, result.group.variant].append(result)
    found = (_climb(*of, results, list(sweep.ladders[of[1]])) for of, results in groups.items())
    return list(filter(None, found))


def climb_records(climbs: Sequence[Climb]) -> list[dict[str, Any]]:
    """A record a rung, for `climb.csv`; the largest step is that of the whole climb."""
    return [record for climb in climbs for record in _records(climb)]


def _climb(
    task: str, ladder: str, variant: Variant, results: Sequence[Result], order: Sequence[str]
) -> Climb | None:
    reached = _reached(results)
    rungs = [rung for rung in order if rung in reached]
    if len(rungs) < 3:
        return None
    shared = sorted(set.intersection(*(set(reached[rung]) for rung in rungs)))
    correct = []
    for seed in shared:
        found = [reached[rung][seed] for rung in rungs]
        if len(set(map(len, found))) == 1:
            correct.append(np.stack(found))
    if not correct:
        return None
    by_rung = zip(rungs, zip(*correct, strict=True), strict=True)
    over_seeds = [_over_seeds(rung, of) for rung, of in by_rung]
    return Climb(task, ladder, variant, len(correct), over_seeds, largest_step(correct))


def _reached(results: Sequence[Result]) -> Mapping[str, dict[int, NDArray[np.uint8]]]:
    """Rung -> seed -> whether it answers each test example rightly [N]."""
    reached: dict[str, dict[int, NDArray[np.uint8]]] = defaultdict(dict)
    for r in results:
        reached[r.strong].setdefault(r.seed, r.correct[CEILING])
    for r in results:
        trained = r.models[SUPERVISOR].stage.startswith("Finetune/")
        if trained:  # its labels are not simulated
            reached[r.weak][r.seed] = r.correct[SUPERVISOR]
    return reached


def _over_seeds(rung: str, correct: Sequence[NDArray[np.uint8]]) -> Reached:
    accuracies = [float(right.mean()) for right in correct]
    found = mean_share(accuracies, list(map(len, correct)))
    assert found.value is not None
    sd = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None
    return Reached(rung, found.value, found.se, sd, min(accuracies))


def _records(climb: Climb) -> Iterator[dict[str, Any]]:
    place = {
        "task": climb.task,
        "ladder": climb.ladder,
        "variant": variant_text(climb.variant),
        "seeds": climb.seeds,
    }
    largest = climb.largest_step
    step = {
        "largest_step": largest.value,
        "largest_step_low": largest.low,
        "largest_step_high": largest.high,
    }
    yield from (place | asdict(rung) | step for rung in climb.rungs)
