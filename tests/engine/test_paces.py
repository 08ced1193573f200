"""How long a stage takes, told by others."""

from __future__ import annotations

import pytest
from slow_stages import Test, Train, load

from w2sweep.engine.paces import Paces


def paces(*took: tuple[Train, float]) -> Paces:
    found = Paces(load)
    for stage, seconds in took:
        found.add(stage, seconds)
    return found


def test_like_stages_tell_by_their_median_and_their_amount_of_work():
    known = paces((Train(1, flops=10), 5.0), (Train(2, flops=10), 6.0), (Train(3, flops=10), 90.0))
    assert known.seconds(Train(4, flops=10)) == 6.0
    assert known.seconds(Train(4, flops=30)) == 18.0
    assert known.seconds(Train(4)) == 6.0  # nobody can say how much that is


def test_those_that_read_the_same_data_come_first():
    known = paces((Train(1, flops=10, data="chess"), 50.0), (Train(2, flops=10), 5.0))
    assert known.seconds(Train(3, flops=10, data="chess")) == 50.0
    assert known.seconds(Train(3, flops=10, data="news")) == 5.0
    assert known.seconds(Train(3, flops=10, data="other")) == 27.5  # the median of both


def test_other_sizes_tell_by_the_line_through_them():
    """A step costs 1 s, and 1,000 FLOPs another second: 10 steps of a model of 100, 1,000 FLOPs."""
    known = paces((Train(1, model=100, flops=1000), 11.0), (Train(2, model=200, flops=2000), 12.0))
    assert known.seconds(Train(3, model=900, flops=9000)) == pytest.approx(19.0)
    assert known.seconds(Train(3, model=150, flops=1500)) == pytest.approx(11.5)


def test_a_line_never_falls_nor_is_it_steeper_than_the_work():
    falling = paces((Train(1, model=1, flops=10), 9.0), (Train(2, model=2, flops=20), 7.0))
    assert falling.seconds(Train(3, model=3, flops=40)) == 7.0
    steep = paces((Train(1, model=1, flops=10), 1.0), (Train(2, model=2, flops=20), 8.0))
    assert steep.seconds(Train(3, model=3, flops=40)) == pytest.approx(16.0)
    assert steep.seconds(Train(3, model=1, flops=1)) == pytest.approx(0.1)


def test_a_single_size_tells_the_root():
    known = paces((Train(1, model=1, flops=10), 3.0))
    assert known.seconds(Train(2, model=4, flops=40)) == pytest.approx(6.0)


def test_another_class_tells_at_the_nearest_size_where_the_work_is_known():
    """For a small model most of both is the price of steps, of which another class has fewer."""
    known = paces((Train(1, model=4, flops=10), 3.0), (Train(2, model=400, flops=500), 5.0))
    assert known.seconds(Test(3, model=8, flops=2)) == pytest.approx(0.6)
    assert known.seconds(Test(3, model=300, flops=50)) == pytest.approx(0.5)
    assert known.seconds(Test(3, flops=0)) == 0.0
    assert known.seconds(Test(3)) is None
    assert paces().seconds(Test(3, flops=10)) is None


def test_a_copy_learns_nothing_of_its_original():
    known = paces((Train(1, flops=10), 5.0))
    other = known.copy()
    other.add(Train(2, model=7, flops=10), 9.0)
    assert not known.knows(Train(3, model=7))
    assert other.knows(Train(3, model=7))
