"""Curves of students along their training, averaged over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w2sweep.results import metrics
from w2sweep.results.cell import Result
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
