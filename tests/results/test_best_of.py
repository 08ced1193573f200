"""Best of n: the expectation over all sets of n, by hand and by trying all sets."""

from __future__ import annotations

from itertools import combinations
from math import comb, log

import numpy as np
import pytest

from w2sweep.results.best_of import TRUTH, bits, chances, chosen, divergence


def test_the_chosen_are_those_of_all_sets_of_n():
    rng = np.random.default_rng(0)
    scores, values = rng.normal(size=7), rng.normal(size=7)
    for n in range(1, 8):
        best = [max(drawn, key=scores.__getitem__) for drawn in combinations(range(7), n)]
        [[found]] = chances(scores[None], [n])
        assert found.sum() == pytest.approx(1)
        assert found @ values == pytest.approx(np.mean(values[best]))


def test_the_weights_are_binomial_coefficients():
    [[two], [all_]] = chances([[30.0, 10.0, 40.0, 20.0]], [2, 4])
    assert two == pytest.approx([2 / 6, 0, 3 / 6, 1 / 6])  # C(i - 1, 1) / C(4, 2)
    assert two[2] == pytest.approx(comb(3, 1) / comb(4, 2))
    assert all_ == pytest.approx([0, 0, 1, 0])


def test_equal_scores_are_drawn_by_lot():
    [[found]] = chances([[1.0, 5.0, 5.0]], [2])
    assert found == pytest.approx([0, 0.5, 0.5])
    [[same]] = chances([[2.0, 2.0, 2.0, 2.0]], [3])
    assert same == pytest.approx(np.full(4, 0.25))


def test_large_sets_do_not_overflow():
    found = chances(np.arange(4096.0)[None], [1024])
    assert found.sum() == pytest.approx(1, abs=1e-8)
    assert found[0, 0, -1] == pytest.approx(1024 / 4096)  # the best of all is in a quarter of sets


def test_what_is_written_down():
    # two questions, four replies each; weights 2 and 1, so that quality is -3, -1, 1 or 3
    marks = np.array([[[0, 0], [0, 1], [1, 0], [1, 1]]] * 2)
    scores = {"student": np.array([[0.0, 1, 2, 3], [3, 2, 1, 0]])}  # right, and the wrong way round
    found = chosen([1, 4], scores, marks, {"tone": 2.0, "truth": 1.0}, {"student": "S/1"}, "me")
    assert found.quality["student"] == [[0, 0], [3, -3]]
    assert found.quality[TRUTH] == [[0, 0], [3, 3]]
    assert found.means(TRUTH).tolist() == [0, 3]
    assert found.good["student"] == {"tone": [0.5, 0.5], "truth": [0.5, 0.5]}
    assert found.good[TRUTH] == {"tone": [0.5, 1], "truth": [0.5, 1]}
    # its own favourite lies (3 - 1.5) / sqrt(1.25) standard deviations above the mean
    assert found.believed["student"] == pytest.approx([0, 1.5 / 1.25**0.5], abs=1e-4)
    assert found.replies == 4


def test_how_much_optimization_that_is():
    assert bits([1, 2, 256]).tolist() == [0, 1, 8]
    assert divergence([1, 4]) == pytest.approx([0, log(4) - 0.75])
