from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from w2sweep.results import intervals, metrics

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
    found = metrics.mean_share([0.5, 0.7], [10_000, 10_000])
    assert found.se == pytest.approx(0.1)  # sd .2 / sqrt(2), over sqrt(2)
    assert width(found) == pytest.approx(2 * 12.706 * 0.1, rel=1e-3)  # t of one degree of freedom


def test_pgr_over_seeds_is_that_of_mean_accuracies_not_the_mean_of_pgrs():
    first = np.array([answers(50, 50), answers(60, 40), answers(70, 30)])  # alone: PGR .5
    second = np.array([answers(40, 60), answers(80, 20), answers(80, 20)])  # alone: PGR 1
    found = metrics.pgr_over_seeds([first, second])
    assert found.value == pytest.approx((0.70 - 0.45) / (0.75 - 0.45))
    assert found.low is None  # a gap of 20 points on one seed and of 40 on the other
    low, high = interval(metrics.pgr_over_seeds([first, second] * 4))
    assert low < 0.25 / 0.30 < high


def test_a_seed_without_a_gap_leaves_the_others_their_pgr():
    gapless = np.array([answers(60, 40), answers(60, 40), answers(60, 40)])
    wide = np.array([answers(50, 50), answers(70, 30), answers(90, 10)])
    assert metrics.pgr_over_seeds([gapless, wide, wide]).value == pytest.approx(0.5)


def test_a_gap_within_its_noise_has_a_value_but_no_interval():
    narrow = [np.array([answers(50, 50), answers(51, 49), answers(51, 49)[::-1]])]
    found = metrics.pgr_over_seeds(narrow)
    assert found.value == pytest.approx(1.0)
    assert (found.low, found.high, found.se) == (None, None, None)
    gap = metrics.difference([c[2] for c in narrow], [c[0] for c in narrow])
    low, high = interval(gap)
    assert low < 0 < high


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_pgr_has_an_interval_where_the_gap_is_told_from_zero_and_nowhere_else(start, seeds):
    rng = np.random.default_rng(start)
    correct = simulated(0.6, 0.65, 0.7, seeds=seeds, n=150, rng=rng)
    found = metrics.pgr_over_seeds(correct)
    gap = metrics.difference([c[2] for c in correct], [c[0] for c in correct])
    assert (found.low is not None) == (interval(gap)[0] > 0)


def test_without_a_gap_there_is_a_reason_instead_of_a_number():
    found = metrics.pgr_over_seeds([np.array([answers(7, 3), answers(8, 2), answers(6, 4)])])
    assert found.value is None
    assert found.undefined == "ceiling 0.600 <= weak 0.700"


def test_a_share_of_one_seed_is_as_uncertain_as_its_examples():
    found = metrics.mean_share([0.3], [1000])
    assert found.se == pytest.approx(np.sqrt(0.3 * 0.7 / 1000), rel=0.01)
    assert interval(found) == pytest.approx((0.3 - 1.96 * 0.0145, 0.3 + 1.96 * 0.0145), abs=1e-3)


@pytest.mark.parametrize("share", [0.5, 1.0, 0.0])
def test_two_seeds_that_agree_by_accident_are_not_certain(share: float):
    found = metrics.mean_share([share, share], [40, 40])
    assert found.se is not None
    assert found.se > 0.01 + 0.09 * share * (1 - share)  # 5.6 points at a half, 1.1 at the ends


def test_two_models_with_the_same_answers_may_differ_on_others():
    same = answers(30, 10)
    low, high = interval(metrics.difference([same], [same]))
    assert -0.1 < low < 0 < high < 0.1


def test_the_covariances_are_those_of_the_answers():
    correct = np.random.default_rng(0).random((3, 4000)) < np.array([[0.6], [0.7], [0.9]])
    correct[1] |= correct[0]
    found = intervals.covariance(correct)
    np.testing.assert_allclose(found, np.cov(correct) / 4000, rtol=0.02, atol=1e-7)
    single = intervals.variances(correct.mean(1), [4000] * 3)
    np.testing.assert_allclose(np.diag(found), single)


def test_seeds_may_have_test_splits_of_different_sizes():
    small, large = [answers(10, 10)] * 2, [answers(900, 100)] * 2
    found = metrics.difference([small[0], large[0]], [answers(0, 20), answers(0, 1000)])
    assert found.value == pytest.approx(0.7)


LAB = {  # means, and spreads between seeds, of supervisor, student and ceiling (docs/lab.md)
    "sentiment": ((0.78, 0.90, 0.963), (0.027, 0.03, 0.02)),
    "contrast": ((0.642, 0.705, 0.956), (0.02, 0.03, 0.046)),
    "preference": ((0.698, 0.741, 0.934), (0.014, 0.02, 0.031)),
}


BEND = (-2.0, 1.7)
"""No accuracy is more standard deviations below and above its mean: none is over 100 %."""


def of_the_lab(task: str, seeds: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Answers of one experiment with the lab's spread between seeds, [3, 1600] a seed. Models find
    the same half of the examples easy or hard."""
    mean, spread = map(np.array, LAB[task])
    reached = mean + spread * np.clip(rng.normal(size=(seeds, 3)), *BEND)
    common = rng.random((seeds, 1, 1600), np.float32)
    own = rng.random((seeds, 3, 1600), np.float32)
    felt = np.where(rng.random((seeds, 3, 1600), np.float32) < 0.5, common, own)
    return list(felt < reached[..., None])


def coverage(seeds: int, experiments: int) -> tuple[float, float]:
    """How often the interval has the true PGR in it, or is unbounded; and how often the latter."""
    rng, hits, unbounded = np.random.default_rng(seeds), 0, 0
    shift = np.clip(rng.normal(size=1_000_000), *BEND).mean()
    for i in range(experiments):
        task = list(LAB)[i % len(LAB)]
        weak, student, ceiling = np.array(LAB[task][0]) + shift * np.array(LAB[task][1])
        found = metrics.pgr_over_seeds(of_the_lab(task, seeds, rng))
        if found.low is None or found.high is None:
            unbounded += 1
        else:
            hits += found.low <= (student - weak) / (ceiling - weak) <= found.high
    return (hits + unbounded) / experiments, unbounded / experiments


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_an_interval_covers_the_truth_as_often_as_it_says(seeds: int):
    covered, unbounded = coverage(seeds, experiments=2100)
    assert covered == pytest.approx(0.95, abs=0.02)  # four standard errors of the simulation
    assert unbounded < 0.02


def test_two_seeds_cover_the_truth_and_say_little():
    covered, unbounded = coverage(2, experiments=900)
    assert covered > 0.95
    assert 0.3 < unbounded < 0.7  # so often the gap cannot be told from zero by two seeds


def test_one_seed_says_what_other_test_examples_would_and_nothing_of_other_seeds():
    covered, _ = coverage(1, experiments=900)
    assert covered < 0.7
    rng, hits = np.random.default_rng(0), 0
    for _ in range(1000):
        low, high = interval(
            metrics.pgr_over_seeds(simulated(0.5, 0.7, 0.9, seeds=1, n=300, rng=rng))
        )
        hits += low < 0.5 < high
    assert hits / 1000 == pytest.approx(0.95, abs=0.02)


def test_a_difference_of_two_methods_covers_the_truth_too():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(2000):
        at = np.clip(0.9 + 0.02 * rng.normal(size=3), 0, 0.97)
        gain = 0.01 + 0.015 * rng.normal(size=3)
        pairs = [rng.random((2, 400)) < [[a], [a + g]] for a, g in zip(at, gain, strict=True)]
        low, high = interval(metrics.difference([p[1] for p in pairs], [p[0] for p in pairs]))
        hits += low < 0.01 < high
    assert hits / 2000 > 0.93


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
        metrics.pgr_over_seeds([np.ones((3, 4)), np.ones((2, 4))])


def ladder(*accuracies: float) -> np.ndarray:
    """Answers [rungs, 100] of rungs with these accuracies, each right where the last one is."""
    return np.array([answers(round(100 * a), round(100 * (1 - a))) for a in accuracies])


def test_the_largest_step_is_a_share_of_the_whole_climb():
    assert metrics.largest_step([ladder(0.5, 0.6, 0.9)]).value == pytest.approx(0.75)
    falls_back = metrics.largest_step([ladder(0.5, 0.7, 0.6)])
    assert falls_back.value == pytest.approx(2.0)
    averaged = metrics.largest_step([ladder(0.5, 0.6, 0.9), ladder(0.7, 0.8, 0.7)])
    assert averaged.value == pytest.approx(0.5)  # of .6, .7, .8
    flat = metrics.largest_step([ladder(0.5, 0.9, 0.5)])
    assert flat.undefined == "the last rung is not above the first"


def test_the_interval_of_the_largest_step_is_over_seeds_and_examples():
    steady = metrics.largest_step([ladder(0.5, 0.6, 0.9)] * 5)
    wavering = metrics.largest_step([ladder(0.5, 0.5 + x, 0.9) for x in (0, 0.05, 0.1, 0.15, 0.2)])
    assert (steady.value, wavering.value) == (pytest.approx(0.75), pytest.approx(0.75))
    low, high = interval(steady)
    assert 0.6 < low < 0.75 < high < 0.9  # of five hundred examples
    assert width(wavering) > 1.5 * width(steady)
