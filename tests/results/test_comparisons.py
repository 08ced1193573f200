"""Many methods against one baseline: arithmetic beside scipy's, and simulated zoos in which no
method changes anything."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from w2sweep.results import intervals
from w2sweep.results.comparisons import OneOfMany, PairedMeasure, averaged, corrected, holm

SEEDS, METHODS, TASKS = 10, 20, 5
Draw = Callable[..., np.ndarray]


def measure(*per_seed: float, within: float = 0.0) -> PairedMeasure:
    return PairedMeasure(np.array(per_seed), np.full(len(per_seed), within))


def test_holm_on_numbers_that_can_be_followed_by_hand():
    # ascending .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04, and none falls back
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_decides_as_its_definition_does():
    """Reject the smallest p-values as long as p_(i) <= 0.05 / (M - i + 1), and stop at the first
    that is larger."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = rng.random(6) ** 4
        rejected: set[int] = set()
        for i, at in enumerate(np.argsort(p)):
            if p[at] > 0.05 / (len(p) - i):
                break
            rejected.add(int(at))
        assert {i for i, q in enumerate(holm(p.tolist())) if q <= 0.05} == rejected


def test_a_p_value_is_that_of_the_paired_t_test():
    rng = np.random.default_rng(1)
    own, naive = rng.normal(0.8, 0.02, 10), rng.normal(0.79, 0.02, 10)
    expected = stats.ttest_rel(own, naive).pvalue
    assert intervals.p_value(own - naive, np.zeros(10)) == pytest.approx(expected)


def test_seeds_that_are_alike_by_accident_do_not_hide_what_the_test_examples_leave_open():
    differences, within = np.array([0.0100, 0.0101, 0.0099]), np.full(3, 0.01**2)
    z = 0.01 / (0.01 / np.sqrt(3))
    assert intervals.p_value(differences, within) == pytest.approx(2 * stats.norm.sf(z))


@pytest.mark.parametrize("within", [0.0, 2e-4])
def test_an_interval_leaves_zero_out_exactly_where_the_p_value_is_below_its_level(within: float):
    rng = np.random.default_rng(2)
    for level in (0.95, 0.999):
        for _ in range(50):
            seeds = rng.normal(0.02, 0.02, 6)
            found = intervals.mean(seeds, np.full(6, within), level)
            p = intervals.p_value(seeds, np.full(6, within))
            assert found.low is not None
            assert found.high is not None
            assert p is not None
            assert (found.low > 0 or found.high < 0) == (p < 1 - level)


def test_the_interval_of_all_is_bonferronis():
    family = [measure(0.01, 0.02, 0.06), measure(0.03, -0.01, 0.0), measure(0.1, 0.1, 0.2)]
    first = corrected(family)[0]
    t = stats.t(df=2, loc=0.03, scale=np.std([0.01, 0.02, 0.06], ddof=1) / np.sqrt(3))
    assert (first.low_of_all, first.high_of_all) == pytest.approx(t.interval(1 - 0.05 / 3))
    assert (first.estimate.low, first.estimate.high) == pytest.approx(t.interval(0.95))
    assert first.family == 3


def test_one_seed_has_no_p_value_and_does_not_count():
    one, several = corrected([measure(0.1, within=1e-4), measure(0.1, 0.12, 0.11)])
    assert (one.p, one.p_holm, one.low_of_all) == (None, None, None)
    assert not one.told
    assert one.estimate.low is not None  # over its test examples
    assert (several.family, several.p_holm) == (1, several.p)


def test_a_method_that_is_the_baseline_is_not_told_from_it():
    (same,) = corrected([measure(0.0, 0.0, 0.0)])
    assert (same.p, same.p_holm, same.estimate.low, same.estimate.high) == (1.0, 1.0, 0.0, 0.0)


def test_the_mean_over_tasks_has_the_variance_of_a_mean():
    two = averaged([measure(0.1, 0.3, within=4e-4), measure(0.3, 0.1, within=8e-4)])
    assert two.per_seed == pytest.approx([0.2, 0.2])
    assert two.within == pytest.approx([3e-4, 3e-4])


def accuracies(draw: Draw, seeds: int) -> np.ndarray:
    """Differences to naive of a zoo without any effect [tasks, methods, seeds], in points: each
    method's students vary by themselves, some more than others, and so does the naive student,
    whom all are compared with."""
    spread = np.linspace(0.5, 2, METHODS)[None, :, None]
    naive = draw(size=(TASKS, 1, seeds))
    return spread * draw(size=(TASKS, METHODS, seeds)) - naive


def false_finds(draw: Draw, seeds: int, zoos: int) -> tuple[float, float]:
    """The share of zoos without any effect in which one is found: over tasks, and in any task."""
    found = np.zeros(2)
    for _ in range(zoos):
        zoo = accuracies(draw, seeds)
        within = np.zeros(seeds)
        flat = [PairedMeasure(of, within) for of in zoo.reshape(-1, seeds)]
        single = [flat[i : i + METHODS] for i in range(0, len(flat), METHODS)]
        over_tasks = [averaged(of) for of in zip(*single, strict=True)]
        found += [any_told(over_tasks), any_told(flat)]
    return tuple(found / zoos)


def any_told(family: list[PairedMeasure]) -> bool:
    """As `corrected`, by the p-values alone, which is quick."""
    p = [intervals.p_value(of.per_seed, of.within) for of in family]
    return min(holm([each for each in p if each is not None])) < 0.05


@pytest.mark.parametrize("seeds", [3, SEEDS])
def test_a_zoo_without_any_effect_has_a_finding_in_at_most_five_of_a_hundred_cases(seeds: int):
    rng = np.random.default_rng(seeds)
    over_tasks, in_any = false_finds(rng.standard_normal, seeds, zoos=200)
    # 5 % of 200 zoos is 10 ± 3.1: three standard errors above are 19
    assert over_tasks <= 19 / 200
    assert in_any <= 19 / 200
    # the rate is kept, not undercut by far: the smallest of 20 correlated comparisons counts
    assert over_tasks >= 3 / 200


def test_of_skewed_differences_too():
    rng = np.random.default_rng(7)

    def skewed(size: tuple[int, ...]) -> np.ndarray:
        return rng.gamma(1.5, size=size) - 1.5

    over_tasks, in_any = false_finds(skewed, SEEDS, zoos=200)
    assert max(over_tasks, in_any) <= 19 / 200


def test_without_the_correction_luck_would_be_found_in_most_zoos():
    rng = np.random.default_rng(3)
    lucky = 0
    for _ in range(100):
        over_tasks = accuracies(rng.standard_normal, SEEDS).mean(0)
        lucky += min(stats.ttest_1samp(over_tasks, 0, axis=1)[1]) < 0.05
    assert lucky > 40


def told(found: list[OneOfMany]) -> list[bool]:
    return [of.told for of in found]


def test_a_real_effect_is_found_among_many_without():
    rng = np.random.default_rng(4)
    differences = rng.normal(0, 0.01, (METHODS, SEEDS))
    differences[3] += 0.03
    family = [PairedMeasure(of, np.full(SEEDS, 1e-5)) for of in differences]
    assert told(corrected(family)) == [i == 3 for i in range(METHODS)]
