"""Diagnostics, each against arithmetic that is shown or a slow loop."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from w2sweep.results import diagnostics, intervals
from w2sweep.results.intervals import Estimate

WEAK = [[0.6, 0.4], [0.2, 0.8], [0.5, 0.5], [0.9, 0.1]]
STUDENT = [[0.9, 0.1], [0.3, 0.7], [0.1, 0.9], [0.8, 0.2]]
LABELS = [0, 1, 0, 1]


def made(classes: int, n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of two models [N, K], and labels [N]."""
    rng = np.random.default_rng(classes)
    first, second = (rng.dirichlet(np.ones(classes), n).astype(np.float32) for _ in range(2))
    return first, second, rng.integers(0, classes, n)


def test_misfit_is_what_the_students_answers_cost_in_the_supervisors_code():
    one = 0.9 * log(0.9 / 0.6) + 0.1 * log(0.1 / 0.4)
    two = 0.3 * log(0.3 / 0.2) + 0.7 * log(0.7 / 0.8)
    assert diagnostics.misfit(STUDENT[:2], WEAK[:2]) == pytest.approx((one + two) / 2)
    assert diagnostics.misfit(WEAK, WEAK) == 0.0


def test_misfit_is_finite_where_a_supervisor_rules_an_answer_out():
    certain, opposite = [[1.0, 0.0]], [[0.0, 1.0]]
    assert diagnostics.misfit(certain, opposite) == pytest.approx(log(1e6), rel=1e-3)


def test_a_projection_onto_a_convex_class_gains_at_least_its_misfit():
    """Pythagoras for KL (Csiszar 1975): the theory behind the figure, in numbers."""
    weak, truth, grid = (
        np.array([0.55, 0.3, 0.15]),
        np.array([0.1, 0.3, 0.6]),
        np.linspace(0, 1, 501),
    )
    # All mixtures of the truth and of another model: a convex class that has the truth in it.
    family = [t * truth + (1 - t) * np.array([0.4, 0.1, 0.5]) for t in grid]
    student = min(family, key=lambda p: diagnostics.misfit([p], [weak]))
    before, after = diagnostics.misfit([truth], [weak]), diagnostics.misfit([truth], [student])
    assert before - after >= diagnostics.misfit([student], [weak]) - 1e-4


def test_loss_is_cross_entropy():
    shown = -(log(0.6) + log(0.8) + log(0.5) + log(0.1)) / 4
    assert diagnostics.loss(WEAK, LABELS) == pytest.approx(shown)


def slow_capa(first, second, labels) -> float:
    n, k = len(labels), len(first[0])
    observed = sum(first[i][c] * second[i][c] for i in range(n) for c in range(k)) / n
    a = sum(first[i][labels[i]] for i in range(n)) / n
    b = sum(second[i][labels[i]] for i in range(n)) / n
    expected = a * b + sum((1 - a) * (1 - b) / (k - 1) for _ in range(n)) / n
    return (observed - expected) / (1 - expected)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_capa_is_what_a_slow_loop_finds(classes: int):
    first, second, labels = made(classes)
    slow = slow_capa(first.tolist(), second.tolist(), labels.tolist())
    assert diagnostics.capa(first, second, labels) == pytest.approx(slow, rel=1e-5)


def test_capa_by_hand():
    observed = (0.6 * 0.9 + 0.4 * 0.1 + 0.2 * 0.3 + 0.8 * 0.7) / 2
    weak, student = (0.6 + 0.8) / 2, (0.9 + 0.7) / 2
    expected = weak * student + (1 - weak) * (1 - student)
    found = diagnostics.capa(WEAK[:2], STUDENT[:2], LABELS[:2])
    assert found == pytest.approx((observed - expected) / (1 - expected))


def test_capa_of_models_that_are_sure_and_right_is_undefined():
    certain = np.eye(2)[LABELS]
    assert diagnostics.capa(certain, certain, LABELS) is None


def test_errors_of_the_supervisor_are_inherited_corrected_or_new():
    weak = np.array([1, 1, 0, 0, 0, 0], bool)
    student = np.array([1, 0, 1, 0, 0, 0], bool)
    same = np.array([1, 0, 0, 1, 1, 0], bool)
    found = diagnostics.errors(same, weak, student)
    assert found == {
        "errors_inherited": 2 / 6,
        "errors_other": 1 / 6,
        "errors_corrected": 1 / 6,
        "errors_new": 1 / 6,
    }


def test_brier_of_two_classes_is_the_mean_squared_error_of_one_probability():
    ones = np.array(STUDENT)[:, 1]
    shown = np.mean((ones - np.array(LABELS)) ** 2)
    assert diagnostics.brier(STUDENT, LABELS) == pytest.approx(shown)


def slow_calibration_error(confidence: list[float], correct: list[bool]) -> float:
    total = 0.0
    for b in range(15):
        inside = [i for i, c in enumerate(confidence) if b / 15 < c <= (b + 1) / 15]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            mean = sum(confidence[i] for i in inside) / len(inside)
            total += len(inside) / len(confidence) * abs(accuracy - mean)
    return total


@pytest.mark.parametrize("classes", [2, 4])
def test_calibration_error_is_what_a_slow_loop_finds(classes: int):
    said, _, labels = made(classes)
    correct = said.argmax(1) == labels
    slow = slow_calibration_error(said.max(1).astype(float).tolist(), correct.tolist())
    found = diagnostics.calibration_error(diagnostics.reliability(said, correct))
    assert found == pytest.approx(slow)


def test_a_reliability_curve_has_what_is_in_each_bin():
    curve = diagnostics.reliability(STUDENT, [True, True, False, False])
    filled = {i: row.tolist() for i, row in enumerate(curve) if row[2]}
    assert filled == {
        10: [0.7, 1.0, 1],
        11: [0.8, 0.0, 1],
        13: [pytest.approx(0.9), 0.5, 2],
    }


def test_reliability_of_seeds_together_is_that_of_all_examples():
    (one, _, labels), (third, _, more) = made(2), made(2, 50)
    first = diagnostics.reliability(one, one.argmax(1) == labels)
    second = diagnostics.reliability(third, third.argmax(1) == more)
    said, right = np.concatenate([one, third]), np.concatenate([labels, more])
    together = diagnostics.reliability(said, said.argmax(1) == right)
    np.testing.assert_allclose(diagnostics.pooled([first, second]), together, rtol=1e-6)


def test_blind_spots_are_where_the_student_is_sure_and_wrong_and_the_supervisor_unsure():
    correct = [
        True,
        True,
        False,
        False,
    ]  # the third: .9 against .5; the fourth's supervisor is sure
    assert diagnostics.blind_spots(STUDENT, WEAK, correct) == 0.25


def test_numbers_are_averaged_over_the_seeds_that_have_them():
    found = diagnostics.over_seeds([{"misfit": 1.0, "capa": 0.5}, {"misfit": 3.0}])
    assert found["misfit"].value == 2.0
    assert found["misfit"].se == pytest.approx(1.0)
    assert found["capa"] == Estimate(0.5, None)


def test_an_effect_that_can_be_detected_is_2_8_standard_errors_where_they_are_known():
    found = intervals.mean([0.1], [0.02**2])
    assert diagnostics.detectable(found) == pytest.approx((1.95996 + 0.84162) * 0.02, rel=1e-4)
    assert diagnostics.detectable(Estimate(0.5)) is None


def test_a_detectable_effect_is_detected_four_times_in_five():
    rng = np.random.default_rng(0)
    error = 0.02
    effect = diagnostics.detectable(intervals.mean([0.0], [error**2]))
    assert effect is not None
    estimates = rng.normal(effect, error, 20_000)
    assert np.mean(estimates - 1.96 * error > 0) == pytest.approx(0.8, abs=0.01)
