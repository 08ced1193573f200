"""Effective data transferred: its interpolation, and its law on data that follow one."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.stats import t as student

from w2sweep.results.effective_data import (
    Effective,
    Transferred,
    effective_tokens,
    fit_transfer,
)

TOKENS, LOSSES = [1_000, 10_000, 100_000], [4.0, 3.0, 1.0]
SIZES, READ = (2_000, 5_000, 20_000), (1e4, 3e4, 9e4)


def law(k: float, alpha: float, beta: float, seeds: int, noise: float) -> list[Transferred]:
    """Points of D_T = k D_F^alpha N^beta, with noise in the logarithm."""
    rng = np.random.default_rng(0)
    return [
        Transferred(seed, n, d, k * d**alpha * n**beta * math.exp(noise * rng.normal()))
        for seed, n, d in product(range(seeds), SIZES, READ)
    ]


@pytest.mark.parametrize(
    ("loss", "tokens"),
    [
        (3.5, 10**3.5),  # half of the way from 4 to 3, so half of the way from 10^3 to 10^4
        (1.5, 10**4.75),  # three quarters of the way from 3 to 1
        (3.0, 1e4),
        (4.0, 1e3),
        (1.0, 1e5),
    ],
)
def test_tokens_are_interpolated_in_their_logarithm(loss: float, tokens: float):
    found = effective_tokens(TOKENS, LOSSES, loss)
    assert found.tokens == pytest.approx(tokens)
    assert effective_tokens(TOKENS[::-1], LOSSES[::-1], loss) == found


def test_nothing_is_extrapolated():
    assert effective_tokens(TOKENS, LOSSES, 4.1) == Effective(None, "below")
    assert effective_tokens(TOKENS, LOSSES, 0.9) == Effective(None, "above")


def test_a_loss_that_rises_again_does_not_count():
    """3 is reached at 10^4 tokens; that 10^5 give 3.5 again costs nothing."""
    tokens, losses = [1_000, 10_000, 100_000, 1_000_000], [4.0, 3.0, 3.5, 2.0]
    assert effective_tokens(tokens, losses, 3.0).tokens == pytest.approx(1e4)
    # half of the way from 3 at 10^4 to 2 at 10^6
    assert effective_tokens(tokens, losses, 2.5).tokens == pytest.approx(1e5)


def test_the_law_is_found_again():
    found = fit_transfer(law(30.0, 0.4, 0.25, seeds=3, noise=0.0))
    assert found is not None
    values = [found.k.value, found.alpha.value, found.beta.value]
    assert values == pytest.approx([30.0, 0.4, 0.25])
    assert found([3e4], 5_000) == pytest.approx([30.0 * 3e4**0.4 * 5_000**0.25])
    assert (found.points, found.seeds, found.over) == (27, 3, "seeds")


def test_intervals_hold_the_law_and_are_students_over_seeds():
    points = law(30.0, 0.4, 0.25, seeds=5, noise=0.2)
    found = fit_transfer(points)
    assert found is not None
    slopes = []
    for seed in range(5):
        own = [p for p in points if p.seed == seed]
        x, y, z = np.log([(p.tokens, p.transferred, p.size) for p in own]).T
        rows = np.column_stack([np.ones_like(x), x, z])
        slopes.append(np.linalg.lstsq(rows, y, rcond=None)[0][1])
    reach = student.ppf(0.975, 4) * np.std(slopes, ddof=1) / math.sqrt(5)
    assert found.alpha.value == pytest.approx(np.mean(slopes))
    assert found.alpha.high == pytest.approx(np.mean(slopes) + reach)
    for estimate, true in ((found.k, 30.0), (found.alpha, 0.4), (found.beta, 0.25)):
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low < true < estimate.high


def test_one_seed_is_fitted_as_scipy_fits_it():
    points = law(30.0, 0.4, 0.25, seeds=1, noise=0.2)
    found = fit_transfer(points)
    assert found is not None
    x, y, z = np.log([(p.tokens, p.transferred, p.size) for p in points]).T

    def line(at: np.ndarray, log_k: float, alpha: float, beta: float) -> np.ndarray:
        return log_k + alpha * at[0] + beta * at[1]

    best, covariance = curve_fit(line, np.stack([x, z]), y)
    reach = student.ppf(0.975, 9 - 3) * np.sqrt(np.diag(covariance))
    estimates = (found.k, found.alpha, found.beta)
    logs = [np.log(found.k.value or 0.0), found.alpha.value, found.beta.value]
    assert logs == pytest.approx(best.tolist(), rel=1e-5)
    assert math.log(found.k.high or 0.0) == pytest.approx(best[0] + reach[0], rel=1e-5)
    assert [e.high for e in estimates[1:]] == pytest.approx((best + reach)[1:].tolist(), rel=1e-5)
    assert found.over == "points"


@pytest.mark.parametrize("sizes", [1, 2])
def test_seeds_that_do_not_determine_the_law_are_left_out(sizes: int):
    """With a single N there is no beta, and three points for three parameters leave no error."""
    points = law(30.0, 0.4, 0.25, seeds=2, noise=0.1)
    few = [p for p in points if p.seed == 0]
    poor = [p for p in points if p.seed == 1 and p.size in SIZES[:sizes]][:3]
    found = fit_transfer([*few, *poor])
    assert found is not None
    assert (found.seeds, found.points) == (1, 9)
    assert fit_transfer(poor) is None
    assert fit_transfer([]) is None
