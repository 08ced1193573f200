from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from w2sweep.results import metrics

shares = st.floats(0, 1)


def answers(right: int, wrong: int) -> list[bool]:
    return [True] * right + [False] * wrong


def simulated(
    *probabilities: float, seeds: int, n: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Answers of models that are right with these probabilities, [K, N] a seed."""
    return [
        rng.random((len(probabilities), n)) < np.array(probabilities)[:, None] for _ in range(seeds)
    ]


def interval(estimate: metrics.Estimate) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def width(estimate: metrics.Estimate) -> float:
    low, high = interval(estimate)
    return high - low


def test_accuracy_is_the_share_of_right_answers():
    assert metrics.accuracy(answers(3, 1)) == 0.75
    with pytest.raises(ValueError, match="no examples"):
        metrics.accuracy([])


def test_agreement_is_split_by_whether_the_supervisor_is_right():
    found = metrics.agreement(agrees=[1, 1, 0, 1, 0], weak_correct=[1, 1, 1, 0, 0])
    assert found == metrics.Agreement(overall=3 / 5, weak_right=2 / 3, weak_wrong=1 / 2)
    assert metrics.agreement([1, 0], [1, 1]).weak_wrong is None


@given(arrays(bool, (2, 20)))
def test_two_classes_agree_where_both_are_right_or_both_are_wrong(correct: np.ndarray):
    weak, student = correct
    found = metrics.agreement(weak == student, weak)
    if found.weak_right is not None:
        assert found.weak_right == pytest.approx(student[weak].mean())
    if found.weak_wrong is not None:
        assert found.weak_wrong == pytest.approx(1 - student[~weak].mean())


def test_pgr_is_the_share_of_the_gap_and_is_not_clipped():
    assert metrics.pgr(0.6, 0.7, 0.8).value == pytest.approx(0.5)
    assert metrics.pgr(0.6, 0.5, 0.8).value == pytest.approx(-0.5)
    assert metrics.pgr(0.6, 0.9, 0.8).value == pytest.approx(1.5)


@pytest.mark.parametrize("ceiling", [0.6, 0.59, 0.1 + 0.2 + 0.3])  # the last is .6 but for rounding
def test_pgr_without_a_gap_is_undefined_and_says_why(ceiling: float):
    found = metrics.pgr(0.6, 0.7, ceiling)
    assert found.value is None
    assert found.undefined == f"ceiling {ceiling:.3f} <= weak 0.600"


@given(shares, shares, shares, st.floats(0.1, 2), st.floats(-1, 1))
def test_pgr_does_not_change_with_the_scale_of_the_accuracies(weak, student, ceiling, scale, shift):
    before = metrics.pgr(weak, student, ceiling)
    after = metrics.pgr(*(scale * x + shift for x in (weak, student, ceiling)))
    if ceiling - weak > 1e-3:
        assert after.value == pytest.approx(before.value, rel=1e-6, abs=1e-6)


def test_standard_error_of_the_mean():
    assert metrics.standard_error([1.0, 3.0]) == pytest.approx(1.0)  # sd sqrt(2), over sqrt(2)
    assert metrics.standard_error([1.0]) is None


def test_pgr_over_seeds_is_that_of_mean_accuracies_not_the_mean_of_pgrs():
    first = np.array([answers(50, 50), answers(60, 40), answers(70, 30)])  # alone: PGR .5
    second = np.array([answers(40, 60), answers(80, 20), answers(80, 20)])  # alone: PGR 1
    found = metrics.pgr_over_seeds([first, second])
    assert found.value == pytest.approx((0.70 - 0.45) / (0.75 - 0.45))
    low, high = interval(found)
    assert low < 0.25 / 0.30 < high


def test_a_seed_without_a_gap_leaves_the_others_their_pgr():
    gapless = np.array([answers(60, 40), answers(60, 40), answers(60, 40)])
    wide = np.array([answers(50, 50), answers(70, 30), answers(90, 10)])
    assert metrics.pgr_over_seeds([gapless, wide, wide]).value == pytest.approx(0.5)


def test_a_gap_within_its_noise_has_a_value_but_no_interval():
    narrow = [np.array([answers(50, 50), answers(51, 49), answers(51, 49)[::-1]])]
    found = metrics.pgr_over_seeds(narrow)
    assert found.value == pytest.approx(1.0)
    assert found.undefined_resamples > 0.3
    assert (found.low, found.high, found.se) == (None, None, None)


def test_undefined_resamples_count_as_outside_of_the_interval():
    weak, student, ceiling = (
        answers(340, 60),
        answers(350, 50),
        answers(303, 0) + answers(0, 37) + answers(60, 0),
    )
    correct = [np.array([weak, student, ceiling])]  # the gap is 2.3 of its standard errors
    found = metrics.pgr_over_seeds(correct, resamples=10_000)
    weak, student, ceiling = metrics.resampled_means(correct, 10_000, seed=0).T
    defined = ceiling - weak > 1e-9
    pgrs = (student - weak)[defined] / (ceiling - weak)[defined]
    low, high = interval(found)
    assert 0.005 < found.undefined_resamples < 0.05
    assert ((low <= pgrs) & (pgrs <= high)).sum() / 10_000 == pytest.approx(0.95, abs=2e-3)


def test_without_a_gap_there_is_a_reason_instead_of_a_number():
    found = metrics.pgr_over_seeds([np.array([answers(7, 3), answers(8, 2), answers(6, 4)])])
    assert found.value is None
    assert found.undefined == "ceiling 0.600 <= weak 0.700"


def test_resampled_means_have_the_spread_of_a_binomial():
    correct = [np.array([answers(300, 700)])]
    means = metrics.resampled_means(correct, 20_000, seed=1)[:, 0]
    assert means.mean() == pytest.approx(0.3, abs=1e-3)
    assert means.std() == pytest.approx(np.sqrt(0.3 * 0.7 / 1000), rel=0.03)


def test_resampling_keeps_answers_paired():
    same = np.array([answers(30, 70), answers(30, 70)])
    means = metrics.resampled_means([same, same], 100, seed=0)
    assert (means[:, 0] == means[:, 1]).all()


def test_seeds_are_resampled_too():
    apart = [np.array([answers(0, 100)]), np.array([answers(100, 0)])]  # no spread within a seed
    means = metrics.resampled_means(apart, 4000, seed=0)[:, 0]
    assert set(means) == {0.0, 0.5, 1.0}
    assert (means == 0.5).mean() == pytest.approx(0.5, abs=0.03)


def test_seeds_may_have_test_splits_of_different_sizes():
    correct = [np.array([answers(10, 10)]), np.array([answers(900, 100)])]
    assert metrics.resampled_means(correct, 4000, seed=0).mean() == pytest.approx(0.7, abs=0.02)


@settings(max_examples=10)
@given(st.integers(0, 100))
def test_the_interval_of_one_seed_covers_the_truth_as_often_as_it_says(start: int):
    rng = np.random.default_rng(start)
    covered = 0
    for _ in range(100):
        correct = simulated(0.5, 0.7, 0.9, seeds=1, n=300, rng=rng)
        low, high = interval(metrics.pgr_over_seeds(correct, resamples=400))
        covered += low < 0.5 < high
    assert covered >= 85  # 95 expected; fewer than 85 of 100 has probability 1e-4


def test_an_estimate_is_reproducible():
    correct = simulated(0.6, 0.7, 0.8, seeds=5, n=1000, rng=np.random.default_rng(0))
    first = metrics.pgr_over_seeds(correct)
    assert first == metrics.pgr_over_seeds(correct)
    assert first != metrics.pgr_over_seeds(correct, seed=1)


def test_a_paired_difference_is_sharper_than_an_unpaired_one():
    rng = np.random.default_rng(0)
    naive = [rng.random(1000) < 0.7 for _ in range(3)]
    better = [
        n | (rng.random(1000) < 0.05) for n in naive
    ]  # right wherever naive is, and a little more
    shuffled = [rng.permutation(b) for b in better]
    paired, unpaired = metrics.difference(better, naive), metrics.difference(shuffled, naive)
    assert (
        paired.value
        == pytest.approx(unpaired.value)
        == pytest.approx(np.mean(better) - np.mean(naive))
    )
    assert interval(paired)[0] > 0
    assert width(paired) < width(unpaired) / 2


def test_a_difference_needs_the_same_seeds_and_examples():
    with pytest.raises(ValueError, match="shorter"):
        metrics.difference([answers(1, 1)], [])
    with pytest.raises(ValueError, match=r"shape \[2, 3\]|same shape"):
        metrics.difference([answers(1, 1)], [answers(1, 2)])
    with pytest.raises(ValueError, match=r"shape \[2, 4\], expected \[3, N\]"):
        metrics.resampled_means([np.ones((3, 4)), np.ones((2, 4))], 10, seed=0)


def test_the_largest_step_is_a_share_of_the_whole_climb():
    assert metrics.largest_step([[0.5, 0.6, 0.9]]).value == pytest.approx(0.75)
    assert metrics.largest_step([[0.5, 0.7, 0.6]]).value == pytest.approx(
        2.0
    )  # the last falls back
    assert metrics.largest_step([[0.5, 0.6, 0.9], [0.7, 0.8, 0.7]]).value == pytest.approx(
        0.5
    )  # of .6, .7, .8
    assert (
        metrics.largest_step([[0.5, 0.9, 0.5]]).undefined == "the last rung is not above the first"
    )


def test_the_interval_of_the_largest_step_is_over_seeds():
    steady = metrics.largest_step([[0.5, 0.6, 0.9]] * 5)
    assert (steady.low, steady.value, steady.high) == pytest.approx((0.75, 0.75, 0.75))
    wavering = metrics.largest_step([[0.5, 0.5 + x, 0.9] for x in (0.0, 0.1, 0.2, 0.3, 0.4)])
    assert wavering.value == pytest.approx(0.5)
    assert wavering.low is not None
    assert wavering.high is not None
    assert (
        0.5 <= wavering.low < 0.55 < wavering.high < 1.0
    )  # the larger of two steps is never under a half
