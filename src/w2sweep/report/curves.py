"""Curves of models along their training, averaged over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w2sweep.results import metrics
from w2sweep.results.cell import ROLES, Result
from w2sweep.results.curve import Learning
from w2sweep.results.intervals import Estimate


@dataclass(frozen=True)
class Moment:
    """A moment of a student's training, over the seeds."""

    progress: float
    """The part of the training that is done."""
    accuracy: Estimate
    """On the test split, against the truth: an oracle."""
    agreement: Estimate
    """With the student's own labels, on the validation split."""


def mean_curve(results: Sequence[Result]) -> list[Moment]:
    """The moments at which the students of all seeds were looked at, in their order; none where a
    cell has no curve."""
    curves = [r.curve for r in results if r.curve is not None]
    if len(curves) < len(results):
        return []
    common = set.intersection(*(set(curve.progress) for curve in curves))
    tests = [r.n_test for r in results]
    validations = [curve.n_validation for curve in curves]
    moments = []
    for progress in sorted(common):
        at = [list(curve.progress).index(progress) for curve in curves]
        truth = [curve.test_truth[i] for curve, i in zip(curves, at, strict=True)]
        own = [curve.validation_own[i] for curve, i in zip(curves, at, strict=True)]
        accuracy = metrics.mean_share(truth, tests)
        moments.append(Moment(progress, accuracy, metrics.mean_share(own, validations)))
    return moments


@dataclass(frozen=True)
class Lesson:
    """A model at each of its E evaluations on the validation split, over the seeds."""

    progress: Sequence[float]
    """The part of the training that is done [E]."""
    own: Sequence[Estimate]
    """Agreement with the labels that it learns [E]."""
    truth: Sequence[Estimate]
    """Accuracy [E]."""
    best_own: Sequence[float]
    """Of each seed, the progress at which an early stop on its own labels keeps it."""
    best_truth: Sequence[float]
    """Of each seed, the progress at which an early stop on the truth keeps it."""
    stopped: bool
    """Whether the models do stop early."""


def lessons(results: Sequence[Result]) -> dict[str, Lesson]:
    """Role -> its lesson, of the models that all cells have curves of, with equal evaluations."""
    found = {}
    for role in ROLES:
        curves = [r.learning[role] for r in results if role in r.learning]
        alike = len({tuple(curve.progress) for curve in curves}) == 1
        if len(curves) == len(results) and alike:
            found[role] = _lesson(curves)
    return found


def _lesson(curves: Sequence[Learning]) -> Lesson:
    counts = [curve.n for curve in curves]
    best_own = [curve.best_own for curve in curves]
    best_truth = [curve.best_truth for curve in curves]
    stopped = any(curve.stopped for curve in curves)
    own = [curve.own for curve in curves]
    truth = [curve.truth for curve in curves]
    return Lesson(
        progress=curves[0].progress,
        own=_means(own, counts),
        truth=_means(truth, counts),
        best_own=best_own,
        best_truth=best_truth,
        stopped=stopped,
    )


def _means(of_curves: Sequence[Sequence[float]], counts: Sequence[int]) -> list[Estimate]:
    """The mean share of all curves at each evaluation [E], from those of each [curves, E]."""
    at_evaluations = zip(*of_curves, strict=True)
    return [metrics.mean_share(shares, counts) for shares in at_evaluations]
